//! A web server for the cases of a file. Each side has its own, so that what it asks for is known.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long somebody is waited for who should ask.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has so many bytes under each path, until the end of the process. Of paths that are held back it gives half of them at first.
pub(crate) struct Web {
    /// Host and port.
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    files: BTreeMap<String, usize>,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    /// The paths that are held back, and of these the ones that somebody has asked for.
    back: BTreeSet<String>,
    asked: BTreeSet<String>,
}

impl Web {
    /// None where there are no files.
    pub(crate) fn start(files: &BTreeMap<String, usize>, held_back: BTreeSet<String>) -> Option<Self> {
        if files.is_empty() {
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let held = Mutex::new(Held { back: held_back, asked: BTreeSet::new() });
        let shared = Arc::new(Shared { files: files.clone(), held, changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, serving) = (connection.unwrap(), Arc::clone(&serving));
                std::thread::spawn(move || serving.serve(connection));
            }
        });
        Some(Self { address, shared })
    }

    /// Waits until somebody has half of what is held back at this path. Whether that came about.
    pub(crate) fn has_asked(&self, path: &str) -> bool {
        let held = self.shared.held.lock().unwrap();
        let waited = self.shared.changed.wait_timeout_while(held, PATIENCE, |held| !held.asked.contains(path));
        !waited.unwrap().1.timed_out()
    }

    /// Gives the other half, and whole files from now on.
    pub(crate) fn let_go(&self, path: &str) {
        self.shared.held.lock().unwrap().back.remove(path);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn serve(&self, mut connection: TcpStream) {
        let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
        let line = lines.next().unwrap_or_default();
        while lines.next().is_some_and(|line| !line.is_empty()) {}
        let (method, path) = line.split_once(' ').unwrap_or_default();
        let path = path.split(' ').next().unwrap_or_default();
        let size = self.files.get(path);
        let (status, body) = size.map_or(("404 Not Found", vec![]), |size| ("200 OK", vec![b'x'; *size]));
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let (first, second) = body.split_at(if method == "HEAD" { 0 } else { body.len() / 2 });
        // Who asked may be gone.
        let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(first));
        if method != "HEAD" {
            self.wait_to_be_let_go(path);
            let _ = connection.write_all(second);
        }
    }

    fn wait_to_be_let_go(&self, path: &str) {
        let mut held = self.held.lock().unwrap();
        held.asked.insert(path.to_owned());
        self.changed.notify_all();
        drop(self.changed.wait_while(held, |held| held.back.contains(path)).unwrap());
    }
}
