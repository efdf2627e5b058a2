//! What the identity service is asked across reloads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::json;

use super::harness::{Client, Server, Setup, wait_for};

/// As much of Keystone as validates tokens: everybody is known as a member of one project.
pub(crate) struct Keystone {
    port: u16,
    counts: Arc<Counts>,
    open: Mutex<Option<Open>>,
}

#[derive(Default)]
struct Counts {
    logins: AtomicU32,
    validations: AtomicU32,
    /// About limits.
    questions: AtomicU32,
    connections: AtomicU32,
}

struct Open {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keystone {
    pub(crate) fn start() -> Self {
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
    } else if let Some(document) = of_limits(&line) {
        counts.questions.fetch_add(1, Ordering::SeqCst);
        return send(reader.get_mut(), "200 OK", &document.to_string());
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
    send(reader.get_mut(), status, &token);
}

fn send(stream: &mut TcpStream, status: &str, document: &str) {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Subject-Token: own\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{document}", document.len()).unwrap();
}

/// What is registered: three MiB, and as many images as anybody wants.
fn of_limits(line: &str) -> Option<serde_json::Value> {
    let registered = |name: &str, limit: i64| json!({"resource_name": name, "default_limit": limit});
    let path = line.strip_prefix("GET /v3/")?.split([' ', '?']).next()?;
    Some(match path {
        "limits/model" => json!({"model": {"name": "flat"}}),
        "endpoints/own" => json!({"endpoint": {"service_id": "glance", "region_id": null}}),
        "limits" => json!({"limits": []}),
        "registered_limits" => json!({"registered_limits": [
            registered("image_size_total", 3), registered("image_stage_total", 0), registered("image_count_total", -1),
            registered("image_count_uploading", -1),
        ]}),
        _ => return None,
    })
}

pub(crate) fn with_keystone(keystone: &Keystone, more: &str) -> String {
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
fn a_region_that_the_catalog_does_not_have_is_told_with_file_and_line() {
    let keystone = Keystone::start();
    let options = with_keystone(&keystone, "") + "region_name = Two\n";
    let server = Setup::new().more(&options).start();
    assert_eq!(status(&server, "known"), 503);
    let log = server.log_with("region_name is Two");
    let line = log.lines().find(|line| line.contains("region_name is Two")).unwrap();
    let (place, _) = line.split_once(": [keystone_authtoken] region_name is Two").unwrap();
    let (file, number) = place.rsplit_once(':').unwrap();
    assert!(file.ends_with("/glance-api.conf") && number.parse::<u32>().is_ok(), "{line}");
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

fn with_limits(keystone: &Keystone) -> String {
    let login = with_keystone(keystone, "use_keystone_limits = true");
    format!(
        "{login}[oslo_limit]\nauth_type = password\nauth_url = http://127.0.0.1:{}/v3\nusername = glance\npassword = secret\n\
         user_domain_id = default\nsystem_scope = all\nendpoint_id = own\nvalid_interfaces = internal\n",
        keystone.port
    )
}

/// Sends a request with a body, of which the last bytes come only when `go` says so.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
    go: impl FnOnce(),
) -> (u16, serde_json::Value) {
    let mut client = Client::new(TcpStream::connect(address).unwrap());
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: known\r\n{headers}\r\n");
    let (first, last) = body.split_at(body.len() / 2);
    client.send(&[head.as_bytes(), first].concat()).unwrap();
    go();
    // A service that refuses need not read on.
    let _ = client.send(last);
    let answer = client.answer().unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

pub(crate) fn create(server: &Server) -> String {
    let body = br#"{"disk_format": "raw", "container_format": "bare"}"#;
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let (status, document) = ask(server.address(), "POST", "/v2/images", &headers, body, || {});
    assert_eq!(status, 201, "{document}");
    document["id"].as_str().unwrap().to_owned()
}

/// Uploads at the same time, each so many bytes; returns the statuses, sorted.
fn upload_together(server: &Server, bytes: usize, count: usize, chunked: bool) -> Vec<u16> {
    let (together, address) = (std::sync::Barrier::new(count), server.address());
    let images: Vec<String> = (0..count).map(|_| create(server)).collect();
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let uploads: Vec<_> = images
            .iter()
            .map(|image| {
                let together = &together;
                scope.spawn(move || {
                    let data = vec![b'x'; bytes];
                    let (length, body) = if chunked {
                        let text = [format!("{bytes:x}\r\n").as_bytes(), &data, b"\r\n0\r\n\r\n"].concat();
                        ("Transfer-Encoding: chunked".to_owned(), text)
                    } else {
                        (format!("Content-Length: {bytes}"), data)
                    };
                    let headers = format!("Content-Type: application/octet-stream\r\n{length}\r\n");
                    let go = || {
                        together.wait();
                    };
                    ask(address, "PUT", &format!("/v2/images/{image}/file"), &headers, &body, go).0
                })
            })
            .collect();
        uploads.into_iter().map(|upload| upload.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    statuses
}

fn used(server: &Server) -> i64 {
    let (status, document) = ask(server.address(), "GET", "/v2/info/usage", "", b"", || {});
    assert_eq!(status, 200);
    document["usage"]["image_size_total"]["usage"].as_i64().unwrap()
}

#[test]
fn uploads_at_the_same_time_do_not_overrun_a_limit_together() {
    const MIB: usize = 1 << 20;
    let keystone = Keystone::start();
    let server = Setup::new().more(&with_limits(&keystone)).start();
    // Of announced sizes none is lost sight of: three MiB at most.
    let statuses = upload_together(&server, MIB, 8, false);
    assert!(used(&server) <= 3, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 413].contains(status)), "{statuses:?}");
    while used(&server) < 3 {
        assert_eq!(upload_together(&server, MIB, 1, false), [204]);
    }
    assert_eq!(upload_together(&server, MIB, 2, false), [413, 413]);

    // Where nobody knows beforehand how much comes, one image may lie over the limit.
    let statuses = upload_together(&server, 4 * MIB, 6, true);
    assert!(statuses.iter().filter(|status| **status == 204).count() <= 1, "{statuses:?}");
    assert!(used(&server) <= 7);
    upload_together(&server, 4 * MIB, 1, true);
    assert_eq!(upload_together(&server, 1, 2, true), [413, 413]);
    assert_eq!(used(&server), 7);
}

#[test]
fn without_the_keystone_that_keeps_limits_images_are_read_and_not_made() {
    let keystone = Keystone::start();
    let server = Setup::new().more(&with_limits(&keystone)).start();
    let image = create(&server);
    let before = keystone.counts.questions.load(Ordering::SeqCst);
    keystone.go();
    let of_image = format!("/v2/images/{image}");
    let headers = "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n";
    for (method, path, headers, body, expected) in [
        ("GET", "/v2/images", "", "", 200),
        ("GET", of_image.as_str(), "", "", 200),
        ("GET", "/v2/info/usage", "", "", 503),
        ("POST", "/v2/images", "Content-Type: application/json\r\nContent-Length: 2\r\n", "{}", 503),
        ("PUT", &format!("{of_image}/file"), headers, "ab", 503),
        ("PUT", &format!("{of_image}/tags/t"), "Content-Length: 0\r\n", "", 204),
        ("DELETE", &of_image, "", "", 204),
    ] {
        let (status, document) = ask(server.address(), method, path, headers, body.as_bytes(), || {});
        assert_eq!(status, expected, "{method} {path}: {document}");
    }
    assert_eq!(keystone.counts.questions.load(Ordering::SeqCst), before);
    keystone.come();
    wait_for("limits to be known again", || {
        (ask(server.address(), "GET", "/v2/info/usage", "", b"", || {}).0 == 200).then_some(())
    });
}

#[test]
fn staged_data_outlasts_an_import_while_the_keystone_that_keeps_limits_is_away() {
    let keystone = Keystone::start();
    let setup = Setup::new();
    let folders = ["fast", "os_glance_staging_store", "os_glance_tasks_store"]
        .map(|store| format!("[{store}]\nfilesystem_store_datadir = {}\n", setup.path(store).display()));
    let more = format!(
        "enabled_backends = fast:file\n{}[glance_store]\ndefault_backend = fast\n{}[wsgi]\ntask_pool_threads = 1\n\
         [import_filtering_opts]\nallowed_hosts = [127.0.0.1]\nallowed_ports = []\n",
        with_limits(&keystone),
        folders.concat()
    );
    let server = setup.more(&more).start();
    let send = |method: &str, path: &str, kind: &str, body: &str| {
        let headers = format!("Content-Type: application/{kind}\r\nContent-Length: {}\r\n", body.len());
        ask(server.address(), method, path, &headers, body.as_bytes(), || {})
    };
    let import = |image: &str, method: &serde_json::Value| {
        let document = json!({"method": method, "stores": ["fast"], "all_stores_must_succeed": false}).to_string();
        let (status, answer) = send("POST", &format!("/v2/images/{image}/import"), "json", &document);
        assert_eq!(status, 202, "{answer}");
    };
    let ended = |image: &str| {
        wait_for("the end of the import", || {
            let image = ask(server.address(), "GET", &format!("/v2/images/{image}"), "", b"", || {}).1;
            image.get("os_glance_import_task").is_none().then_some(image)
        })
    };
    // Another import is before it, so that Keystone can go between the request and the work.
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", web.local_addr().unwrap());
    let (first, staged) = (create(&server), create(&server));
    import(&first, &json!({"name": "web-download", "uri": url}));
    let (asked, _) = web.accept().unwrap();
    assert_eq!(send("PUT", &format!("/v2/images/{staged}/stage"), "octet-stream", "ab").0, 204);
    let direct = json!({"name": "glance-direct"});
    import(&staged, &direct);
    keystone.go();
    drop((web, asked));
    assert_eq!(ended(&first)["status"], "queued");
    let image = ended(&staged);
    assert_eq!((&image["status"], &image["size"]), (&json!("uploading"), &json!(2)), "{image}");
    keystone.come();
    // Limits are asked for again after a moment.
    wait_for("limits to be known again", || {
        (ask(server.address(), "GET", "/v2/info/usage", "", b"", || {}).0 == 200).then_some(())
    });
    import(&staged, &direct);
    let image = ended(&staged);
    assert_eq!((&image["status"], &image["stores"]), (&json!("active"), &json!("fast")), "{image}");
}
