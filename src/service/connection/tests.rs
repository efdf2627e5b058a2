//! File regions over real sockets and hyper, down to the byte. These tests fail when a new hyper treats bodies otherwise
//! than the stand-ins need.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Activity;
use super::sendfile::SendFile;
use super::wire::{Io, Wire};
use crate::api;
use crate::service::body::{Lane, ResponseBody};
use crate::service::counters::Counters;
use crate::store::{FileRegion, OpenFile, Reader};
use crate::sys::nowait;

const SIZE: usize = 3 * 1024 * 1024 + 4321;

fn content() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..SIZE)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Answers `/KIND/OFFSET/LENGTH`: a region of the file (`file`), the same bytes from memory (`memory`).
struct Server {
    address: SocketAddr,
    content: Arc<Vec<u8>>,
    file: Arc<OpenFile>,
    counters: Arc<Counters>,
}

impl Server {
    async fn start(with_lane: bool) -> Self {
        Self::start_sending_by(Io::send_file, with_lane).await
    }

    async fn start_sending_by(send: SendFile, with_lane: bool) -> Self {
        let content = Arc::new(content());
        // Beside the sources: a temporary file system may keep its files in memory.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&content).unwrap();
        let (file, counters) = (OpenFile::shared(file), Arc::new(Counters::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), content, file, counters };
        let (content, file, counters) =
            (Arc::clone(&server.content), Arc::clone(&server.file), Arc::clone(&server.counters));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let activity = Activity::new(Arc::clone(&counters));
                let lane = with_lane.then(Lane::default);
                let wire = Wire::new(Io::Tcp(stream), Arc::clone(&activity), lane.clone(), 16384).sending_by(send);
                let (content, file) = (Arc::clone(&content), Arc::clone(&file));
                let service = service_fn(move |request: Request<Incoming>| {
                    let parts: Vec<String> = request.uri().path().split('/').skip(1).map(str::to_owned).collect();
                    let (offset, length): (usize, usize) = (parts[1].parse().unwrap(), parts[2].parse().unwrap());
                    let body = if parts[0] == "file" {
                        let region =
                            FileRegion { file: Arc::clone(&file), offset: offset as u64, length: length as u64 };
                        api::Body::Data { reader: Reader::File(region), length: Some(length as u64) }
                    } else {
                        api::Body::Bytes(Bytes::copy_from_slice(&content[offset..offset + length]))
                    };
                    let head = request.method() == ::http::Method::HEAD;
                    let body = ResponseBody::new(body, head, lane.clone(), None, activity.begin());
                    async move { Ok::<_, Infallible>(Response::new(body)) }
                });
                tokio::spawn(async move {
                    let mut builder = auto::Builder::new(TokioExecutor::new());
                    builder.http1().writev(true).max_buf_size(256 * 1024);
                    let _ = builder.serve_connection(TokioIo::new(wire), service).await;
                });
            }
        });
        server
    }

    fn slice(&self, offset: usize, length: usize) -> &[u8] {
        &self.content[offset..offset + length]
    }
}

fn get(kind: &str, offset: usize, length: usize) -> String {
    format!("GET /{kind}/{offset}/{length} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Reads one answer; `step`: most bytes taken at once.
async fn answer(stream: &mut TcpStream, body: bool, step: usize) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut data = vec![0; if body { length } else { 0 }];
    let mut at = 0;
    while at < data.len() {
        let end = data.len().min(at + step);
        let read = stream.read(&mut data[at..end]).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        at += read;
    }
    Ok((head, data))
}

/// Odd sizes and offsets, always the same ones.
fn ranges(count: usize) -> Vec<(usize, usize)> {
    let mut state = 99_991_usize;
    let mut next = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 20) % limit
    };
    (0..count)
        .map(|_| {
            let offset = next(SIZE - 1);
            let most = SIZE - offset;
            let length = match next(4) {
                0 => 1 + next(10),
                1 => 1 + next(70_000),
                2 => 262_144,
                _ => 1 + next(most),
            };
            (offset, length.min(most))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_memory_arrive_as_they_are() {
    for with_lane in [true, false] {
        let server = Server::start(with_lane).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let mut wanted = vec![(0, SIZE), (0, 0), (SIZE - 1, 1)];
        wanted.extend(ranges(60));
        for (offset, length) in wanted {
            stream.write_all(get("file", offset, length).as_bytes()).await.unwrap();
            let (_, data) = answer(&mut stream, true, SIZE).await.unwrap();
            assert!(data == server.slice(offset, length), "{length} bytes from {offset}, lane: {with_lane}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_not_in_memory_arrive_as_they_are() {
    let server = Server::start(true).await;
    server.file.sync_all().unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for (offset, length) in [(0, SIZE), (1, SIZE - 1), (1_000_000, 700_000), (SIZE - 1, 1)] {
        posix_fadvise(&server.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        // A part in between, and the last byte, are.
        for at in [1_200_000, SIZE - 1] {
            nowait::read_waiting(&server.file, &mut Vec::with_capacity(1), at as u64).unwrap();
        }
        stream.write_all(get("file", offset, length).as_bytes()).await.unwrap();
        let (_, data) = answer(&mut stream, true, SIZE).await.unwrap();
        assert!(data == server.slice(offset, length), "{length} bytes from {offset}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_sendfile_refuses_arrive_as_they_are() {
    const GOOD: u64 = 1_000_000;
    let refused: SendFile = |_, _, _, _| Err(std::io::Error::from_raw_os_error(libc::EOVERFLOW));
    let breaks: SendFile = |io, file, offset, length| match usize::try_from(GOOD.saturating_sub(offset)) {
        Ok(left) if left > 0 => io.send_file(file, offset, length.min(left)),
        _ => Err(std::io::Error::from_raw_os_error(libc::EIO)),
    };
    for send in [refused, breaks] {
        let server = Server::start_sending_by(send, true).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for (offset, length) in [(0, SIZE), (999_999, 1_000_000), (7, 300)] {
            stream.write_all(get("file", offset, length).as_bytes()).await.unwrap();
            let (_, data) = answer(&mut stream, true, SIZE).await.unwrap();
            assert!(data == server.slice(offset, length), "{length} bytes from {offset}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_keep_their_order() {
    let server = Server::start(true).await;
    let ranges = ranges(40);
    let kind = |at: usize| if at.is_multiple_of(3) { "memory" } else { "file" };
    let requests: String =
        ranges.iter().enumerate().map(|(at, (offset, length))| get(kind(at), *offset, *length)).collect();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reading, mut writing) = (stream, requests);
    reading.write_all(writing.as_bytes()).await.unwrap();
    writing.clear();
    for (at, (offset, length)) in ranges.into_iter().enumerate() {
        let (_, data) = answer(&mut reading, true, SIZE).await.unwrap();
        assert!(data == server.slice(offset, length), "answer {at}: {length} bytes from {offset}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_every_byte() {
    let server = Server::start(true).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    for (step, length) in [(1, 3000), (777, 200_000), (5000, 1_500_000)] {
        stream.write_all(get("file", 12_345, length).as_bytes()).await.unwrap();
        let (_, data) = answer(&mut stream, true, step).await.unwrap();
        assert!(data == server.slice(12_345, length), "{step} bytes at once");
    }
}

#[tokio::test]
async fn a_head_has_a_length_and_no_bytes() {
    let server = Server::start(true).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"HEAD /file/0/1000 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let (head, _) = answer(&mut stream, false, SIZE).await.unwrap();
    assert!(head.contains("content-length: 1000"), "{head}");
    stream.write_all(get("file", 5, 77).as_bytes()).await.unwrap();
    let (_, data) = answer(&mut stream, true, SIZE).await.unwrap();
    assert!(data == server.slice(5, 77), "the region of the HEAD must not be in the way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_shrinks_breaks_the_answer_and_is_never_padded() {
    let server = Server::start(true).await;
    server.file.set_len(1_000_000).unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(get("file", 0, SIZE).as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received).await;
    let body = received.windows(4).position(|window| window == b"\r\n\r\n").map_or(&[][..], |at| &received[at + 4..]);
    assert!(body.len() <= 1_000_000 && body == server.slice(0, body.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_leave_nothing_behind() {
    let server = Server::start(true).await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(get("file", 0, SIZE).as_bytes()).await.unwrap();
        stream.read_u8().await.unwrap();
    }
    let done = async {
        while server.counters.in_flight() > 0 || Arc::strong_count(&server.file) > 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("requests or descriptors stay behind");
}

#[tokio::test]
async fn http2_gets_copies() {
    // By prior knowledge; the lane must not be used, as hyper's HTTP/2 copies into frames.
    let server = Server::start(false).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://x/file/7/{}", SIZE - 7)).body(http_body_util::Empty::<Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    let data = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert!(data == server.slice(7, SIZE - 7));
}
