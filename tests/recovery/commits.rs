//! A database that loses the answers to commits.

use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::{LocationRecord, NewImage};
use glance_api::db::{Db, images};
use serde_json::json;

use crate::common::database::{Fault, Kind, Proxy, Server as Database};
use crate::common::uploads::{begin_upload, status, upload};
use crate::common::{Answer, Body, Conf, Request, Server, http, wait_for};
use crate::{MIB, create, entries};

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
    (Server::with(|conf| change(conf).own_state()), proxy)
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

/// How a database is out of reach while the answer to a commit is awaited.
#[derive(Clone, Copy, Debug)]
enum Out {
    /// All connections are cut, and nobody is let in.
    Away,
    /// The answer is lost, and nothing else is answered either.
    Stuck,
}

/// Lets a commit take effect by which the image comes into this status, and takes the database out of reach before its answer.
fn lose_the_database_in_a_commit(
    (database, proxy): (&Database, &Proxy),
    out: Out,
    (id, status): (&str, &str),
    act: impl FnOnce(),
) {
    proxy.fault(match out {
        Out::Away => Fault::Delay(Duration::from_secs(5)),
        Out::Stuck => Fault::Swallow,
    });
    act();
    let select = format!("SELECT status FROM images WHERE id = '{id}'");
    wait_for("the commit takes effect", Duration::from_secs(10), || (database.sql(&select) == status).then_some(()));
    assert!(proxy.has_struck(), "it was another commit");
    match out {
        Out::Away => proxy.away(),
        Out::Stuck => proxy.stick(),
    }
}

/// The answer to an upload for which the service waits as long as it ever does.
fn late_answer(stream: TcpStream) -> Answer {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    Answer::read(&mut BufReader::new(stream), "PUT").unwrap()
}

#[test]
fn an_upload_keeps_data_and_entry_until_recovery_looks_while_postgresql_is_away() {
    outcomes_that_nobody_knows(Kind::Postgres, Out::Away);
}

#[test]
fn an_upload_keeps_data_and_entry_until_recovery_looks_while_postgresql_is_stuck() {
    outcomes_that_nobody_knows(Kind::Postgres, Out::Stuck);
}

#[test]
fn an_upload_keeps_data_and_entry_until_recovery_looks_while_mariadb_is_away() {
    outcomes_that_nobody_knows(Kind::MariaDb, Out::Away);
}

#[test]
fn an_upload_keeps_data_and_entry_until_recovery_looks_while_mariadb_is_stuck() {
    outcomes_that_nobody_knows(Kind::MariaDb, Out::Stuck);
}

/// The client is told that nobody knows, while the database is still out of reach.
fn outcomes_that_nobody_knows(kind: Kind, out: Out) {
    let database = Database::start(kind);
    let (server, proxy) = behind_proxy(&database);
    let recover = |id: &str, wanted: &str| {
        assert_eq!(entries(&server.conf).len(), 1, "the entry is gone");
        proxy.again();
        // The first look may still meet a connection from before.
        let looks = || entries(&server.conf).is_empty().then_some(());
        server.wait_for_recovery("recovery has looked", Duration::from_secs(60), looks);
        assert_eq!(status(&server, id), wanted);
    };
    // The data is durable, and the image active, when the database goes.
    let id = create(&server, &json!({}));
    let mut stream = begin_upload(&server, &id, 2 * MIB, MIB);
    lose_the_database_in_a_commit((&database, &proxy), out, (&id, "active"), || {
        stream.write_all(&vec![b'x'; MIB]).unwrap();
    });
    assert_eq!(late_answer(stream).status, 503);
    let file = server.conf.dir.join("images").join(&id);
    assert_eq!(fs::metadata(&file).unwrap().len(), 2 * MIB as u64, "the data is gone");
    recover(&id, "active");
    assert!(has_data(&server, &id, 2 * MIB));

    // The image is `saving`, and no data has been asked for, when it goes.
    let id = create(&server, &json!({}));
    let mut stream = http::connect(server.address).unwrap();
    let head = upload(&id, Body::Sized(vec![b'x'; 1000])).head("localhost");
    lose_the_database_in_a_commit((&database, &proxy), out, (&id, "saving"), || {
        stream.write_all(&head).unwrap();
        stream.write_all(&[b'x'; 1000]).unwrap();
    });
    assert_eq!(late_answer(stream).status, 503);
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
