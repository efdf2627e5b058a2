//! HTTP/2 over TLS: what clients can take that stall, flood or come at the end, which is no more than with HTTP/1.1.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::SendStream;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::documents::{memory, shapes};
use super::harness::{LONG, Setup};
use super::http2_client::{Site, answer, pour};

const MIB: usize = 1 << 20;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// GET https://localhost/versions, or POST, without the end of the head.
const GET: &[u8] = b"\x82\x87\x04\x09/versions\x01\x09localhost";
const POST: &[u8] = b"\x83\x87\x04\x09/versions\x01\x09localhost";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What all streams of a connection may send beyond what is read, and what one may.
const CONNECTION_WINDOW: usize = 2 * MIB;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that is named and said anew.
fn header(name: &str, length: usize) -> Vec<u8> {
    // Lengths from 127 on go on in groups of seven bits (RFC 7541, 5.1).
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend_from_slice(name.as_bytes());
    let mut rest = length.checked_sub(127).expect("a long value");
    field.push(127);
    while rest >= 128 {
        field.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    field.push(u8::try_from(rest).unwrap());
    field.resize(field.len() + length, b'a');
    field
}

/// Sends this much of an upload and not its end; counts what has gone.
async fn send_some(stream: &mut SendStream<Bytes>, length: usize, sent: &AtomicUsize) {
    let mut left = length;
    while left > 0 {
        stream.reserve_capacity(left);
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap();
        let now = room.min(left);
        stream.send_data(Bytes::from(vec![b'd'; now]), false).unwrap();
        left -= now;
        sent.fetch_add(now, SeqCst);
    }
}

/// Bodies that are not looked at, as the policy is still asked, hold what their connections' windows let through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_nobody_reads_hold_the_windows_of_their_connections() {
    const CONNECTIONS: usize = 6;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::new();
    let policy = setup.path("policy.yaml");
    fs::write(&policy, format!("upload_image: http://{}/\n", silent.local_addr().unwrap())).unwrap();
    let site = Site::start_from(setup, &format!("[oslo_policy]\npolicy_file = {}", policy.display()));
    let path = site.create().await;
    let before = memory(&site.server, "VmRSS");
    let sent = Arc::new(AtomicUsize::new(0));
    let (mut sessions, mut kept, mut senders) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let mut session = site.connect().await;
        for _ in 0..20 {
            let (response, mut stream) = session.upload(&path).await;
            kept.push(response);
            let sent = Arc::clone(&sent);
            senders.push(tokio::spawn(async move {
                send_some(&mut stream, MIB, &sent).await;
                stream
            }));
        }
        sessions.push(session);
    }
    let most = CONNECTIONS * CONNECTION_WINDOW;
    let start = Instant::now();
    while sent.load(SeqCst) < most {
        assert!(start.elapsed() < LONG, "only {} bytes were let through", sent.load(SeqCst));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What has no body is served beside them, behind all that has come.
    for session in &mut sessions {
        assert_eq!(session.get("/versions").await.unwrap().0, 200);
    }
    assert_eq!(sent.load(SeqCst), most);
    let grown = memory(&site.server, "VmRSS").saturating_sub(before);
    assert!(grown < 2 * most + 8 * MIB, "grew by {grown} bytes");
    senders.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_uploads_hold_little_memory() {
    let site = Site::start("");
    let warm = site.create().await;
    let mut sessions = vec![site.connect().await, site.connect().await, site.connect().await];
    let (response, mut stream) = sessions[0].upload(&warm).await;
    pour(&mut stream, &vec![b'd'; MIB]).await.unwrap();
    assert_eq!(answer(response).await.unwrap().0, 204);
    let mut images = Vec::new();
    for _ in 0..99 {
        images.push(site.create().await);
    }
    let before = memory(&site.server, "VmRSS");
    let (sent, mut uploads) = (AtomicUsize::new(0), Vec::new());
    for (session, images) in sessions.iter_mut().zip(images.chunks(33)) {
        for image in images {
            uploads.push(session.upload(image).await);
        }
    }
    // Less than is otherwise written at once.
    let sending = join_all(uploads.iter_mut().map(|(_, stream)| send_some(stream, 900_000, &sent)));
    timeout(LONG, sending).await.expect("not all is taken");
    for session in &mut sessions {
        assert_eq!(session.get("/versions").await.unwrap().0, 200);
    }
    let grown = memory(&site.server, "VmRSS").saturating_sub(before);
    // As much as with HTTP/1.1, and the windows.
    assert!(grown < 48 * MIB + sessions.len() * CONNECTION_WINDOW, "grew by {grown} bytes");
    for (response, mut stream) in uploads {
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(answer(response).await.unwrap().0, 204);
    }
}

/// Sends the same again and again until the server closes, or has taken too much. Gives how much that was, and what the server said.
async fn flood(socket: TlsStream<TcpStream>, begin: &[u8], again: &[u8]) -> (usize, Vec<u8>) {
    const MOST: usize = 64 * MIB;
    let (mut reader, mut writer) = tokio::io::split(socket);
    // Who does not read might be held up by what it is told.
    let reading = tokio::spawn(async move {
        let mut said = Vec::new();
        // It may be reset.
        let _ = reader.read_to_end(&mut said).await;
        said
    });
    writer.write_all(begin).await.unwrap();
    let mut sent = 0;
    while sent < MOST {
        if timeout(LONG, writer.write_all(again)).await.expect("neither taken nor closed").is_err() {
            break;
        }
        sent += again.len();
    }
    (sent, timeout(LONG, reading).await.expect("still open").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_headers() {
    let site = Site::start("");
    let mut session = site.connect().await;
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
    let before = memory(&site.server, "VmRSS");
    let head = |flags: u8, block: &[u8]| [PREFACE, &frame(HEADERS, flags, 1, block)].concat();
    let many = |count: usize, field: &[u8]| field.repeat(count);
    let continued = |block: &[u8]| frame(CONTINUATION, 0, 1, block);
    // An entry of the static table, of which each byte makes sixty (RFC 7541, 4.1).
    let indexed = many(16_000, b"\x90");
    // A value that goes on through all frames.
    let endless = [GET, b"\0\x06x-long\x7f\xff\xff\xff\x7f"].concat();
    let trailers = [head(END_HEADERS, POST), frame(DATA, 0, 1, b"d"), frame(HEADERS, END_STREAM, 1, b"")].concat();
    for (what, begin, again) in [
        ("long lines", head(END_STREAM, GET), continued(&many(15, &header("x-flood", 1000)))),
        ("small lines", head(END_STREAM, GET), continued(&many(1400, b"\0\x07x-small\x01a"))),
        ("indexed lines", head(END_STREAM, GET), continued(&indexed)),
        ("one line", head(END_STREAM, &endless), continued(&[b'a'; 16_000])),
        ("empty frames", head(END_STREAM, GET), continued(b"")),
        ("trailers", trailers, continued(&many(15, &header("x-flood", 1000)))),
        ("data by the byte", head(END_HEADERS, POST), frame(DATA, 0, 1, b"d").repeat(1000)),
    ] {
        let (sent, said) = flood(site.socket().await, &begin, &again).await;
        assert!(sent < 64 * MIB, "{what}: the server took {sent} bytes");
        // ENHANCE_YOUR_CALM (RFC 9113, 7): it is for the flood that it closes.
        assert!(said.windows(4).any(|code| code == b"\0\0\0\x0b"), "{what}: {}", said.escape_ascii());
    }
    let grown = memory(&site.server, "VmHWM").saturating_sub(before);
    assert!(grown < 32 * MIB, "grew by {grown} bytes");
    assert_eq!(session.get("/versions").await.unwrap().0, 200);
}

/// The stream's next frame is the head of an answer, and by its index in the static table the status is 200.
async fn assert_answered(socket: &mut TlsStream<TcpStream>, stream: u32) {
    loop {
        let mut head = [0; 9];
        timeout(LONG, socket.read_exact(&mut head)).await.expect("no answer").expect("closed without an answer");
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        socket.read_exact(&mut payload).await.unwrap();
        if head[5..] == stream.to_be_bytes() {
            assert!(head[3] == HEADERS && payload.starts_with(b"\x88"), "{head:?} {payload:?}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_with_the_signal_is_answered() {
    let ask = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
    for _ in 0..10 {
        let mut site = Site::start("");
        let (mut fresh, mut kept) = (site.socket().await, site.socket().await);
        kept.write_all(&[PREFACE, &ask(1)].concat()).await.unwrap();
        assert_answered(&mut kept, 1).await;
        fresh.write_all(&[PREFACE, &ask(1)].concat()).await.unwrap();
        kept.write_all(&ask(3)).await.unwrap();
        site.server.signal(Signal::SIGTERM);
        assert_answered(&mut fresh, 1).await;
        assert_answered(&mut kept, 3).await;
        drop((fresh, kept));
        assert!(site.server.wait().success());
    }
}

/// Clients who stall in the middle of a document have all the memory, when one comes who sends at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_come_slowly_give_way() {
    let site = Site::start("");
    let (sent, mut sessions, mut slow) = (AtomicUsize::new(0), Vec::new(), Vec::new());
    // Each takes a quarter of a MiB, all together nearly what there is.
    for _ in 0..6 {
        let mut session = site.connect().await;
        for _ in 0..84 {
            slow.push(session.begin("POST", "/v2/images", JSON).await);
        }
        sessions.push(session);
    }
    let sending = join_all(slow.iter_mut().map(|(_, stream)| send_some(stream, 132 << 10, &sent)));
    timeout(LONG, sending).await.expect("the last ones are let in while there is room");
    let document = format!(r#"{{"name":"fast"{}}}"#, " ".repeat(MIB - 100));
    // Twelve of them are more than what the slow ones have left.
    let mut others = site.connect().await;
    let mut fast = Vec::new();
    for _ in 0..12 {
        fast.push(others.begin("POST", "/v2/images", JSON).await);
    }
    let answers = fast.into_iter().map(|(response, mut stream)| {
        let document = document.as_bytes();
        async move {
            pour(&mut stream, document).await.unwrap();
            answer(response).await.unwrap().0
        }
    });
    assert_eq!(join_all(answers).await, [201; 12]);
    let mut refused = 0;
    for (response, _stream) in slow {
        if let Ok(answered) = timeout(Duration::from_millis(1), answer(response)).await {
            assert_eq!(answered.unwrap().0, 503);
            refused += 1;
        }
    }
    assert!(refused > 0, "none of the slow ones gave way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_take_little_memory_and_give_it_back() {
    let site = Site::start("");
    let mut session = site.connect().await;
    assert_eq!(session.get("/").await.unwrap().0, 300);
    let before = memory(&site.server, "VmHWM");
    let shapes = shapes();
    let mut asked = Vec::new();
    for shape in shapes.iter().cycle().take(4 * shapes.len()) {
        asked.push((shape, session.begin("POST", "/v2/images", JSON).await));
    }
    let answers = asked.into_iter().map(|((what, body, status), (response, mut stream))| async move {
        // Some are refused before all of it has come.
        let _ = pour(&mut stream, body.as_bytes()).await;
        let answered = answer(response).await.unwrap().0;
        assert!(answered == *status || answered == 503, "{what}: {answered}");
    });
    join_all(answers).await;
    let more = memory(&site.server, "VmHWM") - before;
    assert!(more < 160 * MIB + CONNECTION_WINDOW, "{} MiB more at 28 documents at once", more / MIB);
    let start = Instant::now();
    while memory(&site.server, "VmRSS") >= before + 32 * MIB {
        assert!(start.elapsed() < LONG, "memory is not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_whether_a_body_is_wanted_is_told_or_goes_on() {
    let site = Site::start("");
    let path = site.create().await;
    let mut session = site.connect().await;
    let headers = &[("content-type", "application/octet-stream"), ("expect", "100-continue"), ("content-length", "4")];
    let missing = "/v2/images/00000000-0000-4000-8000-000000000000/file";
    let (response, _unsent) = session.begin("PUT", missing, headers).await;
    assert_eq!(answer(response).await.unwrap().0, 404, "it is not wanted");

    // HTTP/2 has a frame by which the head is told from the body, so 100 is no more than a word (RFC 9110, 10.1.1).
    let (mut response, mut stream) = session.begin("PUT", &path, headers).await;
    site.becomes(&path, "saving").await;
    let said = std::future::poll_fn(|context| std::task::Poll::Ready(response.poll_informational(context))).await;
    if let std::task::Poll::Ready(Some(said)) = said {
        assert_eq!(said.unwrap().status(), 100);
    }
    pour(&mut stream, b"data").await.unwrap();
    assert_eq!(answer(response).await.unwrap().0, 204);
    assert_eq!(session.get(&path).await.unwrap().1, b"data");
}
