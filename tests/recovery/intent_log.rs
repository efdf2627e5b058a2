//! Entries of the intent log: what they say, and what becomes of those of dead workers, of earlier builds and of other hosts.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::uploads::{begin_upload, status, upload};
use crate::common::{Answer, Body, Conf, Request, Server, free_port, wait_for};
use crate::{MIB, assert_queued_and_clean, create, entries, intent_log, shown, sqlite};

#[test]
fn an_entry_says_who_does_what_and_the_token_does_not_show() {
    let server = Server::with(Conf::own_state);
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
    let mut server = Server::with(Conf::own_state);
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

#[test]
fn an_entry_of_another_user_does_not_stop_the_rest_and_is_taken_up_once_it_can_be_read() {
    const NOBODY: u32 = 65_534;
    let mut server = Server::with(|conf| conf.own_state().without_privileges());
    let (foreign, own) = (create(&server, &json!({})), create(&server, &json!({})));
    let first = begin_upload(&server, &foreign, 64 * MIB, MIB);
    let entry = entries(&server.conf).pop().unwrap();
    let second = begin_upload(&server, &own, 64 * MIB, MIB);
    server.crash();
    drop((first, second));
    std::os::unix::fs::chown(&entry, Some(NOBODY), Some(NOBODY)).unwrap();
    server.start_again();
    assert_queued_and_clean(&server, &own);
    let log = server.log_with("an entry of the intent log cannot be taken up");
    assert!(log.contains("Permission denied") && log.contains(entry.file_name().unwrap().to_str().unwrap()), "{log}");
    assert_eq!((entries(&server.conf), status(&server, &foreign).as_str()), (vec![entry.clone()], "saving"));

    std::os::unix::fs::chown(&entry, Some(0), Some(0)).unwrap();
    server.wait_for_recovery("the entry is taken up", Duration::from_secs(20), || {
        entries(&server.conf).is_empty().then_some(())
    });
    assert_eq!(status(&server, &foreign), "queued");
}

/// A service on another host: the same database and store, a state directory of its own.
fn other_host(server: &Server, name: &str) -> Conf {
    let mut conf = server.conf.clone();
    conf.dir = server.conf.dir.join(name);
    conf.port = free_port();
    let port = conf.port;
    fs::create_dir_all(&conf.dir).unwrap();
    conf.set("bind_port", port).own_state()
}

#[test]
fn recovery_leaves_alone_what_another_host_is_writing() {
    let here = Server::with(Conf::own_state);
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
    let mut server = Server::with(Conf::own_state);
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
    let mut server = Server::with(Conf::own_state);
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
