//! Tests of imports that need more than a few lines of their own.

mod crashes;
mod disks;
mod hosts;
mod others;
mod outages;
mod placeholders;
mod recovery;
mod rivals;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

/// A web server that has these files, until the end of the process. Gives its port.
fn serve(files: BTreeMap<String, Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
            let line = lines.next().unwrap_or_default();
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let found = line.split(' ').nth(1).and_then(|path| files.get(path));
            let (status, body) = found.map_or(("404 Not Found", &[][..]), |body| ("200 OK", body.as_slice()));
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            // Who asked may be gone.
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body));
        }
    });
    port
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
