//! The suite of the database layer on PostgreSQL and MariaDB.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::images::list::{Column, Condition, ListQuery, Viewer, VisibilityCondition};
use glance_api::db::model::NewImage;
use glance_api::db::{Db, Dialect, images, members};
use time::macros::datetime;

extern crate glance_api;

#[path = "../common/mod.rs"]
mod common;
#[path = "../db_suite/mod.rs"]
mod db_suite;

mod mariadb;
mod postgresql;

use common::database::{Kind, Server};

async fn connect(url: &str) -> Db {
    let connection = Some(Secret::from(url));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql() {
    let mut server = Server::start(Kind::Postgres);
    exercise(&mut server, Dialect::Postgres).await;
    tokio::task::block_in_place(|| postgresql::reloads_keep_connections(&server));
}

/// How many indexes of our own there are.
fn indexes(server: &Server, dialect: Dialect) -> usize {
    let sql = match dialect {
        Dialect::Postgres => "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'glance_api_%'",
        _ => "SELECT DISTINCT index_name FROM information_schema.statistics WHERE index_name LIKE 'glance_api_%'",
    };
    server.sql(sql).lines().count()
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
    for is_member_of_many in [false, true] {
        lists_of_members(server, &db, is_member_of_many).await;
    }
    match dialect {
        Dialect::Postgres => {
            postgresql::connections_plan_once(server, &db).await;
            postgresql::pages_go_on_behind_a_time_that_is_none(server, &db).await;
        }
        _ => {
            mariadb::an_image_takes_few_statements(server, &db).await;
            mariadb::a_page_of_namespaces_takes_two_statements(server, &db).await;
            mariadb::uploads_beside_names_from_before(server, &db).await;
            mariadb::notes_without_a_place(server, &db).await;
            mariadb::dead_tasks_beside_names_from_before(server, &db).await;
            mariadb::a_note_that_came_meanwhile(server).await;
            // The last one, as this process does without the index for some minutes then.
            mariadb::pages_are_found_by_index(server).await;
        }
    }

    // All connections of the pool are stale now; nobody is to notice.
    let id = db_suite::uuid();
    images::create(&db, NewImage::new(&id)).await.unwrap();
    server.restart();
    assert!(images::get(&db, &id, false).await.unwrap().is_some());
    server.restart();
    images::delete(&db, &id, "deleted", Some(&["queued"])).await.unwrap();
}

/// Lists of a project with a few memberships, or with so many that its images are found in another way.
async fn lists_of_members(server: &Server, db: &Db, is_member_of_many: bool) {
    let (me, other) = (db_suite::uuid(), db_suite::uuid());
    let mut newest_first: Vec<(String, &str)> = Vec::new();
    let rows = [
        (&other, "shared", Some("accepted")),
        (&other, "shared", Some("pending")),
        (&other, "shared", None),
        (&me, "shared", Some("accepted")),
        (&other, "public", Some("accepted")),
        (&other, "shared", Some("accepted")),
        (&me, "private", None),
        (&other, "shared", Some("accepted")),
        (&other, "private", Some("accepted")),
    ];
    let mut created_at = datetime!(2024-01-01 00:00:00);
    for (owner, visibility, membership) in rows {
        created_at += Duration::from_secs(1);
        let new = NewImage {
            owner: Some(owner.clone()),
            visibility: visibility.to_owned(),
            created_at: Some(created_at),
            ..NewImage::new(db_suite::uuid())
        };
        let id = images::create(db, new).await.unwrap().id;
        if let Some(status) = membership {
            members::add(db, &id, &me, status).await.unwrap();
        }
        let is_shown =
            *owner == me || visibility == "public" || visibility == "shared" && membership == Some("accepted");
        if is_shown {
            newest_first.insert(0, (id, visibility));
        }
    }
    if is_member_of_many {
        let numbers = match db.dialect() {
            Dialect::Postgres => "generate_series(1, 1001)",
            _ => "seq_1_to_20000",
        };
        server.sql(&format!(
            "INSERT INTO image_members (image_id, member, can_share, created_at, updated_at, deleted, status) \
             SELECT id, '{me}', FALSE, created_at, created_at, FALSE, 'accepted' FROM images, {numbers} \
             WHERE owner = '{other}' AND visibility = 'private'"
        ));
    }
    let rows_read = rows_read(server, db.dialect());
    let viewer = Viewer { is_admin: false, project: Some(me.clone()) };
    let conditions = vec![Condition::In(Column::Owner, vec![me, other])];
    for (visibility, only) in
        [(VisibilityCondition::Default, None), (VisibilityCondition::Only("shared".to_owned()), Some("shared"))]
    {
        let mut query = ListQuery { conditions: conditions.clone(), visibility, ..ListQuery::new(viewer.clone(), 2) };
        let expected = newest_first.iter().filter(|(_, visibility)| only.is_none_or(|only| only == *visibility));
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = images::list(db, &query).await.unwrap();
            found.extend(page.iter().map(|image| image.id.clone()));
            if page.len() < 2 {
                break;
            }
            query.marker = found.last().cloned();
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected.map(|(id, _)| id).collect::<Vec<_>>(), "{only:?}");
    }
    if is_member_of_many && db.dialect() == Dialect::MySql {
        // A dozen lists or so, none of which reads all of the memberships.
        let read = self::rows_read(server, db.dialect()) - rows_read;
        assert!(read < 12 * 10_000, "{read} rows");
    }
}

/// Rows that the server has read so far, of tables and indexes; MySQL's alone.
fn rows_read(server: &Server, dialect: Dialect) -> u64 {
    if dialect != Dialect::MySql {
        return 0;
    }
    let sum =
        "SELECT SUM(variable_value) FROM information_schema.global_status WHERE variable_name LIKE 'HANDLER_READ%'";
    server.sql(sum).parse::<f64>().unwrap() as u64
}
