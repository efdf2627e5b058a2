use std::fs;
use std::io::Write as _;

use super::sqlite::SqliteIndex;
use super::xattr::XattrIndex;
use super::*;
use crate::cache::layout::{Begun, Layout};
use crate::config::Config;

const ID: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b11";
const OTHER: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b12";

fn time(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn cached(layout: &Layout, index: &dyn Index, id: &str) {
    let Begun::Mine(mut file) = layout.begin(id).unwrap() else { panic!("it is there") };
    file.write_all(b"data").unwrap();
    index.mark(&file).unwrap();
    layout.commit(id, &file).unwrap();
}

/// What holds whatever the index is.
async fn keeps_what_it_is_told(layout: &Layout, index: &dyn Index) {
    for id in [OTHER, ID] {
        cached(layout, index, id);
        index.insert(Entry::new(id, 4, time(1_000_000))).await.unwrap();
    }
    index.count(ID, 2, time(2_000_000)).await.unwrap();
    index.count(ID, 1, time(3_000_000)).await.unwrap();
    index.count("no such image", 1, time(3_000_000)).await.unwrap();
    let mut entries = index.list().await.unwrap();
    entries.sort_by(|a, b| a.image_id.cmp(&b.image_id));
    assert_eq!(
        entries.iter().map(|entry| (&*entry.image_id, entry.hits, entry.size)).collect::<Vec<_>>(),
        [(ID, 3, 4), (OTHER, 0, 4)]
    );
    assert_eq!(entries[0].last_accessed, time(3_000_000));
    layout.remove(ID).unwrap();
    index.remove(ID).await.unwrap();
    index.remove(ID).await.unwrap();
    let left: Vec<String> = index.list().await.unwrap().into_iter().map(|entry| entry.image_id).collect();
    assert_eq!(left, [OTHER]);
    layout.remove(OTHER).unwrap();
    index.clear().await.unwrap();
    assert_eq!(index.list().await.unwrap(), []);
    assert_eq!(index.nodes(ID).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn both_local_indexes_keep_what_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let attributes = XattrIndex::open(layout.clone()).await.unwrap().expect("a file system with attributes");
    keeps_what_it_is_told(&layout, &attributes).await;
    let sqlite = SqliteIndex::open(&folder.path().join("cache.db")).await.unwrap();
    keeps_what_it_is_told(&layout, &sqlite).await;
    assert!(!folder.path().join("checkme").try_exists().unwrap());
}

/// A database that upstream has made is read, and what is written can be read by upstream.
#[tokio::test]
async fn the_database_is_upstreams() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let upstreams = "CREATE TABLE cached_images (image_id TEXT PRIMARY KEY, last_accessed REAL DEFAULT 0.0, last_modified REAL \
                     DEFAULT 0.0, size INTEGER DEFAULT 0, hits INTEGER DEFAULT 0, checksum TEXT)";
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query(upstreams).execute(&pool).await.unwrap();
    let row = "INSERT INTO cached_images (image_id, last_accessed, last_modified, hits, size) VALUES (?, 1.5, 1732000000.25, 7, 9)";
    sqlx::query(row).bind(ID).execute(&pool).await.unwrap();
    let index = SqliteIndex::open(&path).await.unwrap();
    let entry = index.list().await.unwrap().remove(0);
    assert_eq!((entry.hits, entry.size), (7, 9));
    assert_eq!((seconds(entry.last_accessed), seconds(entry.last_modified)), (1.5, 1_732_000_000.25));
    index.count(ID, 1, time(5)).await.unwrap();
    let now: f64 = sqlx::query_scalar("SELECT last_accessed FROM cached_images").fetch_one(&pool).await.unwrap();
    assert_eq!(now, 5.0);
}

#[tokio::test]
async fn a_cloud_wide_index_needs_database_and_node() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let refused = open(&Config::default(), None, &layout).await.err().unwrap();
    assert!(matches!(refused, OpenError::NoDatabase), "{refused}");
    let mut config = Config::default();
    config.default.image_cache_driver = "XATTR".to_owned();
    assert!(!open(&config, None, &layout).await.unwrap().is_central());
    assert!(fs::read_dir(folder.path()).unwrap().flatten().all(|entry| entry.path().is_dir()));
}
