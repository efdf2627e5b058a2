//! Images in a real Ceph: laid out as upstream lays them out, safe from crashes, clones and outages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use common::peers::{Ceph, Upstream};
use common::{Answer, Body, Client, Conf, Request, Server, free_port, http, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// One store in the cluster, and locations shown.
fn server(ceph: &Ceph) -> Server {
    Server::with(|conf| conf.ceph(ceph).set("DEFAULT.show_multiple_locations", true))
}

fn create(client: &mut Client) -> String {
    let image = json!({"name": "rbd", "disk_format": "raw", "container_format": "bare"});
    let answer = client.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn show(client: &mut Client, id: &str) -> Value {
    client.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200).json()
}

fn upload(id: &str, body: Body) -> Request {
    Request::new("PUT", &format!("/v2/images/{id}/file")).data(body)
}

fn download(id: &str) -> Request {
    Request::new("GET", &format!("/v2/images/{id}/file"))
}

fn delete(id: &str) -> Request {
    Request::new("DELETE", &format!("/v2/images/{id}"))
}

/// Bytes without a short period.
fn pattern(size: usize) -> Vec<u8> {
    (0_u64..size as u64).map(|place| (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// An active image of these bytes.
fn stored(client: &mut Client, data: &[u8]) -> String {
    let id = create(client);
    client.send(&upload(&id, Body::Sized(data.to_vec()))).expect(204);
    id
}

/// Begins an upload of 64 MiB and sends a part of it, until Ceph has the image.
fn begin_upload(server: &Server, ceph: &Ceph, id: &str, part: usize) -> TcpStream {
    let mut stream = http::connect(server.address).unwrap();
    let head = Request::new("PUT", &format!("/v2/images/{id}/file"))
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", &(64 * MIB).to_string())
        .head("localhost");
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; part]).unwrap();
    wait_for("the image is being written", Duration::from_secs(20), || {
        ceph.images().iter().any(|name| name == id).then_some(())
    });
    stream
}

/// The image is as before the failed upload, nothing is left of its data, and the next upload succeeds.
#[track_caller]
fn assert_recovered(server: &Server, ceph: &Ceph, id: &str) {
    let mut client = server.client();
    wait_for("nothing is left, and the image is queued again", Duration::from_secs(60), || {
        // Recovery looks once a minute; a reload makes it look at once.
        server.signal(Signal::SIGHUP);
        common::pause(Duration::from_millis(500));
        let clean = !ceph.images().iter().any(|name| name == id);
        (clean && show(&mut client, id)["status"] == "queued").then_some(())
    });
    client.send(&download(id)).expect(204);
    client.send(&upload(id, Body::Sized(vec![b'y'; 1000]))).expect(204);
    assert!(client.send(&download(id)).expect(200).body == vec![b'y'; 1000]);
    client.send(&delete(id)).expect(204);
    assert!(!ceph.images().iter().any(|name| name == id));
}

#[test]
fn data_comes_back_and_lies_as_upstream_lays_it() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    for (size, pieces) in
        [(0, [1, 1]), (1, [1, 1]), (300_001, [3, 9000]), (9 * MIB, [777, 777]), (20 * MIB + 4321, [MIB, 70_000])]
    {
        let data = pattern(size);
        let (mut chunks, mut rest) = (Vec::new(), data.as_slice());
        for piece in pieces.into_iter().cycle() {
            let (chunk, others) = rest.split_at(piece.min(rest.len()));
            chunks.push(chunk.to_vec());
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        for body in [Body::Sized(data.clone()), Body::Chunked(chunks)] {
            let id = create(&mut client);
            client.send(&upload(&id, body)).expect(204);
            let image = show(&mut client, &id);
            assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(size)));
            let url = format!("rbd://{}/images/{id}/snap", ceph.fsid);
            assert_eq!(image["locations"][0]["url"], url);
            assert_eq!(image["locations"][0]["metadata"], json!({}));
            assert!(client.send(&download(&id)).expect(200).body == data);

            let spec = format!("images/{id}");
            let info: Value = serde_json::from_str(&ceph.rbd(&["info", "--format", "json", &spec])).unwrap();
            assert_eq!((&info["size"], &info["order"]), (&json!(size), &json!(23)));
            assert!(info["features"].as_array().unwrap().contains(&json!("layering")), "{info}");
            let snapshots: Value = serde_json::from_str(&ceph.rbd(&["snap", "ls", "--format", "json", &spec])).unwrap();
            let [snapshot] = snapshots.as_array().unwrap().as_slice() else { panic!("{snapshots}") };
            assert_eq!(snapshot["name"], "snap");
            assert_eq!((&snapshot["size"], &snapshot["protected"]), (&json!(size), &json!("true")));

            let range = client.send(&download(&id).header("Range", "bytes=0-0"));
            assert_eq!(range.status, if size == 0 { 416 } else { 400 }, "{}", range.text());
            client.send(&delete(&id)).expect(204);
            assert!(!ceph.images().contains(&id));
        }
    }
}

#[test]
fn too_much_or_too_little_leaves_nothing() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let id = create(&mut client);
    for size in [1000, 6 * MIB, 10 * MIB, 1 << 39] {
        let body = Body::Chunked(vec![vec![b'x'; MIB]; 8]);
        let request = upload(&id, body).header("x-openstack-image-size", &size.to_string());
        let answer = client.send(&request).expect(400);
        assert!(answer.text().contains("Size "), "{}", answer.text());
        assert!(!ceph.images().contains(&id));
    }
    assert_recovered(&server, ceph, &id);
}

#[test]
fn zeros_need_no_space_where_the_store_is_thin() {
    let ceph = Ceph::shared();
    let mut data = vec![0; 40 * MIB];
    data[17 * MIB] = 1;
    for thin in [true, false] {
        let server = Server::with(|conf| conf.ceph(ceph).set("glance_store.rbd_thin_provisioning", thin));
        let mut client = server.client();
        let id = stored(&mut client, &data);
        assert!(client.send(&download(&id)).expect(200).body == data);
        let extents = ceph.rbd(&["diff", "--format", "json", &format!("images/{id}@snap")]);
        let extents: Vec<Value> = serde_json::from_str(&extents).unwrap();
        let used: u64 = extents.iter().map(|extent| extent["length"].as_u64().unwrap()).sum();
        assert_eq!(used <= 8 * MIB as u64, thin, "{used} bytes");
        client.send(&delete(&id)).expect(204);
    }
}

#[test]
fn an_image_with_clones_stays() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let data = pattern(MIB);
    let id = stored(&mut client, &data);
    let (snapshot, clone) = (format!("images/{id}@snap"), format!("vms/{id}"));
    ceph.rbd(&["clone", "--rbd-default-clone-format", "1", &snapshot, &clone]);
    let answer = client.send(&delete(&id)).expect(409);
    let words = format!(
        "Image {id} could not be deleted because it is in use: The image cannot be deleted because it is in use through \
         the backend store outside of Glance."
    );
    assert!(answer.text().contains(&words), "{}", answer.text());
    assert_eq!(show(&mut client, &id)["status"], "active");
    assert!(client.send(&download(&id)).expect(200).body == data);
    // The snapshot is still good for more.
    let second = format!("{clone}-2");
    ceph.rbd(&["clone", "--rbd-default-clone-format", "1", &snapshot, &second]);
    ceph.rbd(&["rm", "--no-progress", &second]);
    ceph.rbd(&["rm", "--no-progress", &clone]);
    client.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));

    // Clones of the newer kind live on without it.
    let id = stored(&mut client, &data);
    let clone = format!("vms/{id}");
    ceph.rbd(&["clone", "--rbd-default-clone-format", "2", &format!("images/{id}@snap"), &clone]);
    client.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));
    assert!(ceph.rbd(&["trash", "ls", "images"]).contains(&id));
    let out = server.conf.dir.join("clone");
    ceph.rbd(&["export", "--no-progress", &clone, out.to_str().unwrap()]);
    assert!(std::fs::read(out).unwrap() == data);
    ceph.rbd(&["rm", "--no-progress", &clone]);
}

#[test]
fn an_image_that_somebody_writes_to_stays_whole() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let id = stored(&mut client, &pattern(MIB));
    let mut writer = Command::new("rbd")
        .args(["--conf", &ceph.conf, "bench", "--io-type", "write", "--io-total", "100G", &format!("images/{id}")])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("it is being written", Duration::from_secs(20), || {
        ceph.rbd(&["status", &format!("images/{id}")]).contains("watcher=").then_some(())
    });
    client.send(&delete(&id)).expect(409);
    assert!(ceph.rbd(&["snap", "ls", &format!("images/{id}")]).contains("snap"));
    writer.kill().unwrap();
    writer.wait().unwrap();
    wait_for("it is deleted", Duration::from_secs(40), || (client.send(&delete(&id)).status == 204).then_some(()));
}

#[test]
fn a_crash_leaves_nothing() {
    let ceph = Ceph::shared();
    let mut server = server(ceph);
    let data = pattern(5 * MIB);
    let finished = stored(&mut server.client(), &data);
    let id = create(&mut server.client());
    let stream = begin_upload(&server, ceph, &id, 30 * MIB);
    server.crash();
    drop(stream);
    server.start_again();
    assert_recovered(&server, ceph, &id);
    assert!(server.send(&download(&finished)).expect(200).body == data);
    server.send(&delete(&finished)).expect(204);
}

#[test]
fn a_client_that_vanishes_leaves_nothing() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let id = create(&mut server.client());
    drop(begin_upload(&server, ceph, &id, 10 * MIB));
    assert_recovered(&server, ceph, &id);

    // Nor does one that vanishes in a download keep the image.
    let id = stored(&mut server.client(), &pattern(32 * MIB));
    for _ in 0..20 {
        let mut stream = http::connect(server.address).unwrap();
        stream.write_all(&download(&id).head("localhost")).unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 1000]).unwrap();
    }
    server.send(&delete(&id)).expect(204);
}

#[test]
fn a_download_of_what_is_deleted_meanwhile_ends_early() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let id = stored(&mut client, &vec![b'x'; 64 * MIB]);
    let stream = http::connect(server.address).unwrap();
    let mut stream = std::io::BufReader::new(stream);
    stream.get_mut().write_all(&download(&id).head("localhost")).unwrap();
    assert_eq!(Answer::read_head(&mut stream).unwrap().status, 200);
    client.send(&delete(&id)).expect(204);
    let mut data = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut data);
    assert!(data.len() < 64 * MIB, "zeros were given out for data");
}

#[test]
fn a_client_that_the_cluster_shuts_out_connects_anew() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let data = pattern(MIB);
    let other = stored(&mut client, &data);
    let id = create(&mut client);
    let mut stream = begin_upload(&server, ceph, &id, 10 * MIB);
    let status = ceph.rbd(&["status", &format!("images/{id}")]);
    let watcher = status.split("watcher=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let (printed, done) = ceph.try_run("ceph", &["osd", "blocklist", "add", &watcher]);
    assert!(done, "{printed}");
    // The server may close before it has taken all.
    let _ = stream.write_all(&vec![b'x'; 54 * MIB]);
    let answer = Answer::read(&mut std::io::BufReader::new(stream), "PUT").unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(client.send(&download(&other)).expect(200).body == data);
    assert_recovered(&server, ceph, &id);
    client.send(&delete(&other)).expect(204);
}

#[test]
fn a_cluster_goes_away_and_comes_back() {
    let ceph = Ceph::private();
    let with_timeout = |conf: Conf| conf.ceph(&ceph).set("glance_store.rados_connect_timeout", 3);
    let mut server = Server::with(with_timeout);
    let mut client = server.client();
    let data = pattern(9 * MIB);
    let id = stored(&mut client, &data);

    ceph.away();
    let mut failed = Vec::new();
    for first in [true, false] {
        let start = Instant::now();
        let queued = create(&mut client);
        client.send(&upload(&queued, Body::Sized(data.clone()))).expect(503);
        client.send(&download(&id)).expect(503);
        client.send(&delete(&id)).expect(503);
        assert!(start.elapsed() < Duration::from_secs(60), "took {:?}", start.elapsed());
        assert_eq!(show(&mut client, &id)["status"], "active");
        // Of the first one the cluster may have heard; the second time the service has never known the cluster.
        assert_eq!(show(&mut client, &queued)["status"], if first { "saving" } else { "queued" });
        failed.push(queued);
        if first {
            server.signal(Signal::SIGTERM);
            assert_eq!(server.wait_end(Duration::from_secs(30)).code(), Some(0));
            server.start_again();
        }
    }

    ceph.again();
    wait_for("the data is served again", Duration::from_secs(30), || {
        let answer = client.send(&download(&id));
        (answer.status == 200 && answer.body == data).then_some(())
    });
    for id in failed {
        assert_recovered(&server, &ceph, &id);
    }
    client.send(&delete(&id)).expect(204);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_end(Duration::from_secs(30)).code(), Some(0));
    ceph.stop();
}

#[test]
fn a_stop_does_not_wait_for_a_cluster_that_is_away() {
    let ceph = Ceph::private();
    let mut server = Server::with(|conf| conf.ceph(&ceph).set("service.graceful_shutdown_timeout", 1));
    let id = create(&mut server.client());
    let mut stream = begin_upload(&server, &ceph, &id, 10 * MIB);
    let reader = stored(&mut server.client(), &pattern(32 * MIB));
    let mut download_stream = http::connect(server.address).unwrap();
    download_stream.write_all(&download(&reader).head("localhost")).unwrap();
    std::io::Read::read_exact(&mut download_stream, &mut [0; 1000]).unwrap();

    ceph.away();
    stream.write_all(&vec![b'x'; 8 * MIB]).unwrap();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_end(Duration::from_secs(30)).code(), Some(0));
    drop((stream, download_stream));
    ceph.again();
    server.start_again();
    assert_recovered(&server, &ceph, &id);
    ceph.stop();
}

#[test]
fn a_store_among_others() {
    let ceph = Ceph::shared();
    let server = Server::with(|conf| {
        conf.two_stores()
            .set("DEFAULT.enabled_backends", "fast:file,slow:file,block:rbd")
            .set("DEFAULT.show_multiple_locations", true)
            .set("block.rbd_store_ceph_conf", &ceph.conf)
            .set("block.rbd_store_user", &ceph.user)
    });
    let mut client = server.client();
    let id = create(&mut client);
    let request = upload(&id, Body::Sized(b"data".to_vec())).header("x-image-meta-store", "block");
    client.send(&request).expect(204);
    let image = show(&mut client, &id);
    assert_eq!(image["locations"][0]["metadata"], json!({"store": "block"}));
    assert_eq!(image["stores"], "block");
    assert!(client.send(&download(&id)).expect(200).body == b"data");
    client.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));
}

#[test]
fn upstream_and_we_read_each_others_images() {
    let ceph = Ceph::shared();
    let ours = server(ceph);
    let dir = tempfile::tempdir().unwrap();
    // Where nobody is asked who they are, upstream's own rules refuse all of these.
    let everyone = BTreeMap::from(
        [
            "add_image",
            "get_image",
            "modify_image",
            "delete_image",
            "upload_image",
            "download_image",
            "get_image_location",
            "set_image_location",
            "delete_image_location",
        ]
        .map(|rule| (rule.to_owned(), "@".to_owned())),
    );
    let conf = Conf::new(dir.path(), free_port()).ceph(ceph).set("DEFAULT.show_multiple_locations", true);
    let theirs = Upstream::start(conf.policy(&everyone));
    let (mut ours, mut theirs) = (ours.client(), theirs.client());
    let data = pattern(9 * MIB + 1);
    for turn in 0..2 {
        let (writer, reader) = if turn == 0 { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
        let id = stored(writer, &data);
        let written = show(writer, &id);
        let url = written["locations"][0]["url"].as_str().unwrap();
        assert_eq!(url, format!("rbd://{}/images/{id}/snap", ceph.fsid));

        let second = create(reader);
        let change = json!([{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]);
        let mut request = Request::new("PATCH", &format!("/v2/images/{second}")).json(&change);
        request.headers[0].1 = "application/openstack-images-v2.1-json-patch".to_owned();
        let added = reader.send(&request).expect(200).json();
        assert_eq!((&added["status"], &added["size"]), (&json!("active"), &json!(data.len())));
        assert!(reader.send(&download(&second)).expect(200).body == data);

        // What neither can do is said in the same words.
        let clone = format!("vms/{id}");
        ceph.rbd(&["clone", "--rbd-default-clone-format", "1", &format!("images/{id}@snap"), &clone]);
        let location = |url: &str| {
            let change = json!([{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]);
            let mut request = Request::new("PATCH", "/v2/images/ID").json(&change);
            request.headers[0].1 = "application/openstack-images-v2.1-json-patch".to_owned();
            request
        };
        for mut request in [
            delete("ID"),
            download("ID").header("Range", "bytes=1-5"),
            location("rbd://f/p/i"),
            location("rbd://f//i/s"),
            location(&format!("rbd://{}/images/{id}/other", ceph.fsid)),
            location(&format!("rbd://{}/images/nothing/snap", ceph.fsid)),
        ] {
            let target = request.target.clone();
            let mut answers = [(&mut *writer, &id), (&mut *reader, &second)].map(|(client, image)| {
                request.target = target.replace("ID", image);
                let answer = client.send(&request);
                (answer.status, answer.text().replace(image, "ID").trim().to_owned())
            });
            // The same, whoever wrote the image.
            answers.sort();
            assert_eq!(answers[0], answers[1], "{} {target}", request.method);
            assert!(answers[0].0 >= 400);
        }
        ceph.rbd(&["rm", "--no-progress", &clone]);

        // What the reader deletes is gone for the writer.
        reader.send(&delete(&second)).expect(204);
        assert!(!ceph.images().contains(&id));
        writer.send(&download(&id)).expect(204);
    }
}

#[test]
fn a_bad_configuration_ends_the_start_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let ceph = Ceph::shared();
    let conf = Conf::new(dir.path(), free_port()).ceph(ceph);
    let start = |conf: &Conf, before: &str| {
        let line =
            format!("{before} exec {} --config-file {}", env!("CARGO_BIN_EXE_glance-api"), conf.write().display());
        let done = Command::new("unshare").args(["--mount", "sh", "-c", &line]).output().unwrap();
        let printed = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert_eq!(done.status.code(), Some(78), "{printed}");
        printed
    };
    let missing = conf.clone().set("glance_store.rbd_store_ceph_conf", "/nonexistent/ceph.conf");
    let printed = start(&missing, "");
    assert!(printed.contains("rbd_store_ceph_conf /nonexistent/ceph.conf: No such file"), "{printed}");
    // As if the library were not installed.
    let hidden = "for library in $(ls /usr/lib/*/librbd.so.1); do mount --bind /dev/null $library; done;";
    let printed = start(&conf, hidden);
    assert!(printed.contains("install the packages librbd1 and librados2"), "{printed}");
}

#[test]
fn a_reload_that_does_not_concern_the_store_keeps_its_session() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let data = pattern(MIB);
    let id = stored(&mut client, &data);
    // Each session has threads of its own for its messages.
    let threads = || -> std::collections::BTreeSet<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten();
        let is_messenger = |task: &std::fs::DirEntry| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("msgr-worker"))
        };
        tasks.filter(is_messenger).map(|task| task.file_name().into_string().unwrap()).collect()
    };
    let before = threads();
    assert!(!before.is_empty());
    for limit in [31, 32] {
        server.conf.clone().set("DEFAULT.limit_param_default", limit).write();
        server.signal(Signal::SIGHUP);
        wait_for("the reload", Duration::from_secs(20), || server.log().contains(&format!("→ {limit}")).then_some(()));
        assert_eq!(client.send(&download(&id)).expect(200).body, data);
        assert_eq!(threads(), before);
    }
    client.send(&delete(&id)).expect(204);
}
