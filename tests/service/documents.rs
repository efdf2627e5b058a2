//! What one JSON document can cost: the size of the answer, time, memory, and the threads that serve others.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::data;
use super::harness::{Answer, Client, Server, Setup, answered, pause, wait_for};

const JSON: &str = "application/json";
const PATCH: &str = "application/openstack-images-v2.1-json-patch";
const DATA: &str = "application/octet-stream";
const MIB: usize = 1 << 20;

fn request(method: &str, path: &str, kind: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn send(server: &Server, method: &str, path: &str, kind: &str, body: &str) -> Answer {
    send_to(server.address(), method, path, kind, body)
}

fn send_to(address: SocketAddr, method: &str, path: &str, kind: &str, body: &str) -> Answer {
    let mut client = Client::new(TcpStream::connect(address).unwrap());
    // A refusal may come before everything is sent.
    let _ = client.send(&request(method, path, kind, body));
    client.answer().unwrap()
}

fn create(server: &Server, document: &str) -> Answer {
    send(server, "POST", "/v2/images", JSON, document)
}

fn additions(count: usize) -> String {
    let each: Vec<String> =
        (0..count).map(|number| format!(r#"{{"op":"add","path":"/p{number}","value":"v"}}"#)).collect();
    format!("[{}]", each.join(","))
}

/// Bytes in memory: now (`VmRSS`), or at most until now (`VmHWM`).
pub(crate) fn memory(server: &Server, field: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Processor time that the server has taken so far.
fn processor_time(server: &Server) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn time_of(server: &Server, work: impl FnOnce()) -> Duration {
    let before = processor_time(server);
    work();
    processor_time(server) - before
}

#[test]
fn an_answer_is_short_however_large_the_refused_value() {
    let server = Setup::new().start();
    let id = data::create(&server);
    let before = memory(&server, "VmHWM");
    let indented = format!(r#"{{"{}":[{}0]}}"#, "k".repeat(20_000), "0,".repeat(19_999));
    let long = "n".repeat(MIB);
    let image = format!("/v2/images/{id}");
    for (what, method, path, kind, body, status) in [
        ("a value in layout", "POST", "/v2/images", JSON, format!(r#"{{"name":{indented}}}"#), 400),
        ("a long name", "POST", "/v2/images", JSON, format!(r#"{{"name":"{long}"}}"#), 400),
        ("a long property", "POST", "/v2/images", JSON, format!(r#"{{"{long}":1}}"#), 400),
        ("a patch", "PATCH", &image, PATCH, format!(r#"[{{"op":"add","path":"/name","value":{indented}}}]"#), 400),
        ("an operation", "PATCH", &image, PATCH, format!(r#"[{{"op":{indented},"path":"/name"}}]"#), 400),
        ("a pointer", "PATCH", &image, PATCH, format!(r#"[{{"op":"add","path":"{long}"}}]"#), 400),
        (
            "many steps",
            "PATCH",
            &image,
            PATCH,
            format!(r#"[{{"op":"remove","path":"{}"}}]"#, "/a".repeat(MIB / 2)),
            400,
        ),
        ("a reserved name", "PATCH", &image, PATCH, format!(r#"[{{"op":"remove","path":"/os_glance{long}"}}]"#), 403),
        ("a missing property", "PATCH", &image, PATCH, format!(r#"[{{"op":"remove","path":"/{long}"}}]"#), 409),
    ] {
        let answer = send(&server, method, path, kind, &body);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.len() < 32 << 10, "{what}: {} bytes", answer.body.len());
    }
    let more = memory(&server, "VmHWM") - before;
    assert!(more < 64 * MIB, "{} MiB more", more / MIB);
}

#[test]
fn an_answer_is_short_in_every_form_whatever_is_echoed() {
    let server = Setup::new().more("max_header_line = 0").start();
    let id = data::create(&server);
    let long = "i".repeat(60_000);
    let method = "M".repeat(60_000);
    let (quotes, emoji) = ("'".repeat(MIB), "\u{1f600}".repeat(MIB / 4));
    let tag = format!("/v2/images/{id}/tags/{long}");
    let named = |text: &str| format!(r#"{{"name":"{text}"}}"#);
    for (what, method, path, body, status) in [
        ("a name of quotes", "POST", "/v2/images".to_owned(), named(&quotes), 400),
        ("a name of emoji", "POST", "/v2/images".to_owned(), named(&emoji), 400),
        ("an image", "GET", format!("/v2/images/{long}"), String::new(), 404),
        ("data", "GET", format!("/v2/images/{long}/file"), String::new(), 404),
        ("a deletion", "DELETE", format!("/v2/images/{long}"), String::new(), 404),
        ("a tag of an image", "PUT", format!("/v2/images/{long}/tags/t"), String::new(), 404),
        ("a tag", "PUT", tag, String::new(), 400),
        ("members", "GET", format!("/v2/images/{long}/members"), String::new(), 404),
        ("a member", "GET", format!("/v2/images/{id}/members/{long}"), String::new(), 404),
        ("a store", "DELETE", format!("/v2/stores/{long}/{id}"), String::new(), 404),
        ("a task", "GET", format!("/v2/tasks/{long}"), String::new(), 404),
        ("a namespace", "GET", format!("/v2/metadefs/namespaces/{long}"), String::new(), 404),
        ("a method", &method, "/v2/images".to_owned(), String::new(), 405),
    ] {
        for accept in ["text/html", JSON, "text/plain"] {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let mut client = server.connect();
            client.send(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, status, "{what} {accept}: {answer:?}");
            assert!(answer.body.len() < 16 << 10, "{what} {accept}: {} bytes", answer.body.len());
        }
    }
}

type OfMany<'a, T> = &'a dyn Fn(usize) -> T;

/// Ratios of processor time between a number of things and four times as many: 4 where each costs the same, 16 where each is
/// compared with all others.
#[test]
fn work_grows_with_the_number_of_things() {
    let setup = Setup::new();
    // So that each property is looked at for what the caller may do with it.
    let protections = setup.path("protections.conf");
    fs::write(&protections, "[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n").unwrap();
    let server = setup.more(&format!("property_protection_file = {}", protections.display())).start();
    let id = data::create(&server);
    let tags = |count: usize| {
        let tags: Vec<String> = (0..count).map(|number| format!("\"tag{number}\"")).collect();
        format!(r#"{{"tags":[{}]}}"#, tags.join(","))
    };
    let properties = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("\"p{number}\":\"v\"")).collect();
        format!("{{{}}}", members.join(","))
    };
    let wrong = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("\"p{number:06}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let image = format!("/v2/images/{id}");
    let limit = |what: &str, attempted: usize| format!("image {what}. Attempted: {attempted}, Maximum: 128");
    let cases: [(&str, usize, OfMany<'_, Answer>, OfMany<'_, String>); 4] = [
        ("a patch", 2000, &|n| send(&server, "PATCH", &image, PATCH, &additions(n)), &|n| limit("properties", n)),
        ("tags", 15_000, &|n| create(&server, &tags(n)), &|n| limit("tags", n)),
        ("properties", 8000, &|n| create(&server, &properties(n)), &|n| limit("properties", n)),
        ("what is wrong", 8000, &|n| create(&server, &wrong(n)), &|n| format!("On instance['p{:06}']", n - 1)),
    ];
    for (what, count, send, text) in cases {
        let ask = |count: usize| {
            let answer = send(count);
            let body = String::from_utf8_lossy(&answer.body).replace("&#x27;", "'").replace("&#39;", "'");
            assert!(body.contains(&text(count)), "{what}: {answer:?}");
        };
        let few = time_of(&server, || (0..4).for_each(|_| ask(count)));
        let many = time_of(&server, || ask(4 * count));
        // Four times a quarter is as much as the whole, if nothing grows faster.
        assert!(
            many < 2 * few + Duration::from_millis(200),
            "{what}: {few:?} for four, {many:?} for one four times as large"
        );
    }
}

#[test]
fn large_documents_whose_clients_are_gone_hold_nobody_up() {
    let mut server = Setup::new().start();
    let id = data::create(&server);
    let path = format!("/v2/images/{id}");
    let body = additions(9000);
    for _ in 0..6 {
        let mut client = server.connect();
        client.send(&request("PATCH", &path, PATCH, &body)).unwrap();
    }
    let start = Instant::now();
    answered(server.get("/"));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(server.stop().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

#[test]
fn work_ends_when_its_client_is_gone() {
    let server = Setup::new().start();
    let id = data::create(&server);
    let path = format!("/v2/images/{id}");
    let body = additions(9000);
    let whole = time_of(&server, || assert_eq!(send(&server, "PATCH", &path, PATCH, &body).status, 413));
    let cut_short = time_of(&server, || {
        for _ in 0..4 {
            let mut client = server.connect();
            client.send(&request("PATCH", &path, PATCH, &body)).unwrap();
        }
        pause(Duration::from_millis(500));
        let quiet = |server: &Server| time_of(server, || pause(Duration::from_millis(300))) < Duration::from_millis(30);
        wait_for("the end of the work", || quiet(&server).then_some(()));
    });
    assert!(cut_short < 3 * whole, "{whole:?} for one that is waited for, {cut_short:?} for four that are not");
}

/// Documents that are larger in memory than as text, and the status of the answer to each.
pub(crate) fn shapes() -> [(&'static str, String, u16); 7] {
    let keys: Vec<String> = (0..200_000).map(|number| format!("\"{number}\":0")).collect();
    [
        ("keys", format!("{{{}}}", keys.join(",")), 413),
        ("empty lists", format!("[{}[]]", "[],".repeat(600_000)), 413),
        ("empty objects", format!("[{}{{}}]", "{},".repeat(600_000)), 413),
        ("small objects", format!("[{}0]", r#"{"":0},"#.repeat(250_000)), 413),
        ("few small objects", format!("[{}0]", r#"{"":0},"#.repeat(20_000)), 400),
        (
            "lists in lists",
            format!("[{0}{1}]", "[".repeat(100), "]".repeat(100))
                .replace("[]", &format!("[{}0]", "[],".repeat(60_000))),
            400,
        ),
        ("escapes", format!(r#"{{"a":"{}"}}"#, r"\u0000".repeat(300_000)), 201),
    ]
}

#[test]
fn documents_take_little_memory_and_give_it_back() {
    let server = Setup::new().start();
    answered(create(&server, "{}").status.eq(&201).then(|| server.get("/")).unwrap());
    let before = memory(&server, "VmHWM");
    let shapes = shapes();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            for (what, body, status) in &shapes {
                let address = server.address();
                scope.spawn(move || {
                    let answer = send_to(address, "POST", "/v2/images", JSON, body);
                    assert!(answer.status == *status || answer.status == 503, "{what}: {answer:?}");
                });
            }
        }
    });
    let more = memory(&server, "VmHWM") - before;
    assert!(more < 160 * MIB, "{} MiB more at 28 documents at once", more / MIB);
    wait_for("memory that is given back", || (memory(&server, "VmRSS") < before + 32 * MIB).then_some(()));
}

/// As long as the policy is asked about what a document says, it has its share: twenty of these take nearly all there is.
#[test]
fn a_document_that_is_still_needed_keeps_its_share_of_the_memory() {
    let zeros = vec!["0"; 32_000].join(",");
    let import = format!(r#"{{"method":{{"name":"web-download","uri":"http://x/","more":[{zeros}]}}}}"#);
    std::thread::scope(|scope| {
        for (rule, path, body) in
            [("modify_image", "import", import), ("add_member", "members", format!(r#"{{"member":[{zeros}]}}"#))]
        {
            scope.spawn(move || {
                let silent = TcpListener::bind("127.0.0.1:0").unwrap();
                silent.set_nonblocking(true).unwrap();
                let setup = Setup::new();
                let policy = setup.path("policy.yaml");
                fs::write(&policy, format!("{rule}: http://{}/\n", silent.local_addr().unwrap())).unwrap();
                let server = setup.more(&format!("[oslo_policy]\npolicy_file = {}", policy.display())).start();
                let target = format!("/v2/images/{}/{path}", data::create(&server));
                let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
                for client in &mut clients {
                    client.send(&request("POST", &target, JSON, &body)).unwrap();
                }
                let mut asked = Vec::new();
                wait_for("the policy is asked", || {
                    asked.extend(silent.accept().ok());
                    (asked.len() >= 20).then_some(())
                });
                let large = format!(r#"{{"name":[{}0]}}"#, "0,".repeat(60_000));
                assert_eq!(create(&server, &large).status, 503, "{path}");
            });
        }
    });
}

#[test]
fn nothing_is_read_of_a_body_whose_type_its_route_does_not_take() {
    let server = Setup::new().start();
    let image = format!("/v2/images/{}", data::create(&server));
    let [file, stage] = ["file", "stage"].map(|last| format!("{image}/{last}"));
    for (method, path, kind) in [
        ("PATCH", &image, JSON),
        ("PATCH", &image, DATA),
        ("PUT", &file, JSON),
        ("PUT", &file, PATCH),
        ("PUT", &stage, JSON),
    ] {
        let mut client = Client::new(TcpStream::connect(server.address()).unwrap());
        // More than any route reads of a document, and none of it is sent.
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {MIB}000\r\n\r\n");
        client.send(head.as_bytes()).unwrap();
        assert_eq!(client.answer().unwrap().status, 415, "{method} {path} {kind}");
    }
}

#[test]
fn a_document_is_as_large_as_its_route_needs() {
    let server = Setup::new().start();
    let id = data::create(&server);
    let image = format!("/v2/images/{id}");
    let [members, import, locations] = ["members", "import", "locations"].map(|last| format!("{image}/{last}"));
    let blank = |size: usize| format!("{{{}}}", " ".repeat(size));
    for (method, path, kind, size, status) in [
        ("POST", "/v2/images", JSON, MIB, 201),
        ("POST", "/v2/images", JSON, 2 * MIB, 413),
        ("PATCH", image.as_str(), PATCH, 2 * MIB, 413),
        ("POST", members.as_str(), JSON, 32 << 10, 400),
        ("POST", members.as_str(), JSON, 64 << 10, 413),
        ("POST", import.as_str(), JSON, 32 << 10, 400),
        ("POST", import.as_str(), JSON, 64 << 10, 413),
        ("POST", locations.as_str(), JSON, 32 << 10, 400),
        ("POST", locations.as_str(), JSON, 64 << 10, 413),
        // As at upstream, the type of a document does not matter; it makes none larger.
        ("POST", "/v2/images", DATA, MIB, 201),
        ("POST", "/v2/images", DATA, 2 * MIB, 413),
        ("POST", members.as_str(), DATA, 32 << 10, 400),
        ("POST", members.as_str(), DATA, 64 << 10, 413),
        ("POST", members.as_str(), PATCH, 64 << 10, 413),
        ("POST", import.as_str(), PATCH, 64 << 10, 413),
        ("POST", locations.as_str(), DATA, 64 << 10, 413),
    ] {
        assert_eq!(send(&server, method, path, kind, &blank(size)).status, status, "{method} {path} {kind} {size}");
    }
    let server = Setup::new().more("[service]\nmax_json_body = 4194304").start();
    assert_eq!(create(&server, &blank(3 * MIB)).status, 201);
    assert_eq!(create(&server, &blank(4 * MIB)).status, 413);
}
