//! What the identity service is asked across reloads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::json;

use super::harness::{Client, Server, Setup, wait_for};

/// As much of Keystone as validates tokens: everybody is known as a member of one project.
struct Keystone {
    port: u16,
    counts: Arc<Counts>,
    open: Mutex<Option<Open>>,
}

#[derive(Default)]
struct Counts {
    logins: AtomicU32,
    validations: AtomicU32,
    connections: AtomicU32,
}

struct Open {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keystone {
    fn start() -> Self {
        let keystone = Self { port: super::harness::free_port(), counts: Arc::default(), open: Mutex::default() };
        keystone.come();
        keystone
    }

    /// Answers from now on.
    fn come(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let (stop, counts, port) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.counts), self.port);
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                counts.connections.fetch_add(1, Ordering::SeqCst);
                answer(stream, &counts, port);
            }
        });
        *self.open.lock().unwrap() = Some(Open { stop, thread });
    }

    /// Refuses connections from now on.
    fn go(&self) {
        let Some(Open { stop, thread }) = self.open.lock().unwrap().take() else { return };
        stop.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        thread.join().unwrap();
    }

    fn logins(&self) -> u32 {
        self.counts.logins.load(Ordering::SeqCst)
    }

    fn validations(&self) -> u32 {
        self.counts.validations.load(Ordering::SeqCst)
    }
}

impl Drop for Keystone {
    fn drop(&mut self) {
        self.go();
    }
}

/// One request on each connection.
fn answer(stream: TcpStream, counts: &Counts, port: u16) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).unwrap();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap() <= 2 {
            break;
        }
        let header = header.to_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let (status, count) = if line.starts_with("POST /v3/auth/tokens") {
        ("201 Created", &counts.logins)
    } else if line.starts_with("GET /v3/auth/tokens") {
        ("200 OK", &counts.validations)
    } else {
        ("404 Not Found", &counts.connections)
    };
    count.fetch_add(1, Ordering::SeqCst);
    let domain = json!({"id": "default", "name": "Default"});
    let token = json!({"token": {
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "user": {"id": "u1", "name": "demo", "domain": domain},
        "project": {"id": "p1", "name": "demo", "domain": domain},
        "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
        "catalog": [{"type": "identity", "endpoints": [
            {"interface": "internal", "region": "One", "url": format!("http://127.0.0.1:{port}/v3")}]}],
    }})
    .to_string();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Subject-Token: own\r\nConnection: close\r\n");
    write!(reader.get_mut(), "{head}Content-Length: {}\r\n\r\n{token}", token.len()).unwrap();
}

fn with_keystone(keystone: &Keystone, more: &str) -> String {
    format!(
        "{more}\n[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_type = password\n\
         auth_url = http://127.0.0.1:{}/v3\nusername = glance\npassword = secret\nproject_name = service\n\
         user_domain_id = default\nproject_domain_id = default\nhttp_request_max_retries = 0\n",
        keystone.port
    )
}

#[track_caller]
fn status(server: &Server, token: &str) -> u16 {
    let mut client = Client::new(TcpStream::connect(server.address()).unwrap());
    let request = format!("GET /v2/images HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {token}\r\n\r\n");
    client.send(request.as_bytes()).unwrap();
    client.answer().unwrap().status
}

#[test]
fn callers_that_are_known_are_served_through_reloads_while_keystone_is_away() {
    let keystone = Keystone::start();
    let server = Setup::new().more(&with_keystone(&keystone, "")).start();
    assert_eq!(status(&server, "known"), 200);
    assert_eq!((keystone.logins(), keystone.validations()), (1, 1));

    keystone.go();
    for options in ["debug = true", "debug = false\nhttp_keepalive = false"] {
        server.configure_more(&with_keystone(&keystone, options));
        assert!(server.reload().0);
        assert_eq!(status(&server, "known"), 200);
    }
    assert_eq!(status(&server, "other"), 503);

    // The service's own login holds as well.
    keystone.come();
    wait_for("Keystone to be found again", || (status(&server, "other") == 200).then_some(()));
    assert_eq!(keystone.logins(), 1);
}

#[test]
fn other_options_of_keystone_begin_anew() {
    let keystone = Keystone::start();
    let server = Setup::new().more(&with_keystone(&keystone, "")).start();
    assert_eq!(status(&server, "known"), 200);
    server.configure_more(&with_keystone(&keystone, "").replace("password = secret", "password = renewed"));
    assert!(server.reload().0);
    assert_eq!(status(&server, "known"), 200);
    assert_eq!((keystone.logins(), keystone.validations()), (2, 2));
}
