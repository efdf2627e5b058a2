//! Uploads, whole and begun.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::{Body, Request, Server, http, wait_for};

pub(crate) fn status(server: &Server, id: &str) -> String {
    let answer = server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200);
    answer.json()["status"].as_str().unwrap().to_owned()
}

pub(crate) fn upload(id: &str, body: Body) -> Request {
    Request::new("PUT", &format!("/v2/images/{id}/file")).data(body)
}

/// Begins an upload of `length` bytes, sends `part` of them, and waits until the service has taken the image.
pub(crate) fn begin_upload(server: &Server, id: &str, length: usize, part: usize) -> TcpStream {
    let mut stream = http::connect(server.address).unwrap();
    let head = Request::new("PUT", &format!("/v2/images/{id}/file"))
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", &length.to_string())
        .head("localhost");
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; part]).unwrap();
    wait_for("the image is being saved", Duration::from_secs(30), || (status(server, id) == "saving").then_some(()));
    stream
}
