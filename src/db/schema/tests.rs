use std::path::Path;

use sea_query::{Expr, Query};

use super::*;
use crate::config::{DatabaseSection, Secret};
use crate::db::row::Columns;

async fn open(path: &Path) -> Db {
    let connection = Some(Secret::from(format!("sqlite:///{}", path.display()).as_str()));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap()
}

async fn texts(db: &Db, sql: &'static str) -> Vec<String> {
    let mut query = Query::select();
    query.expr(Expr::cust(sql));
    db.writer().await.unwrap().rows(&query, |row| Columns::of(row).text()).await.unwrap()
}

async fn run(db: &Db, sql: &'static str) {
    db.writer().await.unwrap().plain(sql).await.unwrap();
}

#[tokio::test]
async fn an_empty_file_is_told_apart_and_filled_once() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder.path().join("glance.db")).await;
    assert!(matches!(db.check_schema().await, Err(DbError::Schema(SchemaError::Empty))));
    db.create_schema().await.unwrap();
    db.check_schema().await.unwrap();
    run(&db, "INSERT INTO node_reference (node_reference_url) VALUES ('kept')").await;
    db.create_schema().await.unwrap();
    assert_eq!(texts(&db, "(SELECT group_concat(node_reference_url) FROM node_reference)").await, ["kept"]);
    assert_eq!(texts(&db, "journal_mode FROM pragma_journal_mode").await, ["wal"]);
}

#[tokio::test]
async fn workers_that_start_together_make_one_set_of_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("glance.db");
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let db = open(&path).await;
        workers.spawn(async move {
            db.create_schema().await.unwrap();
            db.check_schema().await.unwrap();
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn the_journal_of_a_file_made_elsewhere_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("glance.db");
    let db = open(&path).await;
    run(&db, "CREATE TABLE images (id VARCHAR(36))").await;
    db.create_schema().await.unwrap();
    assert_eq!(texts(&db, "journal_mode FROM pragma_journal_mode").await, ["delete"]);
    assert!(matches!(db.check_schema().await, Err(DbError::Schema(SchemaError::NoRevision))));
}

#[tokio::test]
async fn another_revision_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder.path().join("glance.db")).await;
    db.create_schema().await.unwrap();
    run(&db, "UPDATE alembic_version SET version_num = '2024_1_expand01'").await;
    run(&db, "INSERT INTO alembic_version VALUES ('2023_1_contract01')").await;
    let error = db.check_schema().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the tables are at revision 2023_1_contract01 and 2024_1_expand01, this program works with 2024_1_contract01: \
         `glance-manage db sync` migrates the database"
    );
    run(&db, "DELETE FROM alembic_version").await;
    assert!(matches!(db.check_schema().await, Err(DbError::Schema(SchemaError::NoRevision))));
}
