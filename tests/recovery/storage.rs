//! Stores that are out of use, full disks, file systems without links, and data that is refused.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::disk::{FuseMount, SmallDisk};
use crate::common::uploads::{begin_upload, status, upload};
use crate::common::{Body, Request, Server, wait_for};
use crate::{MIB, create, entries};

#[test]
fn data_in_a_store_that_is_out_of_use_is_removed_when_it_is_back() {
    let server = Server::with(|conf| conf.two_stores().own_state());
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
    let (server, _disk) =
        Server::with_disk(|conf| (SmallDisk::on(conf.dir.join("state"), 64 * 1024), conf.own_state()));
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
    let (mut server, _mount) =
        Server::with_disk(|conf| (FuseMount::on(conf.dir.join("images"), &conf.dir.join("source")), conf.own_state()));
    let [folder, source] = ["images", "source"].map(|name| server.conf.dir.join(name));
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
