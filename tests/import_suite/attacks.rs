//! Known attacks on those who import, each refused by the service as it runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::super::common::{Body, Conf, Request, Server, http, wait_for};
use super::super::{
    MIB, PATIENCE, Web, assert_free, assert_nothing_left, conf, create, import, objects, shown, stage, wait_for_task,
};
use super::disks::{archive, ask, ended};
use super::serve;

/// A server of somebody else's, which nobody must come to.
struct Victim(TcpListener);

impl Victim {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    #[track_caller]
    fn assert_alone(&self) {
        let visit = self.0.accept().map(|(_, from)| from);
        assert!(visit.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{visit:?}");
    }
}

fn filtered(options: &[(&str, String)]) -> Server {
    Server::with(|conf| {
        let conf = conf.two_stores().own_state();
        options.iter().fold(conf, |conf: Conf, (name, value)| conf.set(name, value))
    })
}

/// Lets imports come from one port of this host.
fn of_this_host(port: u16) -> [(&'static str, String); 2] {
    [
        ("import_filtering_opts.allowed_hosts", "[127.0.0.1]".to_owned()),
        ("import_filtering_opts.allowed_ports", format!("[{port}]")),
    ]
}

/// The task that makes an image from this URL, once it has ended; `None` if there is none.
fn made(server: &Server, url: &str, format: &str) -> Option<Value> {
    let image = json!({"name": "made", "disk_format": "raw", "container_format": format});
    let asked = ask(server, url, &image);
    (asked.status != 400).then(|| ended(server, asked))
}

/// Neither way of importing gets to the victim by this URL.
#[track_caller]
fn assert_refused(server: &Server, victim: &Victim, url: &str) {
    let id = create(server);
    let document = json!({"method": {"name": "web-download", "uri": url}});
    let answer = server.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(&document));
    if answer.status != 400 {
        assert_eq!(answer.status, 202, "{url}");
        wait_for_task(server, &id, "failure");
    }
    assert_eq!(shown(server, &id)["status"], "queued", "{url}");
    let task = made(server, url, "bare");
    assert!(task.as_ref().is_none_or(|task| task["status"] == "failure"), "{url}: {task:?}");
    victim.assert_alone();
}

/// CVE-2014-9684, CVE-2015-1881 and CVE-2015-3289: data without an image, as much as one likes.
#[test]
fn an_image_that_is_deleted_while_its_task_makes_it_leaves_nothing() {
    let web = Web::start();
    let server = Server::with(conf(&web));
    let url = web.url();
    thread::scope(|scope| {
        let task = scope.spawn(|| made(&server, &url, "bare").unwrap());
        web.asked.recv_timeout(PATIENCE).unwrap();
        let id = wait_for("the image", PATIENCE, || {
            let images = server.send(&Request::new("GET", "/v2/images?name=made")).expect(200).json();
            images["images"][0]["id"].as_str().map(str::to_owned)
        });
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
        web.go_on.send(true).unwrap();
        assert_eq!(task.join().unwrap()["status"], "failure");
        server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(404);
    });
    assert_nothing_left(&server.conf);
}

/// CVE-2017-7200, and Launchpad bug 2152110 (SSRF through `import_from` of a task): which ports of the service's network are open.
#[test]
fn imports_are_no_port_scanner() {
    let victim = Victim::start();
    let server = filtered(&[]);
    for host in ["127.0.0.1", "localhost"] {
        assert_refused(&server, &victim, &format!("http://{host}:{}/", victim.port()));
    }
    assert_nothing_left(&server.conf);
}

/// CVE-2026-34881, and Launchpad bug 2152110 (SSRF through `import_from` of a task): a forbidden address by another spelling, behind a
/// redirect, or in an OVF file.
#[test]
fn no_spelling_redirect_or_archive_leads_to_a_forbidden_address() {
    let victim = Victim::start();
    let port = victim.port();
    let (via, visits) = http::redirecting(format!("http://127.1:{port}/"));
    let ovf = format!(
        r#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1">
        <References><File id="d" href="http://127.0.0.1:{port}/disk"/></References>
        <DiskSection><Disk fileRef="d"/></DiskSection></Envelope>"#
    );
    let ova = archive(&[("a.ovf", ovf.as_bytes())]);
    let archives = serve(BTreeMap::from([("/ova".to_owned(), ova)]));
    let server = filtered(&[
        ("import_filtering_opts.allowed_hosts", "[127.0.0.2]".to_owned()),
        ("import_filtering_opts.allowed_ports", "[]".to_owned()),
    ]);
    for host in ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "LOCALHOST"] {
        assert_refused(&server, &victim, &format!("http://{host}:{port}/"));
    }
    assert_refused(&server, &victim, &format!("http://{via}/"));
    assert_eq!(visits.load(Ordering::SeqCst), 2, "a redirect was not looked at");
    assert_nothing_left(&server.conf);

    let server = filtered(&of_this_host(archives));
    let task = made(&server, &format!("http://127.0.0.1:{archives}/ova"), "ova").unwrap();
    assert_eq!(task["status"], "failure", "{task}");
    victim.assert_alone();
    assert_nothing_left(&server.conf);
}

/// An image with this data as a disk in the format qcow2, once its import, with a conversion, has failed; with what the task says.
fn refused_disk(server: &Server, data: &[u8]) -> (String, String) {
    let image = json!({"name": "crafted", "disk_format": "qcow2", "container_format": "bare"});
    let made = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    stage(server, &id, data);
    import(server, &id, &json!({"method": {"name": "glance-direct"}}));
    let message = wait_for_task(server, &id, "failure")["message"].as_str().unwrap().to_owned();
    let image = shown(server, &id);
    assert_eq!((&image["size"], image.get("os_glance_import_task")), (&Value::Null, None), "{image}");
    (id, message)
}

/// A service that converts disks to `raw`, the format in which the data of others would be seen, up to this size.
fn converting(cap: usize) -> Server {
    filtered(&[
        ("image_import_opts.image_import_plugins", "[image_conversion]".to_owned()),
        ("image_conversion.output_format", "raw".to_owned()),
        ("DEFAULT.image_size_cap", cap.to_string()),
    ])
}

/// A disk in the format qcow2 that qemu-img makes with these arguments before its name.
fn qcow2(folder: &Path, options: &[&str], size: &str) -> Vec<u8> {
    let path = folder.join("disk.qcow2");
    let made =
        Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).args(options).arg(&path).arg(size).output();
    let made = made.expect("qemu-img: apt-get install qemu-utils");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(path).unwrap()
}

/// OSSA-2015-014 (CVE-2015-5163) and CVE-2024-32498: a disk whose header names a file of the host, which a conversion would read.
#[test]
fn a_disk_that_names_a_file_of_the_host_is_not_converted() {
    let server = converting(64 * MIB);
    let secret = server.conf.dir.join("secret");
    fs::write(&secret, vec![b's'; MIB]).unwrap();
    let name = secret.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backed = qcow2(folder.path(), &["-F", "raw", "-b", name], "1M");
    let outside = qcow2(folder.path(), &["-o", &format!("data_file={name},data_file_raw=on")], "1M");
    // As qemu-img has made it anew.
    fs::write(&secret, vec![b's'; MIB]).unwrap();
    for (what, disk) in [("backing file", backed), ("data file", outside)] {
        let (id, message) = refused_disk(&server, &disk);
        assert_eq!(message, "Image has disallowed configuration", "{what}");
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
    assert_nothing_left(&server.conf);
}

/// OSSA-2016-012 (CVE-2015-5162): a small disk that says it is a huge one, or whose tables do, and on which qemu-img would work and
/// allocate without end.
#[test]
fn a_disk_that_exhausts_whoever_converts_it_is_refused() {
    let server = converting(64 * MIB);
    let folder = tempfile::tempdir().unwrap();
    let huge = qcow2(folder.path(), &[], "2T");
    assert!(huge.len() < MIB, "{}", huge.len());
    let (huge, message) = refused_disk(&server, &huge);
    assert_eq!(message, "The disk inside the image is larger than image_size_cap");
    // The table of clusters has as many entries as the header can say.
    let mut tables = qcow2(folder.path(), &[], "1M");
    tables[36..40].copy_from_slice(&u32::MAX.to_be_bytes());
    let (tables, message) = refused_disk(&server, &tables);
    assert!(message.contains("L1 table"), "{message}");
    for id in [huge, tables] {
        server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    }
    assert_nothing_left(&server.conf);
}

/// A zip bomb (CWE-409): a small file that fills the disk of whoever unpacks it.
#[test]
fn a_bomb_of_gzip_does_not_go_off() {
    let server = filtered(&[
        ("image_import_opts.image_import_plugins", "[image_decompression]".to_owned()),
        ("service.decompression_max_size", (8 * MIB).to_string()),
    ]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..16 {
        encoder.write_all(&vec![0; MIB]).unwrap();
    }
    let id = create(&server);
    stage(&server, &id, &encoder.finish().unwrap());
    import(&server, &id, &json!({"method": {"name": "glance-direct"}}));
    let task = wait_for_task(&server, &id, "failure");
    assert!(task["message"].as_str().unwrap().contains("decompress"), "{task}");
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert_nothing_left(&server.conf);
}

/// What two answer who are asked at the same time, the lower status first.
fn at_once(server: &Server, requests: [Request; 2]) -> [u16; 2] {
    let mut statuses = thread::scope(|scope| {
        let asked = requests.map(|request| scope.spawn(move || server.send(&request).status));
        asked.map(|asked| asked.join().unwrap())
    });
    statuses.sort_unstable();
    statuses
}

fn post(id: &str, what: &str, document: &Value) -> Request {
    Request::new("POST", &format!("/v2/images/{id}/{what}")).json(document)
}

/// The image is active, each of its stores has all of the data that it tells of, and no other store has anything. Then it goes.
#[track_caller]
fn assert_whole(server: &Server, id: &str) {
    wait_for("the image is free", PATIENCE, || {
        let image = shown(server, id);
        (image["status"] == "active" && image.get("os_glance_import_task").is_none()).then_some(())
    });
    let image = shown(server, id);
    let stores: Vec<&str> = image["stores"].as_str().unwrap().split(',').collect();
    for store in ["fast", "slow"] {
        let data = fs::read(server.conf.dir.join(store).join(id));
        assert_eq!(data.is_ok(), stores.contains(&store), "{store}: {image}");
        let Ok(data) = data else { continue };
        let hash = hex::encode(Sha512::digest(&data));
        assert_eq!((&image["size"], &image["os_hash_value"]), (&json!(data.len()), &json!(hash)), "{store}: {image}");
    }
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
}

/// Races for an image that waits for data, among them one of imports for the lock `os_glance_import_task`: exactly one wins, and the other
/// one leaves nothing.
#[test]
fn of_two_who_give_an_image_data_one_wins() {
    let port = serve(BTreeMap::from([("/data".to_owned(), vec![b'd'; MIB])]));
    let url = format!("http://127.0.0.1:{port}/data");
    let mut options = of_this_host(port).to_vec();
    options.push(("DEFAULT.enabled_backends", "fast:file,slow:file,web:http".to_owned()));
    let server = filtered(&options);
    let data = || Body::Sized(vec![b'u'; 2 * MIB]);
    let put = |id: &str, what: &str| Request::new("PUT", &format!("/v2/images/{id}/{what}")).data(data());
    let download = json!({"method": {"name": "web-download", "uri": url}, "stores": ["fast"]});
    let place = json!({"url": url, "validation_data": {}});
    for _ in 0..5 {
        let id = create(&server);
        assert_eq!(at_once(&server, [put(&id, "stage"), put(&id, "stage")]), [204, 409]);
        import(&server, &id, &json!({"method": {"name": "glance-direct"}, "stores": ["slow"]}));
        assert_whole(&server, &id);

        let id = create(&server);
        let imports = [post(&id, "import", &download), post(&id, "import", &download)];
        assert_eq!(at_once(&server, imports), [202, 409]);
        assert_whole(&server, &id);

        for [one, other] in [["file", "file"], ["file", "stage"]] {
            let id = create(&server);
            assert_eq!(at_once(&server, [put(&id, one), put(&id, other)]), [204, 409], "{one} {other}");
            server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
        }
        for (what, document) in [("import", &download), ("locations", &place)] {
            let id = create(&server);
            let statuses = at_once(&server, [post(&id, what, document), put(&id, "file")]);
            assert!([[202, 409], [204, 409], [202, 204]].contains(&statuses), "{what}: {statuses:?}");
            if statuses == [202, 204] {
                // An upload takes the image from a task that waits for its turn.
                wait_for_task(&server, &id, "failure");
            }
            assert_whole(&server, &id);
        }
    }
    assert_nothing_left(&server.conf);
}

/// A race of copies for the lock `os_glance_import_task`, of which exactly one wins: a copy meets another one, and the removal of what it reads or has just written.
#[test]
fn of_two_who_copy_an_image_one_does_and_a_removal_leaves_no_half() {
    let server = filtered(&[]);
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["slow"]});
    let stored = || {
        let id = create(&server);
        let upload = Request::new("PUT", &format!("/v2/images/{id}/file")).data(Body::Sized(vec![b'd'; MIB]));
        server.send(&upload).expect(204);
        id
    };
    for _ in 0..5 {
        let id = stored();
        let statuses = at_once(&server, [post(&id, "import", &copy), post(&id, "import", &copy)]);
        // The first one may have ended before the other has begun, which hears then that the data is there.
        assert!([[202, 409], [202, 400]].contains(&statuses), "{statuses:?}");
        wait_for_task(&server, &id, "success");
        assert_free(&shown(&server, &id), "active");
        assert_whole(&server, &id);

        for store in ["fast", "slow"] {
            let id = stored();
            let remove = Request::new("DELETE", &format!("/v2/stores/{store}/{id}"));
            at_once(&server, [post(&id, "import", &copy), remove]);
            assert_whole(&server, &id);
        }
    }
    for store in ["fast", "slow"] {
        assert!(objects(&server.conf, store).is_empty(), "{store}");
    }
    assert_nothing_left(&server.conf);
}
