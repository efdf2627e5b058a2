//! Requests that two readers may understand differently, by the byte: none of them is served, and nothing behind them is.

use super::data;
use super::harness::{Setup, answered};

/// Behind each of them: whoever serves it has taken a body for a request, or a request for a body.
const SMUGGLED: &str = "GET /versions?smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn codings_that_are_not_undone_never_become_image_data() {
    let server = Setup::new().start();
    let id = data::create(&server);
    for (coding, expected) in [
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: gzip", 400),
    ] {
        let mut client = server.connect();
        let head = format!(
            "PUT /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n{coding}\r\n\r\n"
        );
        client.send(format!("{head}4\r\ndata\r\n0\r\n\r\n{SMUGGLED}").as_bytes()).unwrap();
        assert_eq!(client.answer().unwrap().status, expected, "{coding}");
        assert!(client.has_ended(), "the connection goes on after {coding}");
    }
    let image = server.get(&format!("/v2/images/{id}")).unwrap();
    assert!(String::from_utf8(image.body).unwrap().contains("\"queued\""));
    let log = server.log_with(&format!("\"GET /v2/images/{id} "));
    assert!(log.contains("request refused: The only transfer coding"), "{log}");
    assert!(!log.contains("smuggled"), "{log}");
}

#[test]
fn each_request_is_for_one_host() {
    let server = Setup::new().start();
    for (head, expected) in [
        ("GET /versions HTTP/1.1\r\n\r\n", 400),
        ("GET http://x/versions HTTP/1.1\r\n\r\n", 400),
        ("GET /versions HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        ("GET /versions HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("GET /versions HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
        ("GET /versions HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
    ] {
        let mut client = server.connect();
        client.send(format!("{head}{SMUGGLED}").as_bytes()).unwrap();
        assert_eq!(client.answer().unwrap().status, expected, "{head}");
        assert!(client.has_ended(), "the connection goes on after {head}");
    }
    for head in ["GET /versions HTTP/1.1\r\nHost:\r\n\r\n", "GET /versions HTTP/1.0\r\n\r\n"] {
        let mut client = server.connect();
        client.send(head.as_bytes()).unwrap();
        assert_eq!(answered(client.answer()).status, 200, "{head}");
    }
}
