//! The suite of the database layer on PostgreSQL and MariaDB.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::NewImage;
use glance_api::db::{Db, Dialect, images};

extern crate glance_api;

mod common;
mod db_suite;

use common::database::{Kind, Server};

async fn connect(url: &str) -> Db {
    let connection = Some(Secret::from(url));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql() {
    let mut server = Server::start(Kind::Postgres);
    exercise(&mut server, Dialect::Postgres).await;
    tokio::task::block_in_place(|| reloads_keep_connections(&server));
}

/// How many indexes of our own there are.
fn indexes(server: &Server, dialect: Dialect) -> usize {
    let sql = match dialect {
        Dialect::Postgres => "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'glance_api_%'",
        _ => "SELECT DISTINCT index_name FROM information_schema.statistics WHERE index_name LIKE 'glance_api_%'",
    };
    server.sql(sql).lines().count()
}

/// The program reloads on the database that [`exercise`] has left.
fn reloads_keep_connections(server: &Server) {
    let name = "reloaded";
    let connection = format!("{}&application_name={name}", server.url());
    let mut service = common::Server::with(|conf| conf.set("database.connection", connection));
    // The processes of PostgreSQL that serve the program.
    let backends = |service: &common::Server| -> BTreeSet<String> {
        assert_eq!(service.send(&common::Request::new("GET", "/v2/images")).status, 200);
        let pids = server.sql(&format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'"));
        pids.lines().map(str::to_owned).collect()
    };
    let before = backends(&service);
    assert!(!before.is_empty());
    for round in 1..=3 {
        service.conf = service.conf.clone().set("DEFAULT.limit_param_default", 10 + round);
        service.conf.write();
        service.signal(nix::sys::signal::Signal::SIGHUP);
        common::wait_for("the reload", Duration::from_secs(20), || {
            (service.log().matches("configuration reloaded").count() == round).then_some(())
        });
        let after = backends(&service);
        assert!(before.is_subset(&after), "{before:?} before, {after:?} after reload {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    let mut server = Server::start(Kind::MariaDb);
    exercise(&mut server, Dialect::MySql).await;
}

async fn exercise(server: &mut Server, dialect: Dialect) {
    let db = connect(&server.url()).await;
    assert_eq!(db.dialect(), dialect);
    assert!(db.check_schema().await.unwrap_err().to_string().contains("the database is empty"));
    db.create_schema().await.unwrap();
    db.create_schema().await.unwrap();
    db.check_schema().await.unwrap();
    db.create_indexes().await.unwrap();
    db.create_indexes().await.unwrap();
    assert_eq!(indexes(server, dialect), 5);
    db_suite::run(&db).await;

    // All connections of the pool are stale now; nobody is to notice.
    let id = db_suite::uuid();
    images::create(&db, NewImage::new(&id)).await.unwrap();
    server.restart();
    assert!(images::get(&db, &id, false).await.unwrap().is_some());
    server.restart();
    images::delete(&db, &id, "deleted", Some(&["queued"])).await.unwrap();
}
