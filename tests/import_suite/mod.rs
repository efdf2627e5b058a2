//! Tests of imports that need more than a few lines of their own.

mod attacks;
mod changes;
mod crashes;
mod disks;
mod forwarding;
mod hosts;
mod injection;
mod others;
mod outages;
mod placeholders;
mod priorities;
mod recovery;
mod rivals;
mod signatures;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::json;

use super::common::{Conf, Request};

/// A web server that has these files, until the end of the process. Gives its port.
fn serve(files: BTreeMap<String, Vec<u8>>) -> u16 {
    serve_by(|_| move |_: &str, path: &str| files.get(path).cloned())
}

/// A web server that answers to method and path. `make` is told its port.
fn serve_by<F>(make: impl FnOnce(u16) -> F) -> u16
where
    F: Fn(&str, &str) -> Option<Vec<u8>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let find = make(port);
    thread::spawn(move || {
        for connection in listener.incoming() {
            // Who asked may be gone.
            let _ = answer(&connection.unwrap(), &find);
        }
    });
    port
}

fn answer(mut connection: &TcpStream, find: &impl Fn(&str, &str) -> Option<Vec<u8>>) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    let (mut line, mut header, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut line)?;
    while reader.read_line(&mut header)? > 2 {
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        header.clear();
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    let mut words = line.split(' ');
    let found = find(words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let body = found.unwrap_or_default();
    // The header is what Keystone tells a token by.
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nX-Subject-Token: known\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(&body)
}

/// Asks for tokens at a Keystone that is one of the web servers above.
fn with_keystone(conf: Conf, port: u16) -> Conf {
    conf.keystone_at(&format!("http://127.0.0.1:{port}/v3"), "secret")
}

/// What such a Keystone says of everybody's token: it is an administrator's, and the same web server is the Image service of the region
/// `Elsewhere`.
fn token(port: u16) -> Vec<u8> {
    let domain = json!({"id": "default", "name": "Default"});
    let endpoint = |interface: &str, path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        json!({"interface": interface, "region": "Elsewhere", "region_id": "Elsewhere", "url": url})
    };
    let token = json!({
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "user": {"id": "u1", "name": "admin", "domain": domain},
        "project": {"id": "p1", "name": "admin", "domain": domain},
        "roles": [{"id": "r1", "name": "admin"}, {"id": "r2", "name": "member"}, {"id": "r3", "name": "reader"}],
        "catalog": [
            {"type": "identity", "endpoints": [endpoint("internal", "/v3")]},
            {"type": "image", "endpoints": [endpoint("public", "")]},
        ],
    });
    json!({"token": token}).to_string().into_bytes()
}

/// A request with a token that such a Keystone knows.
fn known(method: &str, path: &str) -> Request {
    Request::new(method, path).header("X-Auth-Token", "known")
}

/// A disk of one MiB without structure.
fn plain_disk() -> Vec<u8> {
    let mut state = 7_u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..1 << 20).map(byte).collect()
}

/// The disk in another format, as qemu-img writes it.
fn disk_in(format: &str, disk: &[u8], folder: &Path) -> Vec<u8> {
    let [plain, written] = ["plain", format].map(|name| folder.join(name));
    std::fs::write(&plain, disk).unwrap();
    let arguments = ["convert", "-f", "raw", "-O", format];
    let done = Command::new("qemu-img").args(arguments).arg(&plain).arg(&written).output();
    assert!(done.expect("qemu-img: apt-get install qemu-utils").status.success());
    std::fs::read(&written).unwrap()
}
