//! Image data through the whole program, byte for byte.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::harness::{Answer, Client, Server, Setup, pause, wait_for};

/// Makes an image record; returns its id.
pub(crate) fn create(server: &Server) -> String {
    let body = r#"{"name": "n", "disk_format": "raw", "container_format": "bare"}"#;
    let mut client = server.connect();
    let head = format!(
        "POST /v2/images HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    let image: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    image["id"].as_str().unwrap().to_owned()
}

/// An upload that the test controls.
pub(crate) struct Upload(Client<TcpStream>);

impl Upload {
    pub(crate) fn begin(server: &Server, id: &str, length: usize) -> Self {
        let mut client = server.connect();
        let head = format!(
            "PUT /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: \
             {length}\r\n\r\n"
        );
        client.send(head.as_bytes()).unwrap();
        Self(client)
    }

    pub(crate) fn send(&mut self, count: usize) {
        self.0.send(&vec![b'd'; count]).unwrap();
    }

    pub(crate) fn finish(mut self) -> Answer {
        self.0.answer().unwrap()
    }
}

fn upload(server: &Server, data: &[u8]) -> String {
    let id = create(server);
    let mut upload = Upload::begin(server, &id, data.len());
    upload.0.send(data).unwrap();
    assert_eq!(upload.finish().status, 204);
    id
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    (0..size)
        .map(|_| {
            state ^= state << 7;
            state ^= state >> 9;
            state as u8
        })
        .collect()
}

#[test]
fn downloads_are_whole_with_and_without_sendfile() {
    for enabled in [true, false] {
        let server = Setup::new().more(&format!("[service]\nenable_sendfile = {enabled}")).start();
        let data = noise(5_000_001);
        let id = upload(&server, &data);
        let path = format!("/v2/images/{id}/file");
        let mut client = server.connect();
        for _ in 0..3 {
            let answer = client.get(&path).unwrap();
            assert!(answer.status == 200 && answer.body == data);
        }
        // Pipelined, with ranges and JSON between.
        let ranges = [(0, 0), (1, 300_000), (262_143, 262_145), (4_999_999, 5_000_000), (7, 4_000_007)];
        let mut requests = String::new();
        for (first, last) in ranges {
            requests += &format!("GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes={first}-{last}\r\n\r\n");
            requests += &format!("GET /v2/images/{id} HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        client.send(requests.as_bytes()).unwrap();
        for (first, last) in ranges {
            let answer = client.answer().unwrap();
            assert!(answer.status == 206 && answer.body == data[first..=last], "{first}-{last}");
            assert_eq!(client.answer().unwrap().status, 200);
        }
    }
}

#[test]
fn a_client_that_stops_reading_is_cut_off_and_one_that_reads_slowly_is_not() {
    let server = Setup::new().more("client_socket_timeout = 2").start();
    let data = noise(60_000_000);
    let id = upload(&server, &data);
    let request = format!("GET /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut slow = server.connect();
    slow.send(request.as_bytes()).unwrap();
    let mut stuck = server.connect();
    stuck.send(request.as_bytes()).unwrap();
    let start = Instant::now();
    let mut buffer = vec![0; 1_000_000];
    while start.elapsed() < Duration::from_secs(6) {
        pause(Duration::from_millis(200));
        std::io::Read::read_exact(&mut slow.stream, &mut buffer).unwrap();
    }
    // What is in the kernel's buffers still comes, but not all of it.
    let mut received = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stuck.stream, &mut received);
    assert!(received.len() < data.len(), "a client that took nothing for three times the limit got everything");
}

#[test]
fn an_upload_that_stalls_ends() {
    let server = Setup::new().more("client_socket_timeout = 1").start();
    let id = create(&server);
    let mut upload = Upload::begin(&server, &id, 1000);
    upload.send(10);
    let start = Instant::now();
    let answer = upload.0.answer();
    assert!(start.elapsed() < Duration::from_secs(10), "{answer:?}");
    wait_for("the image to be as before", || {
        let image = server.get(&format!("/v2/images/{id}")).unwrap();
        String::from_utf8(image.body).unwrap().contains("\"queued\"").then_some(())
    });
}

#[test]
fn continue_is_said_only_when_the_body_is_wanted() {
    let server = Setup::new().start();
    let id = create(&server);
    let head = |path: &str| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: \
             4\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut wanted = server.connect();
    wanted.send(head(&format!("/v2/images/{id}/file")).as_bytes()).unwrap();
    assert_eq!(wanted.answer().unwrap().status, 100);
    wanted.send(b"data").unwrap();
    assert_eq!(wanted.answer().unwrap().status, 204);
    let mut unwanted = server.connect();
    unwanted.send(head("/v2/images/00000000-0000-4000-8000-000000000000/file").as_bytes()).unwrap();
    assert_eq!(unwanted.answer().unwrap().status, 404);
}
