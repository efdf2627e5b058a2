//! Crashes, outages, clients that vanish, and configurations that do not do.

use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::common::peers::Ceph;
use super::common::{Answer, Body, Conf, Request, Server, free_port, http, wait_for};
use super::{MIB, assert_recovered, begin_upload, create, delete, download, pattern, server, show, stored, upload};

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

/// The old form of a location names the same data.
#[test]
fn recovery_keeps_what_an_image_has_by_another_url() {
    let ceph = Ceph::shared();
    let mut server = Server::with(|conf| conf.ceph(ceph).own_state());
    let data = pattern(MIB);
    let id = stored(&mut server.client(), &data);
    server.crash();
    let logs = server.conf.dir.join("state/uploads");
    let log = fs::read_dir(logs).unwrap().next().unwrap().unwrap().path();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let place = format!("rbd://{}/images/{id}/snap", ceph.fsid);
    let entry =
        json!({"version": 1, "intent": "remove_locations", "host": host, "token": "t", "image": id, "places": [place]});
    fs::write(log.join("t"), format!("{entry}\n")).unwrap();
    let rename = format!("update image_locations set value = 'rbd://{id}' where image_id = '{id}'");
    let done = Command::new("sqlite3").arg(server.conf.database()).arg(rename).status();
    assert!(done.expect("sqlite3: apt-get install sqlite3").success());
    server.start_again();
    wait_for("recovery has looked", Duration::from_secs(60), || (!log.join("t").try_exists().unwrap()).then_some(()));
    assert!(server.send(&download(&id)).expect(200).body == data);
    server.send(&delete(&id)).expect(204);
}

#[test]
fn a_crash_during_an_import_leaves_nothing() {
    let ceph = Ceph::shared();
    // A web server that stops half-way.
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/image", web.local_addr().unwrap());
    let (end, ended) = mpsc::channel::<()>();
    let sender = thread::spawn(move || {
        let (mut connection, _) = web.accept().unwrap();
        http::skip_head(&connection);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 * MIB);
        // The service dies meanwhile.
        let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&vec![b'x'; 30 * MIB]));
        let _ = ended.recv();
    });
    let mut server = Server::with(|conf| {
        conf.ceph(ceph)
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", "[]")
    });
    let id = create(&mut server.client());
    let import = json!({"method": {"name": "web-download", "uri": url}});
    server.send(&Request::new("POST", &format!("/v2/images/{id}/import")).json(&import)).expect(202);
    wait_for("the image is being written", Duration::from_secs(60), || ceph.images().contains(&id).then_some(()));
    server.crash();
    drop(end);
    sender.join().unwrap();
    server.start_again();
    let tasks = server.send(&Request::new("GET", &format!("/v2/images/{id}/tasks"))).expect(200).json();
    assert_recovered(&server, ceph, &id);
    let task = tasks["tasks"][0]["id"].as_str().unwrap();
    let task = server.send(&Request::new("GET", &format!("/v2/tasks/{task}"))).expect(200).json();
    assert_eq!(task["status"], "failure", "{task}");

    // Nor does one in the middle of making an image: its name is there first.
    let id = stored(&mut server.client(), &[b'x'; 1000]);
    let known: Value = serde_json::from_str(&ceph.rbd(&["info", "--format", "json", &format!("images/{id}")])).unwrap();
    let header = format!("rbd_header.{}", known["id"].as_str().unwrap());
    let (printed, done) = ceph.try_run("rados", &["-p", "images", "rm", &header]);
    assert!(done, "{printed}");
    assert!(ceph.images().contains(&id));
    server.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));
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
fn a_write_that_is_given_up_takes_no_later_image_of_its_name() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let id = create(&mut server.client());
    let stream = begin_upload(&server, ceph, &id, 10 * MIB);
    // As if the write had been silent for so long that another host has cleaned up and stored the image.
    let (image, aside) = (format!("images/{id}"), format!("images/{id}-aside"));
    let snapshot = format!("{image}@snap");
    ceph.rbd(&["rename", &image, &aside]);
    ceph.rbd(&["create", "--size", "1", &image]);
    ceph.rbd(&["snap", "create", &snapshot]);
    ceph.rbd(&["snap", "protect", &snapshot]);
    drop(stream);
    wait_for("the image is queued again", Duration::from_secs(60), || {
        (show(&mut server.client(), &id)["status"] == "queued").then_some(())
    });
    let info = ceph.rbd(&["info", &snapshot]);
    assert!(info.contains("protected: True"), "{info}");
    ceph.rbd(&["snap", "unprotect", &snapshot]);
    ceph.rbd(&["snap", "rm", &snapshot]);
    for left in [&image, &aside] {
        ceph.rbd(&["rm", left]);
    }
}

#[test]
fn a_download_of_what_is_deleted_meanwhile_ends_early() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let id = stored(&mut client, &vec![b'x'; 64 * MIB]);
    let stream = http::connect(server.address).unwrap();
    let mut stream = BufReader::new(stream);
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
    let answer = Answer::read(&mut BufReader::new(stream), "PUT").unwrap();
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
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten();
        let is_messenger = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("msgr-worker"))
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
