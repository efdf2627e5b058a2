use std::fs;
use std::io::Write as _;
use std::time::Duration;

use super::layout::Begun;
use super::*;

fn id(number: usize) -> String {
    format!("7d0b7c4c-9a4a-4d5c-8a3e-{number:012}")
}

async fn open(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.default.image_cache_dir = folder.path().join("cache").to_str().map(str::to_owned);
    config.default.image_cache_driver = "sqlite".to_owned();
    change(&mut config);
    let cache = Cache::open(&config, None).await.unwrap().unwrap();
    assert!(cache.is_made_from(&config) && !cache.is_made_from(&Config::default()));
    (folder, cache)
}

/// Puts an image into the cache; false: there is no room for it.
async fn put(cache: &Cache, id: &str, size: usize) -> bool {
    let begun = cache.inner.begin(id, Some(size as u64)).await.unwrap();
    let Some(Begun::Mine(mut file)) = begun else { return false };
    file.write_all(&vec![7; size]).unwrap();
    cache.inner.layout.commit(id, &file).unwrap();
    cache.inner.index.insert(Entry::new(id, size as u64, time::OffsetDateTime::now_utc())).await.unwrap();
    true
}

async fn ids(cache: &Cache) -> Vec<String> {
    cache.cached().await.unwrap().into_iter().map(|image| image.image_id).collect()
}

#[tokio::test]
async fn without_a_directory_there_is_no_cache() {
    assert!(Cache::open(&Config::default(), None).await.unwrap().is_none());
    let mut config = Config::default();
    config.default.image_cache_dir = Some("/proc/no/cache".to_owned());
    let error = Cache::open(&config, None).await.err().unwrap().to_string();
    assert!(error.contains("image_cache_dir = /proc/no/cache"), "{error}");
}

#[tokio::test]
async fn what_was_read_longest_ago_makes_room() {
    let (_folder, cache) = open(|config| config.default.image_cache_max_size = 100_000).await;
    // A dead writer's file takes no room from anybody.
    fs::write(cache.inner.layout.base().join("incomplete").join(id(9)), vec![7; 90_000]).unwrap();
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
    let stats = cache.stats();
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
    let Some(Begun::Mine(file)) = cache.inner.begin(&id(1), Some(3)).await.unwrap() else { panic!("it is nobody's") };
    assert!(cache.inner.layout.queue(&id(1)).unwrap());
    cache.forget(&id(1)).await.unwrap();
    assert_eq!(cache.inner.layout.commit(&id(1), &file).unwrap_err().kind(), std::io::ErrorKind::NotFound);
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
