use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::ImportFilteringOptsSection;
use crate::keystone::outgoing::Changing;

const DATA: &str = "0123456789abcdef";

/// What a server was asked.
type Asked = Arc<std::sync::Mutex<Vec<String>>>;

/// A server that gives these answers one after the other, and closes each connection after its answer. Gives its port, and what it
/// was asked.
pub(in crate::task::import) async fn server(answers: Vec<String>) -> (u16, Asked) {
    serving(answers, false).await
}

/// As [`server`]; one that stalls keeps the connections open.
async fn serving(answers: Vec<String>, stalls: bool) -> (u16, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, next) = (Arc::default(), AtomicUsize::new(0));
    let log: Asked = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = connection.read_u8().await else { break };
                head.push(byte);
            }
            log.lock().unwrap().push(String::from_utf8(head).unwrap());
            if let Some(answer) = answers.get(next.fetch_add(1, Ordering::SeqCst)) {
                connection.write_all(answer.replace("PORT", &port.to_string()).as_bytes()).await.unwrap();
            }
            open.extend(stalls.then_some(connection));
        }
    });
    (port, asked)
}

fn filter(port: u16) -> UrlFilter {
    UrlFilter::new(&ImportFilteringOptsSection {
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        allowed_ports: vec![port.to_string()],
        ..ImportFilteringOptsSection::default()
    })
}

async fn fetch(port: u16) -> Result<(Option<u64>, String), String> {
    fetch_by(&Web::new(filter(port)).unwrap(), port).await
}

async fn fetch_by(web: &Web, port: u16) -> Result<(Option<u64>, String), String> {
    let source = web.open(&format!("http://127.0.0.1:{port}/image")).await.map_err(|error| error.to_string())?;
    let pieces: Vec<Bytes> = source.data.try_collect().await.map_err(|error| error.to_string())?;
    Ok((source.size, String::from_utf8(pieces.concat()).unwrap()))
}

pub(in crate::task::import) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke() {
    let whole = "Content-Length: 16\r\nETag: \"v1\"\r\n";
    let rest = "Content-Length: 10\r\nETag: \"v1\"\r\nContent-Range: bytes 6-15/16\r\n";
    let (port, asked) = server(vec![
        answer("200 OK", whole, &DATA[..6]),
        answer("503 Busy", "Content-Length: 0\r\n", ""),
        answer("206 Partial Content", rest, &DATA[6..]),
    ])
    .await;
    assert_eq!(fetch(port).await.unwrap(), (Some(16), DATA.to_owned()));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(!asked[0].to_lowercase().contains("range:"));
    assert!(asked[2].contains("bytes=6-") && asked[2].to_lowercase().contains("if-range: \"v1\""), "{}", asked[2]);
}

/// One that waits no longer for a server than this, and hardly between attempts.
fn impatient(port: u16, silence: Duration) -> Web {
    let timeout = Timeout::Step { connect: CONNECT, read: silence };
    let client = Outgoing::new(Options { timeout, ..options(filter(port)) }).unwrap();
    Web { client, first_pause: Duration::from_millis(1) }
}

/// As many attempts as there may be, and no more, though the next one would bring the rest. The real times only differ in length.
#[tokio::test]
async fn a_server_that_stalls_each_time_ends_the_transfer() {
    let first = || answer("200 OK", "Content-Length: 16\r\nETag: \"v1\"\r\n", &DATA[..6]);
    let head = "Content-Length: 10\r\nETag: \"v1\"\r\nContent-Range: bytes 6-15/16\r\n";
    let stalling = || answer("206 Partial Content", head, "");
    let complete = || answer("206 Partial Content", head, &DATA[6..]);
    let attempts = ATTEMPTS as usize;
    let silence = Duration::from_millis(400);
    // In the middle of the data, and before the head of an answer.
    for stalled in [stalling(), String::new()] {
        let answers = |stalls: usize| [vec![first()], vec![stalled.clone(); stalls], vec![complete()]].concat();
        let (port, asked) = serving(answers(attempts), true).await;
        let web = impatient(port, silence);
        let begin = std::time::Instant::now();
        let error = fetch_by(&web, port).await.unwrap_err();
        assert!(error.contains("the transfer broke after 6 bytes"), "{error}");
        assert_eq!(asked.lock().unwrap().len(), 1 + attempts);
        assert!(begin.elapsed() >= silence * (1 + ATTEMPTS), "{:?}", begin.elapsed());
        // One less is survived.
        let (port, asked) = serving(answers(attempts - 1), true).await;
        let web = impatient(port, silence);
        assert_eq!(fetch_by(&web, port).await.unwrap(), (Some(16), DATA.to_owned()));
        assert_eq!(asked.lock().unwrap().len(), 1 + attempts);
    }
    let pauses: Duration = (0..ATTEMPTS).map(|attempt| FIRST_PAUSE * 2_u32.pow(attempt)).sum();
    let stalls_at_once = SILENCE * (1 + ATTEMPTS) + pauses;
    let at_most = stalls_at_once + SILENCE * ATTEMPTS;
    assert_eq!([stalls_at_once, at_most].map(|time| time.as_secs()), [375, 675]);
}

#[tokio::test]
async fn two_versions_are_never_joined() {
    let whole = "Content-Length: 16\r\nETag: \"v1\"\r\n";
    let first = || answer("200 OK", whole, &DATA[..6]);
    for (second, expected) in [
        (answer("200 OK", "Content-Length: 16\r\nETag: \"v2\"\r\n", DATA), "it does not send the rest alone"),
        (
            answer(
                "206 Partial Content",
                "Content-Length: 10\r\nETag: \"v2\"\r\nContent-Range: bytes 6-15/16\r\n",
                &DATA[6..],
            ),
            "it has another version",
        ),
        (
            answer("206 Partial Content", "Content-Length: 11\r\nContent-Range: bytes 5-15/16\r\n", &DATA[5..]),
            "it sends another part",
        ),
        (
            answer("206 Partial Content", "Content-Length: 10\r\nContent-Range: bytes 6-15/17\r\n", &DATA[6..]),
            "it sends another part",
        ),
    ] {
        let (port, _) = server(vec![first(), second]).await;
        let error = fetch(port).await.unwrap_err();
        assert!(error.contains("broke after 6 bytes") && error.contains(expected), "{error}");
    }
    // Nothing tells whether the data would be the same.
    let time = "Sat, 28 Nov 2026 10:00:00 GMT";
    for headers in [
        "Content-Length: 16\r\n",
        "Content-Length: 16\r\nETag: W/\"v1\"\r\n",
        &format!("Content-Length: 16\r\nETag: W/\"v1\"\r\nLast-Modified: {time}\r\n"),
        &format!("Content-Length: 16\r\nLast-Modified: {time}\r\nDate: {time}\r\n"),
    ] {
        let (port, asked) = server(vec![answer("200 OK", headers, &DATA[..6])]).await;
        assert!(fetch(port).await.unwrap_err().contains("broke after 6 bytes"));
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_time_of_change_that_is_over_tells_that_data_is_the_same() {
    let whole =
        "Content-Length: 16\r\nLast-Modified: Sat, 28 Nov 2026 10:00:00 GMT\r\nDate: Sat, 28 Nov 2026 10:00:01 GMT\r\n";
    let rest = "Content-Length: 10\r\nContent-Range: bytes 6-15/16\r\n";
    for (changed, expected) in [(0, Ok((Some(16), DATA.to_owned()))), (1, Err("it has another version"))] {
        let head = format!("{rest}Last-Modified: Sat, 28 Nov 2026 10:00:0{changed} GMT\r\n");
        let (port, asked) =
            server(vec![answer("200 OK", whole, &DATA[..6]), answer("206 Partial Content", &head, &DATA[6..])]).await;
        match (fetch(port).await, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (found, expected) => assert!(found.clone().unwrap_err().contains(expected.unwrap_err()), "{found:?}"),
        }
        assert!(asked.lock().unwrap()[1].to_lowercase().contains("if-range: sat, 28 nov 2026 10:00:00 gmt"));
    }
}

/// The first piece of a body that breaks off without having told its length.
fn chunk(headers: &str) -> String {
    answer("200 OK", &format!("Transfer-Encoding: chunked\r\n{headers}"), &format!("6\r\n{}\r\n", &DATA[..6]))
}

#[tokio::test]
async fn a_part_is_not_taken_for_the_whole() {
    let part = |range: &str, part: &str| {
        let headers = format!("Content-Length: {}\r\nETag: \"v1\"\r\nContent-Range: bytes {range}\r\n", part.len());
        answer("206 Partial Content", &headers, part)
    };
    let first = || chunk("ETag: \"v1\"\r\n");
    let (port, asked) = server(vec![first(), part("6-9/16", &DATA[6..10]), part("10-15/16", &DATA[10..])]).await;
    assert_eq!(fetch(port).await.unwrap(), (None, DATA.to_owned()));
    assert!(asked.lock().unwrap()[2].contains("bytes=10-"));

    // Nobody tells where it ends, or it has another length than it had.
    for rest in [vec![part("6-9/*", &DATA[6..10])], vec![part("6-9/16", &DATA[6..10]), part("10-15/17", &DATA[10..])]] {
        let (port, _) = server([vec![first()], rest].concat()).await;
        let error = fetch(port).await.unwrap_err();
        assert!(error.contains("it sends another part"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_encoded_where_its_server_has_not_done_so() {
    let to = answer("302 Found", "Location: /b\u{e9}b\u{e9} one?%41=\u{fc}#x\r\nContent-Length: 0\r\n", "");
    let (port, asked) = server(vec![to, answer("200 OK", "Content-Length: 16\r\n", DATA)]).await;
    assert_eq!(fetch(port).await.unwrap().1, DATA);
    let asked = asked.lock().unwrap();
    assert!(asked[1].starts_with("GET /b%C3%A9b%C3%A9%20one?%41=%C3%BC HTTP/1.1"), "{}", asked[1]);
}

#[tokio::test]
async fn each_redirect_has_to_pass_the_filter() {
    let to = |target: &str| answer("302 Found", &format!("Location: {target}\r\nContent-Length: 0\r\n"), "");
    let found = || answer("200 OK", "Content-Length: 16\r\n", DATA);
    let (port, _) = server(vec![to("http://127.0.0.1:PORT/there"), to("/elsewhere"), found()]).await;
    assert_eq!(fetch(port).await.unwrap().1, DATA);
    for target in [
        "http://169.254.169.254/latest",
        "http://localhost:PORT/",
        "file:///etc/passwd",
        "http://2130706433:PORT/",
        "//2130706433:PORT/",
    ] {
        let (port, asked) = server(vec![to(target), found()]).await;
        let error = fetch(port).await.unwrap_err();
        assert!(error.contains("not allowed") || error.contains("no allowed"), "{target}: {error}");
        assert_eq!(asked.lock().unwrap().len(), 1, "{target}");
    }
    let (port, _) = server((0..20).map(|_| to("/round")).collect()).await;
    assert!(fetch(port).await.unwrap_err().contains("redirects"));
}

/// SSRF: a server of the attacker's sends the service on to the metadata service of its cloud, by a name of the attacker's.
#[tokio::test]
async fn no_redirect_leads_inside_by_a_name() {
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let inside_port = inside.local_addr().unwrap().port();
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    // Should one of the two be let through, somebody comes to the other one.
    let metadata = || addresses(&["169.254.169.254", "127.0.0.1"]);
    for scheme in ["http", "https"] {
        let to = format!("Location: {scheme}://metadata.test:{inside_port}/latest\r\nContent-Length: 0\r\n");
        let (port, asked) = server(vec![answer("302 Found", &to, ""); 2]).await;
        let open = ImportFilteringOptsSection {
            allowed_ports: Vec::new(),
            disallow_private_addresses: true,
            ..ImportFilteringOptsSection::default()
        };
        // Where some hosts are allowed, names that are not listed are not even looked up. Else a server on this host can only be reached by a
        // proxy, which is the operator's; requests for https go past it.
        let listed = ImportFilteringOptsSection { allowed_hosts: vec!["127.0.0.1".to_owned()], ..open.clone() };
        let proxy = Proxies::Listed(vec![("http".to_owned(), format!("127.0.0.1:{port}"))]);
        for (url, rules, proxies, found, wanted) in [
            (format!("http://127.0.0.1:{port}/"), listed, Proxies::Environment, vec![metadata()], "is not allowed"),
            (
                "http://web.test/".to_owned(),
                open,
                proxy,
                vec![addresses(&["192.0.2.1"]), metadata()],
                "no allowed addresses",
            ),
        ] {
            let filter = UrlFilter::with_resolver(&rules, Arc::new(Changing::new(found)));
            let client = Outgoing::new(Options { proxies, ..options(filter) }).unwrap();
            let error = Web { client, first_pause: FIRST_PAUSE }.open(&url).await.err().unwrap().to_string();
            assert!(error.contains(wanted) && error.contains("host metadata.test"), "{url} {scheme}: {error}");
            let asked = std::mem::take(&mut *asked.lock().unwrap());
            assert!(asked.len() == 1 && asked[0].starts_with("GET "), "{url} {scheme}: {asked:?}");
        }
    }
    let visit = inside.accept();
    assert!(visit.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock), "{visit:?}");
}

/// SSRF by a name of the attacker's. For DNS rebinding see the tests of `keystone/outgoing`.
#[tokio::test]
async fn a_name_that_leads_inside_is_not_followed() {
    let inside = vec![["169.254.169.254".parse().unwrap(), "127.0.0.1".parse().unwrap()].to_vec()];
    let resolver = Arc::new(Changing::new(inside));
    let web = Web::new(UrlFilter::with_resolver(&ImportFilteringOptsSection::default(), resolver)).unwrap();
    let error = web.open("http://metadata.example/latest").await.err().unwrap();
    assert!(error.to_string().contains("no allowed addresses for host metadata.example"), "{error}");
    // A redirect is a request like any other.
    let target = redirected("http://192.0.2.1/", "http://metadata.example/latest").unwrap();
    assert!(web.open(&target).await.is_err());
}

#[tokio::test]
async fn a_success_brings_data_and_nothing_else_does() {
    for status in ["201 Created", "203 Non-Authoritative Information", "299 Well"] {
        let (port, _) = server(vec![answer(status, "Content-Length: 16\r\n", DATA)]).await;
        assert_eq!(fetch(port).await.unwrap(), (Some(16), DATA.to_owned()), "{status}");
    }
    for status in ["204 No Content", "206 Partial Content", "300 Choices", "304 Same", "404 Not Found", "500 Broken"] {
        let (port, _) = server(vec![answer(status, "Content-Length: 0\r\n", "")]).await;
        let error = fetch(port).await.unwrap_err();
        assert!(error.contains(&status[..3]), "{error}");
    }
}
