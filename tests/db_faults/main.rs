//! A database whose answers are cut off, late or lost, or that is full or away: what clients get, and what is in the database then.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod absent;
mod commits;
mod full;

#[path = "../common/mod.rs"]
mod common;

use common::database::{Kind, Proxy, Server as Database};
use common::{Conf, Request, Server};
use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::Db;
use serde_json::{Value, json};

/// A service whose database is behind a proxy.
struct Rig {
    server: Server,
    proxy: Proxy,
    // After the service, so that it ends last.
    database: Database,
}

impl Rig {
    fn start(kind: Kind) -> Self {
        Self::start_with(kind, |conf| conf)
    }

    fn start_with(kind: Kind, change: impl FnOnce(Conf) -> Conf) -> Self {
        let arguments = match kind {
            // PostgreSQL's own housekeeping would give back the space of what was refused on a full disk.
            Kind::Postgres => ["-c", "autovacuum=off"].map(str::to_owned),
            // MariaDB itself ends when its disk is full; so all tables lie in a file that may not grow without end.
            Kind::MariaDb => tables_in_one_file("24M"),
        };
        let database = Database::start_with(kind, |_| arguments.to_vec());
        make_tables(&database);
        let proxy = Proxy::before(&database);
        let server = Server::with(|conf| {
            change(conf)
                .set("database.connection", proxy.url())
                .set("healthcheck.backends", "disable_by_file,database")
                .set("healthcheck.detailed", true)
        });
        Self { server, proxy, database }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.server.send(&Request::new("GET", path));
        let body = if answer.status == 200 { answer.json() } else { Value::Null };
        (answer.status, body)
    }
}

/// Arguments for MariaDB.
fn tables_in_one_file(largest: &str) -> [String; 2] {
    ["--innodb-file-per-table=0".to_owned(), format!("--innodb-data-file-path=ibdata1:12M:autoextend:max:{largest}")]
}

fn make_tables(database: &Database) {
    make_tables_at(&database.url());
}

fn make_tables_at(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { connect(url).await.create_schema().await.unwrap() });
}

async fn connect(url: &str) -> Db {
    let connection = Some(Secret::from(url));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap()
}

fn image(id: &str) -> Value {
    json!({"id": id, "name": "whole", "disk_format": "raw", "container_format": "bare", "colour": "red", "tags": ["a", "b"]})
}

fn patch(id: &str, name: &str) -> Request {
    let change = json!([
        {"op": "replace", "path": "/name", "value": name},
        {"op": "replace", "path": "/tags", "value": [name]},
        {"op": "add", "path": "/colour", "value": name},
    ]);
    Request::patch(&format!("/v2/images/{id}"), &change)
}

fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[test]
fn more_filters_than_a_database_bears_are_refused_in_words() {
    let server = Server::simple();
    let list = |count: usize| Request::new("GET", &format!("/v2/images?{}", vec!["tag=a"; count].join("&")));
    server.send(&list(64)).expect(200);
    for count in [65, 1000, 1500] {
        let answer = server.send(&list(count)).expect(400);
        assert!(answer.text().contains("tags and properties, at most 64 are allowed"), "{}", answer.text());
    }
    let properties: Vec<String> = (0..1000).map(|number| format!("p{number}=v")).collect();
    server.send(&Request::new("GET", &format!("/v2/images?{}", properties.join("&")))).expect(400);
}
