use sea_query::Value;

use super::statements::Sql;
use super::*;
use crate::config::{DatabaseSection, Secret};
use crate::db::row::Columns;

async fn open(folder: &tempfile::TempDir) -> Db {
    let connection = Some(Secret::from(format!("sqlite:///{}", folder.path().join("glance.db").display()).as_str()));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap()
}

fn to(target: &str) -> Upgrade {
    Upgrade { target: find(target).unwrap(), is_rolling: false }
}

async fn run(db: &Db, sql: &'static str) {
    db.writer().await.unwrap().plain(sql).await.unwrap();
}

async fn texts(db: &Db, sql: &'static str) -> Vec<String> {
    db.writer().await.unwrap().rows(&Sql(sql.into()), |row| Columns::of(row).text()).await.unwrap()
}

const IMAGES: &str = "INSERT INTO images (id, name, status, is_public, created_at, deleted, min_disk, min_ram, protected) VALUES \
    ('a', 'a', 'active', 1, '2016-01-01 00:00:00.000000', 0, 0, 0, 0), \
    ('b', 'b', 'active', 0, '2016-01-01 00:00:00.000000', 0, 0, 0, 0), \
    ('c', 'c', 'deleted', 0, '2016-01-01 00:00:00.000000', 1, 0, 0, 0); \
    INSERT INTO image_members (image_id, member, can_share, created_at, deleted) VALUES \
    ('b', 'm', 0, '2016-01-01 00:00:00.000000', 0), ('c', 'm', 0, '2016-01-01 00:00:00.000000', 1); \
    INSERT INTO image_locations (image_id, value, created_at, deleted, meta_data) VALUES \
    ('a', 'file:///a', '2016-01-01 00:00:00.000000', 0, '{\"backend\": \"fast\"}')";

#[tokio::test]
async fn rows_from_the_beginning_arrive_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    assert_eq!(db.upgrade(to("mitaka02"), &|_| {}).await.unwrap(), ["mitaka02"]);
    run(&db, IMAGES).await;
    assert!(!db.has_pending_data().await.unwrap());
    assert_eq!(db.upgrade(to("expand"), &|_| {}).await.unwrap(), [EXPANDED]);
    assert!(db.has_pending_data().await.unwrap());
    // Two of the images are private first, and one of them then shared.
    assert_eq!(db.migrate_data(&|_| {}).await.unwrap(), 5);
    assert!(!db.has_pending_data().await.unwrap());
    assert_eq!(db.upgrade(to("heads"), &|_| {}).await.unwrap(), [HEAD]);
    let images = texts(&db, "SELECT id || ' ' || visibility || ' ' || os_hidden FROM images ORDER BY id").await;
    assert_eq!(images, ["a public 0", "b shared 0", "c private 0"]);
    assert_eq!(texts(&db, "SELECT meta_data FROM image_locations").await, ["{\"store\": \"fast\"}"]);
    db.check_schema().await.unwrap();
    // Children still belong to their image.
    let orphan = "INSERT INTO image_tags (image_id, value, created_at, deleted) VALUES ('x', 'x', '2016-01-01', 0)";
    assert!(db.writer().await.unwrap().plain(orphan).await.is_err());
}

#[tokio::test]
async fn what_was_not_migrated_is_before_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    db.upgrade(to("mitaka02"), &|_| {}).await.unwrap();
    run(&db, IMAGES).await;
    db.upgrade(to("heads"), &|_| {}).await.unwrap();
    assert_eq!(texts(&db, "SELECT visibility FROM images ORDER BY id").await, ["public", "shared", "private"]);
    // A shared image that somebody has made private since stays so, as does a key of the metadata's own.
    run(&db, "UPDATE images SET visibility = 'private'; UPDATE image_locations SET meta_data = '{\"backend\": 1}'")
        .await;
    assert!(!db.has_pending_data().await.unwrap());
    assert_eq!(db.migrate_data(&|_| {}).await.unwrap(), 0);
}

#[tokio::test]
async fn a_failure_leaves_nothing_half_done_and_the_lock_free() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    db.upgrade(to("mitaka02"), &|_| {}).await.unwrap();
    run(&db, "CREATE TABLE node_reference (n)").await;
    assert!(db.upgrade(to("heads"), &|_| {}).await.is_err());
    assert_eq!(db.revisions().await.unwrap(), ["mitaka02"]);
    run(&db, "DROP TABLE node_reference").await;
    db.upgrade(to("heads"), &|_| {}).await.unwrap();
}

#[tokio::test]
async fn strange_tables_and_revisions_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    run(&db, "CREATE TABLE images (id VARCHAR(36))").await;
    let error = db.upgrade(to("heads"), &|_| {}).await.unwrap_err();
    assert!(matches!(error, DbError::Schema(SchemaError::NoRevision)), "{error}");
    db.stamp(find("liberty").unwrap(), &|_| {}).await.unwrap();
    assert_eq!(db.revisions().await.unwrap(), ["liberty"]);
    run(&db, "UPDATE alembic_version SET version_num = '2099_1_contract01'").await;
    let error = db.upgrade(to("heads"), &|_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "Can't locate revision identified by '2099_1_contract01'");
    run(&db, "UPDATE alembic_version SET version_num = 'ocata01'").await;
    db.stamp(find("pike_contract01").unwrap(), &|_| {}).await.unwrap();
    assert_eq!(db.revisions().await.unwrap(), ["pike_contract01"]);
}

#[test]
fn a_statement_of_our_own_has_no_values() {
    use crate::db::statement::Statement as _;
    let (sql, values) = Sql("SELECT 1".into()).render(Dialect::Postgres);
    assert_eq!((sql.as_str(), values.0), ("SELECT 1", Vec::<Value>::new()));
}
