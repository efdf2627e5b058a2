use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::eviction::{Claim, Pruned};
use super::fill::Room as _;
use super::housekeeping::Cleaned;
use super::index::Index as _;
use super::layout::{Begun, CommitError};
use super::*;
use crate::config::DatabaseSection;
use crate::image::{Images, IntentLog};
use crate::notifications::Notifier;
use crate::store::{OpenFile, Stores};

fn id(number: usize) -> String {
    format!("7d0b7c4c-9a4a-4d5c-8a3e-{number:012}")
}

async fn open(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.default.image_cache_dir = folder.path().join("cache").to_str().map(str::to_owned);
    config.default.image_cache_driver = "sqlite".to_owned();
    change(&mut config);
    let cache = Cache::open(&config, None, TaskTracker::new(), CancellationToken::new()).await.unwrap().unwrap();
    assert!(cache.is_made_from(&config) && !cache.is_made_from(&Config::default()));
    (folder, cache)
}

/// Begins to write an image; `None`: there is no room for it.
async fn begin(cache: &Cache, id: &str, size: u64) -> Option<Arc<OpenFile>> {
    let Begun::Write(file) = cache.inner.layout.begin(id).unwrap() else { panic!("it is nobody's") };
    let claim = Claim { place: Some((Arc::clone(&file), 0)), least: size, most: size };
    if cache.inner.reserve(claim).await.unwrap().is_none() {
        cache.inner.layout.abandon(id, &file).unwrap();
        return None;
    }
    Some(file)
}

/// Puts an image into the cache; false: there is no room for it.
async fn put(cache: &Cache, id: &str, size: usize) -> bool {
    let is_put = put_file(cache, id, size).await;
    if is_put {
        cache.inner.index.insert(Entry::new(id, size as u64, time::OffsetDateTime::now_utc())).await.unwrap();
    }
    is_put
}

/// The same without its entry in the index.
async fn put_file(cache: &Cache, id: &str, size: usize) -> bool {
    let Some(file) = begin(cache, id, size as u64).await else { return false };
    (&mut &**file).write_all(&vec![7; size]).unwrap();
    cache.inner.layout.commit(id, &file).unwrap();
    true
}

async fn ids(cache: &Cache) -> Vec<String> {
    cache.cached().await.unwrap().into_iter().map(|image| image.image_id).collect()
}

#[tokio::test]
async fn without_a_directory_there_is_no_cache() {
    assert!(
        Cache::open(&Config::default(), None, TaskTracker::new(), CancellationToken::new()).await.unwrap().is_none()
    );
    let mut config = Config::default();
    config.default.image_cache_dir = Some("/proc/no/cache".to_owned());
    let error =
        Cache::open(&config, None, TaskTracker::new(), CancellationToken::new()).await.err().unwrap().to_string();
    assert!(error.contains("image_cache_dir = /proc/no/cache"), "{error}");
}

#[tokio::test]
async fn what_was_read_longest_ago_makes_room() {
    let (_folder, cache) = open(|config| config.default.image_cache_max_size = 100_000).await;
    // Neither a dead writer's file nor an invalid one takes room from anybody.
    fs::write(cache.inner.layout.base().join("incomplete").join(id(9)), vec![7; 90_000]).unwrap();
    fs::write(cache.inner.layout.base().join("invalid").join(id(8)), vec![7; 90_000]).unwrap();
    for number in 0..3 {
        assert!(put(&cache, &id(number), 30_000).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The oldest is read again and kept open, the next one is only old.
    let held = cache.find(&id(1)).await.unwrap();
    assert!(cache.inner.hits.note(&id(0)));
    assert!(put(&cache, &id(3), 30_000).await);
    assert_eq!(ids(&cache).await, [id(0), id(1), id(3)], "the third was the least recent that nobody was reading");
    assert_eq!(cache.cached().await.unwrap()[0].hits, 1);
    // What can never fit is not even begun, and evicts nothing that is in use.
    let all: Vec<_> = [cache.find(&id(0)).await, cache.find(&id(3)).await].into_iter().map(Option::unwrap).collect();
    assert!(!put(&cache, &id(4), 30_000).await);
    assert!(!cache.inner.layout.is_being_written(&id(4)).unwrap());
    drop((held, all));
    assert!(put(&cache, &id(4), 100_000).await);
    assert_eq!(ids(&cache).await, [id(4)]);
    assert!(!put(&cache, &id(5), 100_001).await);
    assert_eq!(ids(&cache).await, [id(4)], "nothing is evicted for what never fits");
    let stats = cache.inner.counters.read();
    assert_eq!((stats.evictions, stats.bytes_evicted), (4, 120_000));
}

#[tokio::test]
async fn a_limit_that_only_a_prune_keeps_is_upstreams() {
    let (_folder, cache) = open(|config| {
        config.default.image_cache_max_size = 50_000;
        config.service.image_cache_enforce_max_size = false;
    })
    .await;
    for number in 0..4 {
        assert!(put(&cache, &id(number), 20_000).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(cache.prune().await.unwrap(), Pruned { files: 2, bytes: 40_000 });
    assert_eq!(ids(&cache).await, [id(2), id(3)]);
    assert_eq!(cache.prune().await.unwrap(), Pruned::default());
}

/// More than one round removes.
#[tokio::test]
async fn a_prune_goes_by_the_index_and_counts_only_what_it_removes() {
    let (_folder, cache) = open(|config| config.default.image_cache_max_size = 20).await;
    let inner = &cache.inner;
    let at = |number: usize| time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + number as u64);
    // The first ten are in the index alone, the last ten in the directory alone.
    inner.index.insert_unknown((0..190).map(|number| Entry::new(&id(number), 1, at(number))).collect()).await.unwrap();
    (10..200).for_each(|number| fs::write(inner.layout.image(&id(number)), b"x").unwrap());
    let held = cache.find(&id(10)).await.unwrap();
    assert_eq!(cache.prune().await.unwrap(), Pruned { files: 170, bytes: 170 });
    drop(held);
    assert_eq!((cache.inner.counters.read().evictions, cache.inner.counters.read().bytes_evicted), (170, 170));
    let known = ids(&cache).await;
    let expected: Vec<String> = std::iter::once(10).chain(181..190).map(id).collect();
    assert_eq!(known, expected);
    assert_eq!(inner.layout.images().unwrap().len(), 20);
}

#[tokio::test]
async fn nothing_is_evicted_for_what_does_not_fit_beside_what_is_being_written() {
    let (_folder, cache) = open(|config| config.default.image_cache_max_size = 200_000).await;
    assert!(put(&cache, &id(1), 50_000).await);
    let writing = begin(&cache, &id(2), 100_000).await.unwrap();
    assert!(begin(&cache, &id(3), 150_000).await.is_none());
    assert_eq!(ids(&cache).await, [id(1)]);
    drop(writing);
    assert!(begin(&cache, &id(3), 150_000).await.is_some(), "the other's writer is dead");
}

/// More is taken than is needed at once, but nothing has to make way for that.
#[tokio::test]
async fn an_image_of_unknown_size_keeps_the_limit_while_it_grows() {
    const MOST: u64 = 1_048_576;
    let (_folder, cache) = open(|config| config.default.image_cache_max_size = 1_048_576).await;
    assert!(put(&cache, &id(1), 600_000).await);
    let file = begin(&cache, &id(2), 0).await.unwrap();
    let room = filling::Growing::for_tests(&cache.inner, &file);
    let first = room.grow(0, 300_000).await.unwrap().unwrap();
    assert_eq!(first, MOST - 600_000, "all that is free");
    assert_eq!(ids(&cache).await, [id(1)], "nothing goes before it has to");
    // What is set aside is counted in blocks.
    assert!((MOST - 600_000..MOST - 590_000).contains(&cache.inner.layout.usage().unwrap().incomplete));
    let second = room.grow(first, 500_000).await.unwrap().unwrap();
    assert!((MOST - 10_000..=MOST).contains(&second), "{second}");
    assert_eq!(ids(&cache).await, [""; 0]);
    assert_eq!(room.grow(second, MOST + 1).await.unwrap(), None);
}

#[tokio::test]
async fn others_that_make_room_are_not_waited_for_without_end() {
    let (_folder, cache) = open(|_| {}).await;
    let soon = || Instant::now() + Duration::from_millis(20);
    let is_refused = async || {
        let locked = timeout(Duration::from_secs(60), cache.inner.lock_room(soon())).await.expect("it waits");
        locked.is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    };
    let other_task = Arc::clone(&cache.inner.room).lock_owned().await;
    assert!(is_refused().await);
    drop(other_task);
    let other_process = File::open(cache.inner.layout.base()).unwrap();
    other_process.lock().unwrap();
    assert!(is_refused().await);
    other_process.unlock().unwrap();
    let lock = cache.inner.lock_room(Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert!(other_process.try_lock().is_err() && is_refused().await);
    drop(lock);
    // A neighbour's child process may have the descriptor until it runs its program.
    let unlocked = async {
        while other_process.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), unlocked).await.expect("it is locked still");
    assert!(cache.inner.room.try_lock().is_ok());
}

#[tokio::test]
async fn what_a_start_refuses_is_found_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    assert!(matches!(Cache::check(&config, true), Err(SetupError::NoDirectory)));
    Cache::check(&config, false).unwrap();
    config.default.image_cache_dir = folder.path().to_str().map(str::to_owned);
    assert!(Cache::check(&config, true).unwrap_err().is_about_node());
    Cache::check(&config, false).unwrap();
    config.default.image_cache_driver = "Sqlite".to_owned();
    Cache::check(&config, true).unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    config.default.image_cache_dir = file.to_str().map(str::to_owned);
    assert!(matches!(Cache::check(&config, true), Err(SetupError::Directory { .. })));
}

/// A node is made known, and its old counters are taken over, when the database answers again.
#[tokio::test]
async fn a_database_that_does_not_answer_at_the_start_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:///{}", folder.path().join("glance.db").display());
    let section = DatabaseSection { connection: Some(url.as_str().into()), ..DatabaseSection::default() };
    let connect = async || {
        let db = Db::connect(&section).await.unwrap();
        db.create_schema().await.unwrap();
        db
    };
    let away = connect().await;
    away.clone().close().await;
    let mut config = Config::default();
    config.default.image_cache_dir = folder.path().join("cache").to_str().map(str::to_owned);
    config.default.worker_self_reference_url = Some("http://here".to_owned());
    let cache = Cache::open(&config, Some(&away), TaskTracker::new(), CancellationToken::new()).await.unwrap().unwrap();
    assert!(cache.tidy().await.is_err_and(|error| error.is_unavailable()));
    assert!(put_file(&cache, &id(1), 10).await);
    drop(cache);

    let sqlite = index::local(&folder.path().join("cache/cache.db"));
    let before = Entry { hits: 5, ..Entry::new(&id(1), 10, time::OffsetDateTime::UNIX_EPOCH) };
    sqlite.insert(before).await.unwrap();
    let db = connect().await;
    let cache = Cache::open(&config, Some(&db), TaskTracker::new(), CancellationToken::new()).await.unwrap().unwrap();
    cache.tidy().await.unwrap();
    let cached = cache.cached().await.unwrap();
    assert_eq!((cached.len(), cached[0].hits, cached[0].size), (1, 5, 10));
    assert_eq!(sqlite.list().await.unwrap(), []);
    assert_eq!(cache.nodes(&id(1)).await.unwrap(), ["http://here"]);
}

#[tokio::test]
async fn images_are_queued_once_and_deleted_quietly() {
    let (_folder, cache) = open(|_| {}).await;
    assert!(cache.queue(&id(1)).await.unwrap() && !cache.queue(&id(1)).await.unwrap());
    assert!(put(&cache, &id(2), 10).await && !cache.queue(&id(2)).await.unwrap());
    assert!(cache.is_cached(&id(2)).await.unwrap() && !cache.is_cached(&id(1)).await.unwrap());
    assert!(cache.is_queued(&id(1)).await.unwrap());
    assert_eq!(cache.queued().await.unwrap(), [id(1)]);
    for name in ["", "..", "cache.db", "../cache.db", "incomplete", "queue"] {
        assert!(!cache.queue(name).await.unwrap() && !cache.is_cached(name).await.unwrap());
        cache.delete_cached(name).await.unwrap();
        cache.delete_queued(name).await.unwrap();
        assert!(cache.find(name).await.is_none());
    }
    cache.delete_cached(&id(1)).await.unwrap();
    cache.delete_cached(&id(2)).await.unwrap();
    cache.delete_queued(&id(2)).await.unwrap();
    assert_eq!(ids(&cache).await, [""; 0]);
    put(&cache, &id(3), 10).await;
    assert_eq!((cache.delete_all_cached().await.unwrap(), cache.delete_all_queued().await.unwrap()), (1, 1));
    assert_eq!(ids(&cache).await, [""; 0]);
    assert_eq!(cache.nodes(&id(3)).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn an_image_that_is_deleted_on_its_way_into_the_cache_does_not_come_in() {
    let (_folder, cache) = open(|_| {}).await;
    let file = begin(&cache, &id(1), 3).await.unwrap();
    assert!(cache.inner.layout.queue(&id(1)).unwrap());
    cache.forget(&id(1)).await.unwrap();
    assert!(matches!(cache.inner.layout.commit(&id(1), &file), Err(CommitError::Removed)));
    assert!(!cache.is_cached(&id(1)).await.unwrap() && !cache.is_queued(&id(1)).await.unwrap());
}

#[tokio::test]
async fn files_and_index_come_to_agree_again() {
    let (_folder, cache) = open(|config| config.default.image_cache_stall_time = 0).await;
    put(&cache, &id(1), 10).await;
    put(&cache, &id(2), 10).await;
    let layout = &cache.inner.layout;
    // An operator removes one and brings one; a writer has died.
    fs::remove_file(layout.image(&id(1))).unwrap();
    fs::write(layout.image(&id(3)), b"brought").unwrap();
    fs::write(layout.base().join("incomplete").join(id(4)), b"half").unwrap();
    fs::write(layout.base().join("invalid").join(id(5)), b"wrong").unwrap();
    cache.tidy().await.unwrap();
    assert_eq!(ids(&cache).await, [id(2), id(3)]);
    assert!(!layout.base().join("incomplete").join(id(4)).try_exists().unwrap());
    assert!(!layout.base().join("invalid").join(id(5)).try_exists().unwrap());
    fs::write(layout.base().join("invalid").join(id(5)), b"wrong").unwrap();
    fs::write(layout.base().join("incomplete").join(id(4)), b"half").unwrap();
    assert_eq!(cache.clean().await.unwrap(), Cleaned { invalid: 1, stalled: 1 });
    assert_eq!(cache.clean().await.unwrap(), Cleaned::default());
}

/// Queued images wait for the next attempt, not for the next start.
#[test]
fn prefetching_that_is_cut_off_can_begin_anew() {
    let cut_off = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_folder, cache, images) = cut_off.block_on(async {
        let (folder, cache) = open(|_| {}).await;
        let url = format!("sqlite:///{}", folder.path().join("glance.db").display());
        let section = DatabaseSection { connection: Some(url.as_str().into()), ..DatabaseSection::default() };
        let db = Db::connect(&section).await.unwrap();
        let mut config = Config::default();
        let place = folder.path().join("images");
        config.driver_options.set("filesystem_store_datadir", &[place.to_str().unwrap()]);
        let stores = Arc::new(Stores::open(&config).unwrap());
        let (log, notifier) = (Arc::new(IntentLog::closed().unwrap()), Notifier::new(Vec::new()));
        let images = Images::new(&config, db, stores, log, notifier, TaskTracker::new());
        cache.queue(&id(1)).await.unwrap();
        cache.fetch_soon(&images, &id(1));
        (folder, cache, images)
    });
    assert!(cache.fetching().is_some());
    drop(cut_off);
    assert_eq!(cache.fetching(), None);
    drop(images);
}
