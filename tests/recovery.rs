//! What a dead worker leaves is cleaned up, and nothing that belongs to somebody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::database::{Fault, Kind, Proxy, Server as Database};
use common::disk::{FuseMount, SmallDisk};
use common::uploads::{begin_upload, status, upload};
use common::{Answer, Body, Conf, Request, Server, free_port, http, wait_for};
use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::{LocationRecord, NewImage};
use glance_api::db::{Db, images};
use nix::sys::signal::Signal;
use serde_json::json;

const MIB: usize = 1 << 20;

fn with_state(conf: Conf) -> Conf {
    let state = conf.dir.join("state").display().to_string();
    conf.set("service.state_directory", state)
}

fn create(server: &Server, properties: &serde_json::Value) -> String {
    let mut image = json!({"name": "recovered", "disk_format": "raw", "container_format": "bare"});
    image.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    let answer = server.send(&Request::new("POST", "/v2/images").json(&image)).expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn shown(server: &Server, id: &str) -> serde_json::Value {
    server.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200).json()
}

/// The folder of the intent log's entries.
fn intent_log(conf: &Conf) -> PathBuf {
    let folders: Vec<PathBuf> =
        fs::read_dir(conf.dir.join("state/uploads")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

fn entries(conf: &Conf) -> Vec<PathBuf> {
    fs::read_dir(intent_log(conf)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn sqlite(database: &Path, sql: &str) -> String {
    let out = Command::new("sqlite3").arg(database).arg(sql).output().expect("sqlite3: apt-get install sqlite3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[track_caller]
fn assert_queued_and_clean(server: &Server, id: &str) {
    wait_for("the image is queued again", Duration::from_secs(20), || (status(server, id) == "queued").then_some(()));
    assert_eq!(fs::read_dir(server.conf.dir.join("images")).unwrap().count(), 0, "data is left");
    server.send(&upload(id, Body::Sized(vec![b'y'; 1000]))).expect(204);
    assert_eq!(status(server, id), "active");
}

#[test]
fn an_entry_says_who_does_what_and_the_token_does_not_show() {
    let server = Server::with(with_state);
    let id = create(&server, &json!({"color": "red"}));
    let stream = begin_upload(&server, &id, 4 * MIB, MIB);
    let files = entries(&server.conf);
    assert_eq!(files.len(), 1, "{files:?}");
    let entry: serde_json::Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    let url = format!("file://{}/{id}", server.conf.dir.join("images").display());
    assert_eq!((&entry["version"], &entry["intent"], &entry["image"]), (&json!(1), &json!("upload"), &json!(id)));
    assert_eq!(entry["places"], json!([url]));
    let host = nix::unistd::gethostname().unwrap();
    assert_eq!(entry["host"].as_str(), host.to_str());
    let owner = "select value, deleted from image_properties where name = 'os_glance_data_owner'";
    assert_eq!(sqlite(&server.conf.database(), owner), format!("{}|1", entry["token"].as_str().unwrap()));

    let seen = shown(&server, &id);
    assert!(seen["color"] == "red" && !seen.to_string().contains("os_glance"), "{seen}");
    let list = server.send(&Request::new("GET", "/v2/images?color=red")).expect(200).json();
    assert!(list["images"].as_array().unwrap().len() == 1 && !list.to_string().contains("os_glance"), "{list}");

    let mut stream = stream;
    stream.write_all(&vec![b'x'; 3 * MIB]).unwrap();
    assert_eq!(Answer::read(&mut BufReader::new(stream), "PUT").unwrap().status, 204);
    assert_eq!(sqlite(&server.conf.database(), owner), "", "an image at rest has no owner of its data");
    wait_for("the entry goes", Duration::from_secs(5), || entries(&server.conf).is_empty().then_some(()));
}

#[test]
fn one_unreadable_entry_does_not_stop_the_rest() {
    let mut server = Server::with(with_state);
    let id = create(&server, &json!({}));
    let stream = begin_upload(&server, &id, 64 * MIB, MIB);
    server.crash();
    drop(stream);
    let folder = intent_log(&server.conf);
    // A folder comes where the entries are listed first, whatever the order.
    for name in ["0", "zzz"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join(OsStr::from_bytes(b"\xff\xfe")), "file:///x\n").unwrap();
    fs::write(folder.join("later"), "{\"version\": 99}\n").unwrap();
    nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    server.start_again();
    assert_queued_and_clean(&server, &id);
    server.log_with("an entry of the intent log cannot be taken up");
    assert_eq!(entries(&server.conf).len(), 5, "what is not understood is left for somebody who does");
}

/// A service on another host: the same database and store, a state directory of its own.
fn other_host(server: &Server, name: &str) -> Conf {
    let mut conf = server.conf.clone();
    conf.dir = server.conf.dir.join(name);
    conf.port = free_port();
    let port = conf.port;
    fs::create_dir_all(&conf.dir).unwrap();
    with_state(conf.set("bind_port", port))
}

#[test]
fn recovery_leaves_alone_what_another_host_is_writing() {
    let here = Server::with(with_state);
    let there = Server::start(other_host(&here, "there"));
    let id = create(&here, &json!({}));
    let mut stream = begin_upload(&there, &id, 4 * MIB, MIB);

    // Left here by workers that died: one of an earlier build, and one whose turn at this image ended before the other began.
    let place = format!("file://{}/{id}", here.conf.dir.join("images").display());
    let folder = intent_log(&here.conf);
    fs::write(folder.join(&id), format!("{place}\n")).unwrap();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    for (token, intent) in [("one", "upload"), ("two", "delete")] {
        let entry =
            json!({"version": 1, "intent": intent, "host": host, "token": token, "image": id, "places": [place]});
        fs::write(folder.join(token), format!("{entry}\n")).unwrap();
    }
    here.conf.write();
    here.signal(Signal::SIGHUP);
    wait_for("recovery has looked", Duration::from_secs(20), || entries(&here.conf).is_empty().then_some(()));

    assert_eq!(status(&here, &id), "saving");
    stream.write_all(&vec![b'x'; 3 * MIB]).unwrap();
    assert_eq!(Answer::read(&mut BufReader::new(stream), "PUT").unwrap().status, 204);
    let data = here.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200);
    assert_eq!(data.body.len(), 4 * MIB);

    // Nor is the data of an active image touched.
    fs::write(folder.join(&id), format!("{place}\n")).unwrap();
    here.signal(Signal::SIGHUP);
    wait_for("recovery has looked", Duration::from_secs(20), || entries(&here.conf).is_empty().then_some(()));
    here.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200);
}

#[test]
fn an_earlier_builds_entry_is_still_recovered() {
    let mut server = Server::with(with_state);
    let id = create(&server, &json!({}));
    let folder = intent_log(&server.conf);
    server.crash();
    sqlite(&server.conf.database(), &format!("update images set status = 'saving' where id = '{id}'"));
    let data = server.conf.dir.join("images").join(&id);
    fs::write(&data, "half").unwrap();
    fs::write(folder.join(&id), format!("file://{}\n", data.display())).unwrap();
    server.start_again();
    assert_queued_and_clean(&server, &id);
    wait_for("the entry goes", Duration::from_secs(5), || entries(&server.conf).is_empty().then_some(()));
}

#[test]
fn a_deletion_that_died_is_finished_and_one_that_never_was_is_not() {
    let mut server = Server::with(with_state);
    let (gone, kept) = (create(&server, &json!({})), create(&server, &json!({})));
    for id in [&gone, &kept] {
        server.send(&upload(id, Body::Sized(vec![b'x'; 1000]))).expect(204);
    }
    let folder = intent_log(&server.conf);
    server.crash();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    for (id, token) in [(&gone, "one"), (&kept, "two")] {
        let place = format!("file://{}/{id}", server.conf.dir.join("images").display());
        let entry =
            json!({"version": 1, "intent": "delete", "host": host, "token": token, "image": id, "places": [place]});
        fs::write(folder.join(token), format!("{entry}\n")).unwrap();
    }
    // As a worker leaves it that dies between the row and the data.
    sqlite(
        &server.conf.database(),
        &format!(
            "update images set status = 'deleted', deleted = 1, deleted_at = updated_at where id = '{gone}';
             update image_locations set status = 'deleted', deleted = 1 where image_id = '{gone}';
             insert into image_properties (image_id, name, value, created_at, deleted_at, deleted)
             select id, 'os_glance_data_owner', 'one', updated_at, updated_at, 1 from images where id = '{gone}'"
        ),
    );
    server.start_again();
    wait_for("recovery has looked", Duration::from_secs(20), || entries(&server.conf).is_empty().then_some(()));
    let left: Vec<_> =
        fs::read_dir(server.conf.dir.join("images")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [kept.as_str()], "data of a deleted image stays, or that of another went");
}

#[test]
fn data_in_a_store_that_is_out_of_use_is_removed_when_it_is_back() {
    let server = Server::with(|conf| with_state(conf.two_stores()));
    let id = create(&server, &json!({}));
    let request = upload(&id, Body::Sized(vec![b'x'; 1000])).header("x-image-meta-store", "slow");
    server.send(&request).expect(204);
    let (folder, file) = (server.conf.dir.join("slow"), server.conf.dir.join("a-file"));
    let data = folder.join(&id);
    fs::write(&file, "").unwrap();
    let reload = |folder: &Path| {
        server.conf.clone().set("slow.filesystem_store_datadir", folder.display()).write();
        let reloads = || server.log().matches("configuration reloaded").count();
        let before = reloads();
        server.signal(Signal::SIGHUP);
        wait_for("the reload", Duration::from_secs(20), || (reloads() > before).then_some(()));
    };
    reload(&file);
    server.log_with("failed to configure a store; it can only be read from");
    // As upstream has it.
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert!(data.try_exists().unwrap());
    assert_eq!(entries(&server.conf).len(), 1, "nobody knows of the data any more");
    reload(&folder);
    wait_for("the data goes", Duration::from_secs(20), || entries(&server.conf).is_empty().then_some(()));
    assert!(!data.try_exists().unwrap());
}

#[test]
fn an_upload_that_cannot_be_written_down_leaves_nothing() {
    let mut disk = None;
    let server = Server::with(|conf| {
        disk = Some(SmallDisk::on(conf.dir.join("state"), 64 * 1024));
        with_state(conf)
    });
    let _disk = disk.unwrap();
    let id = create(&server, &json!({}));
    let filler = server.conf.dir.join("state/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);

    server.send(&upload(&id, Body::Sized(vec![b'x'; 1000]))).expect(507);
    assert_eq!(entries(&server.conf), Vec::<PathBuf>::new(), "an entry stays");
    assert_eq!(status(&server, &id), "queued");
    fs::remove_file(&filler).unwrap();
    server.send(&upload(&id, Body::Sized(vec![b'x'; 1000]))).expect(204);

    // A deletion is written down, too.
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(507);
    assert_eq!(status(&server, &id), "active");
    fs::remove_file(&filler).unwrap();
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
}

#[test]
fn a_mount_without_links_is_good_enough() {
    let (mut mount, mut source) = (None, PathBuf::new());
    let mut server = Server::with(|conf| {
        source = conf.dir.join("source");
        mount = Some(FuseMount::on(conf.dir.join("images"), &source));
        with_state(conf)
    });
    let _mount = mount.unwrap();
    let folder = server.conf.dir.join("images");
    fs::write(folder.join("one"), "").unwrap();
    assert!(fs::hard_link(folder.join("one"), folder.join("two")).is_err(), "the mount knows links");
    fs::remove_file(folder.join("one")).unwrap();
    assert!(!server.log().contains("[glance_store]"), "the start complains: {}", server.log());

    let data: Vec<u8> = (0..3 * MIB).map(|place| (place % 251) as u8).collect();
    let id = create(&server, &json!({}));
    let chunks = data.chunks(100_000).map(<[u8]>::to_vec).collect();
    server.send(&upload(&id, Body::Chunked(chunks))).expect(204);
    assert!(server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200).body == data);
    assert!(fs::read(source.join(&id)).unwrap() == data);
    server.send(&upload(&id, Body::Sized(vec![b'x'; 10]))).expect(409);
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);

    // What a crash leaves has a name there, and is removed once its writer has been silent for long.
    let id = create(&server, &json!({}));
    let stream = begin_upload(&server, &id, 64 * MIB, MIB);
    let drafts = wait_for("a draft", Duration::from_secs(20), || {
        let entries = fs::read_dir(folder.join(".glance-drafts")).unwrap();
        let drafts: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        (!drafts.is_empty()).then_some(drafts)
    });
    assert_eq!(drafts.len(), 1, "{drafts:?}");
    server.crash();
    drop(stream);
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(24 * 60 * 60);
    fs::File::options().write(true).open(&drafts[0]).unwrap().set_modified(long_ago).unwrap();
    server.start_again();
    wait_for("the image is queued again", Duration::from_secs(20), || (status(&server, &id) == "queued").then_some(()));
    let left = |folder: &Path| fs::read_dir(folder).unwrap().count();
    wait_for("no draft is left", Duration::from_secs(20), || (left(&source.join(".glance-drafts")) == 0).then_some(()));
    server.send(&upload(&id, Body::Sized(vec![b'y'; 1000]))).expect(204);
    assert_eq!(left(&source), 2, "the image and the folder of drafts");
}

#[test]
fn data_whose_signature_nobody_verifies_is_refused() {
    let server = Server::simple();
    let names =
        ["img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid"];
    let mut all = json!({});
    for name in names {
        all[name] = json!("x");
    }
    let id = create(&server, &all);
    let answer = server.send(&upload(&id, Body::Sized(vec![b'x'; 1000]))).expect(400);
    assert!(answer.text().contains("Signature verification failed for image"), "{}", answer.text());
    assert_eq!(status(&server, &id), "queued");
    // The condition is upstream's: all four.
    let remove = json!([{"op": "remove", "path": "/img_signature_key_type"}]);
    server.send(&Request::patch(&format!("/v2/images/{id}"), &remove)).expect(200);
    server.send(&upload(&id, Body::Sized(vec![b'x'; 1000]))).expect(204);
}

/// A service whose database is behind a proxy, and whose intent log is in its folder.
fn behind_proxy(database: &Database) -> (Server, Proxy) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = Some(Secret::from(database.url().as_str()));
        let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
        db.create_schema().await.unwrap();
    });
    let proxy = Proxy::before(database);
    let change = |conf: Conf| conf.set("database.connection", proxy.url()).set("DEFAULT.show_multiple_locations", true);
    (Server::with(|conf| with_state(change(conf))), proxy)
}

fn has_data(server: &Server, id: &str, length: usize) -> bool {
    let answer = server.send(&Request::new("GET", &format!("/v2/images/{id}/file")));
    answer.status == 200 && answer.body.len() == length
}

/// What came of a commit whose answer was lost is found out, and neither data nor image is left between two states.
#[test]
fn an_upload_whose_commits_lose_their_answers_ends_well_or_not_at_all() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let database = Database::start(kind);
        let (server, proxy) = behind_proxy(&database);
        for (fault, happened) in [(Fault::CutBefore, false), (Fault::CutAfter, true)] {
            // The step from `queued` to `saving`.
            let id = create(&server, &json!({}));
            proxy.fault(fault);
            server.send(&upload(&id, Body::Sized(vec![b'x'; 1000]))).expect(if happened { 204 } else { 503 });
            assert!(proxy.has_struck(), "{kind:?} {fault:?}");
            assert_eq!(status(&server, &id), if happened { "active" } else { "queued" }, "{kind:?} {fault:?}");
            assert_eq!(has_data(&server, &id, 1000), happened, "{kind:?} {fault:?}");

            // The step from `saving` to `active`.
            let id = create(&server, &json!({}));
            let mut stream = begin_upload(&server, &id, 2 * MIB, MIB);
            proxy.fault(fault);
            stream.write_all(&vec![b'x'; MIB]).unwrap();
            let answer = Answer::read(&mut BufReader::new(stream), "PUT").unwrap();
            assert!(proxy.has_struck(), "{kind:?} {fault:?}");
            assert_eq!(answer.status, if happened { 204 } else { 503 }, "{kind:?} {fault:?}");
            assert_eq!(status(&server, &id), if happened { "active" } else { "queued" }, "{kind:?} {fault:?}");
            assert_eq!(has_data(&server, &id, 2 * MIB), happened, "{kind:?} {fault:?}");
            let file = server.conf.dir.join("images").join(&id);
            assert_eq!(file.try_exists().unwrap(), happened, "{kind:?} {fault:?}");

            // The deletion.
            let id = create(&server, &json!({}));
            server.send(&upload(&id, Body::Sized(vec![b'x'; 1000]))).expect(204);
            proxy.fault(fault);
            server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(if happened { 204 } else { 503 });
            let file = server.conf.dir.join("images").join(&id);
            assert_eq!(file.try_exists().unwrap(), !happened, "{kind:?} {fault:?}");
            assert_eq!(has_data(&server, &id, 1000), !happened, "{kind:?} {fault:?}");
        }
        assert_eq!(entries(&server.conf), Vec::<PathBuf>::new(), "{kind:?}");
    }
}

/// Lets the service wait for the answer to its next commit, which takes effect, and then takes the database away.
fn lose_the_database_in_a_commit(proxy: &Proxy, act: impl FnOnce()) {
    proxy.fault(Fault::Delay(Duration::from_secs(5)));
    act();
    wait_for("the commit is on its way", Duration::from_secs(10), || proxy.has_struck().then_some(()));
    proxy.away();
}

#[test]
fn an_upload_whose_outcome_nobody_knows_keeps_data_and_entry_until_recovery_looks() {
    let database = Database::start(Kind::Postgres);
    let (server, proxy) = behind_proxy(&database);
    let recover = |id: &str, wanted: &str| {
        assert_eq!(entries(&server.conf).len(), 1, "the entry is gone");
        proxy.again();
        server.conf.write();
        server.signal(Signal::SIGHUP);
        wait_for("recovery has looked", Duration::from_secs(30), || entries(&server.conf).is_empty().then_some(()));
        assert_eq!(status(&server, id), wanted);
    };
    // The data is durable, and the image active, when the database goes.
    let id = create(&server, &json!({}));
    let mut stream = begin_upload(&server, &id, 2 * MIB, MIB);
    lose_the_database_in_a_commit(&proxy, || stream.write_all(&vec![b'x'; MIB]).unwrap());
    assert_eq!(Answer::read(&mut BufReader::new(stream), "PUT").unwrap().status, 503);
    recover(&id, "active");
    assert!(has_data(&server, &id, 2 * MIB));

    // The image is `saving`, and no data has been asked for, when it goes.
    let id = create(&server, &json!({}));
    let mut stream = http::connect(server.address).unwrap();
    let head = upload(&id, Body::Sized(vec![b'x'; 1000])).head("localhost");
    lose_the_database_in_a_commit(&proxy, || {
        stream.write_all(&head).unwrap();
        stream.write_all(&[b'x'; 1000]).unwrap();
    });
    assert_eq!(Answer::read(&mut BufReader::new(stream), "PUT").unwrap().status, 503);
    recover(&id, "queued");
    server.send(&upload(&id, Body::Sized(vec![b'y'; 1000]))).expect(204);
}

/// The row has lost the location, and the worker dies before it removes the data.
#[test]
fn a_removal_of_a_location_that_died_is_finished() {
    let database = Database::start(Kind::Postgres);
    let (mut server, proxy) = behind_proxy(&database);
    let (kept, removed) = (server.conf.dir.join("images/kept"), server.conf.dir.join("images/removed"));
    for file in [&kept, &removed] {
        fs::write(file, "data").unwrap();
    }
    let location = |file: &Path| LocationRecord::active(format!("file://{}", file.display()), serde_json::Map::new());
    let id = uuid::Uuid::new_v4().to_string();
    let image = NewImage {
        status: "active".to_owned(),
        size: Some(4),
        locations: vec![location(&removed), location(&kept)],
        ..NewImage::new(&id)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = Some(Secret::from(database.url().as_str()));
    let options = DatabaseSection { connection, ..DatabaseSection::default() };
    let db = runtime.block_on(Db::connect(&options)).unwrap();
    runtime.block_on(images::create(&db, image)).unwrap();
    let locations = || runtime.block_on(images::get(&db, &id, false)).unwrap().unwrap().locations.len();

    let change = json!([{"op": "remove", "path": "/locations/0"}]);
    let patch = Request::patch(&format!("/v2/images/{id}"), &change);
    let mut stream = http::connect(server.address).unwrap();
    proxy.fault(Fault::Delay(Duration::from_secs(20)));
    stream.write_all(&patch.head("localhost")).unwrap();
    stream.write_all(change.to_string().as_bytes()).unwrap();
    wait_for("the commit", Duration::from_secs(10), || (proxy.has_struck() && locations() == 1).then_some(()));
    server.crash();
    assert!(removed.try_exists().unwrap(), "the data went before the row was known to have changed");
    assert_eq!(entries(&server.conf).len(), 1);

    server.start_again();
    wait_for("recovery has looked", Duration::from_secs(20), || entries(&server.conf).is_empty().then_some(()));
    assert!(!removed.try_exists().unwrap(), "data is left that nobody knows of");
    assert!(kept.try_exists().unwrap() && locations() == 1);
    assert!(has_data(&server, &id, 4));
}
