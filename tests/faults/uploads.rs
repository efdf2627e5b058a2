//! What comes between an upload and its end: another upload, a deletion.

use std::io::{BufReader, Write};
use std::time::Duration;

use crate::common::{Answer, Body, Request, Server, wait_for};
use crate::{MIB, begin_upload, create, files, upload};

#[test]
fn of_two_uploads_one_wins() {
    let server = Server::simple();
    let id = create(&server);
    let mut first = begin_upload(&server, &id, 2 * MIB, MIB);
    let second = server.send(&upload(&id, Body::Sized(vec![b'2'; 10])));
    assert_eq!(second.status, 409, "{}", second.text());
    first.write_all(&vec![b'x'; MIB]).unwrap();
    let answer = Answer::read(&mut BufReader::new(first), "PUT").unwrap();
    assert_eq!(answer.status, 204);
    let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200);
    assert!(data.body == vec![b'x'; 2 * MIB]);
    assert_eq!(files(&server.conf.dir.join("images")).len(), 1);
}

#[test]
fn delete_in_an_upload() {
    let server = Server::simple();
    let id = create(&server);
    let mut stream = begin_upload(&server, &id, 2 * MIB, MIB);
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    // The server may close before it has taken all.
    let _ = stream.write_all(&vec![b'x'; MIB]);
    let answer = Answer::read(&mut BufReader::new(stream), "PUT").unwrap();
    assert_eq!(answer.status, 410, "{}", answer.text());
    let store = server.conf.dir.join("images");
    wait_for("no data is left", Duration::from_secs(20), || files(&store).is_empty().then_some(()));
    server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(404);
}
