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
    let Begun::Write(file) = layout.begin(id).unwrap() else { panic!("it is there") };
    (&mut &**file).write_all(b"data").unwrap();
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
    index.insert_unknown(entries.clone()).await.unwrap();
    let same = index.list().await.unwrap();
    assert!(same.len() == 2 && entries.iter().all(|entry| same.contains(entry)), "{same:?}");
    // The access times of files need not be what was said; those of both are what was counted.
    index.count(OTHER, 1, time(2_500_000)).await.unwrap();
    assert_eq!(index.least_recently_accessed(9).await.unwrap(), [OTHER, ID]);
    assert_eq!(index.least_recently_accessed(1).await.unwrap(), [OTHER]);
    layout.remove(ID).unwrap();
    for _ in 0..2 {
        index.remove(&[ID.to_owned(), "no such image".to_owned()]).await.unwrap();
    }
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
    let layout = Layout::new(folder.path());
    layout.create_folders().unwrap();
    let attributes = XattrIndex::open(layout.clone()).await.unwrap().expect("a file system with attributes");
    keeps_what_it_is_told(&layout, &attributes).await;
    let sqlite = SqliteIndex::new(&folder.path().join("cache.db"));
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
    let index = SqliteIndex::new(&path);
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
    let layout = Layout::new(folder.path());
    layout.create_folders().unwrap();
    let refused = open(&Config::default(), None, &layout).await.err().unwrap();
    assert!(matches!(refused, OpenError::NoNode), "{refused}");
    let mut config = Config::default();
    config.default.worker_self_reference_url = Some("http://here".to_owned());
    let refused = open(&config, None, &layout).await.err().unwrap();
    assert!(matches!(refused, OpenError::NoDatabase), "{refused}");
    config.default.image_cache_driver = "XATTR".to_owned();
    assert!(!open(&config, None, &layout).await.unwrap().0.is_central());
    assert!(fs::read_dir(folder.path()).unwrap().flatten().all(|entry| entry.path().is_dir()));
}

/// What another program may have put there, or what is on a disk that does not answer, is told apart.
#[tokio::test]
async fn a_database_that_cannot_be_opened_now_is_opened_later() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(&folder.path().join("cache"));
    let mut config = Config::default();
    config.default.image_cache_driver = "sqlite".to_owned();
    // Its folder is missing.
    let (index, _) = open(&config, None, &layout).await.unwrap();
    assert!(index.insert(Entry::new(ID, 4, time(1))).await.is_err_and(|error| error.is_of_disk()));
    layout.create_folders().unwrap();
    index.insert(Entry::new(ID, 4, time(1))).await.unwrap();
    assert_eq!(index.list().await.unwrap().len(), 1);

    fs::write(layout.base().join("other.db"), [b'x'; 4096]).unwrap();
    config.default.image_cache_sqlite_db = "other.db".to_owned();
    assert!(matches!(open(&config, None, &layout).await, Err(OpenError::Index(error)) if !error.is_passing()));
}

/// As many as more than one statement takes.
#[tokio::test]
async fn many_are_taken_up_and_forgotten_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let index = SqliteIndex::new(&folder.path().join("cache.db"));
    let ids: Vec<String> = (0..250).map(|number| format!("7d0b7c4c-9a4a-4d5c-8a3e-{number:012}")).collect();
    index.insert_unknown(ids.iter().map(|id| Entry::new(id, 1, time(1))).collect()).await.unwrap();
    assert_eq!(index.list().await.unwrap().len(), 250);
    index.remove(&ids[1..]).await.unwrap();
    assert_eq!(index.least_recently_accessed(9).await.unwrap(), ids[..1]);
}
