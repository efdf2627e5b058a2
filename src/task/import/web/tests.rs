use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::ImportFilteringOptsSection;
use crate::keystone::outgoing::Changing;

const DATA: &str = "0123456789abcdef";

/// A server that gives these answers one after the other, and closes each connection after its answer. Gives its port, and what it
/// was asked.
pub(in crate::task::import) async fn server(answers: Vec<String>) -> (u16, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, next) = (Arc::default(), AtomicUsize::new(0));
    let log: Arc<std::sync::Mutex<Vec<String>>> = Arc::clone(&asked);
    tokio::spawn(async move {
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
        }
    });
    (port, asked)
}

fn web(port: u16) -> Web {
    let options = ImportFilteringOptsSection {
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        allowed_ports: vec![port.to_string()],
        ..ImportFilteringOptsSection::default()
    };
    Web::new(UrlFilter::new(&options)).unwrap()
}

async fn fetch(port: u16) -> Result<(Option<u64>, String), String> {
    let source = web(port).open(&format!("http://127.0.0.1:{port}/image")).await.map_err(|error| error.to_string())?;
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
    for headers in ["Content-Length: 16\r\n", "Content-Length: 16\r\nETag: W/\"v1\"\r\n"] {
        let (port, asked) = server(vec![answer("200 OK", headers, &DATA[..6])]).await;
        assert!(fetch(port).await.unwrap_err().contains("broke after 6 bytes"));
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
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
async fn what_is_no_success_is_no_data() {
    for (status, expected) in
        [("404 Not Found", "404"), ("500 Broken", "500"), ("206 Partial Content", "206"), ("204 No Content", "204")]
    {
        let (port, _) = server(vec![answer(status, "Content-Length: 0\r\n", "")]).await;
        let error = fetch(port).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
