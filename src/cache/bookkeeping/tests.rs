use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::cache::Cache;
use crate::cache::eviction::Claim;
use crate::cache::index::{self, Index, IndexError};
use crate::cache::inner::Options;
use crate::cache::layout::Layout;
use crate::config::Config;

const ID: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b11";

/// What happens in the last moment before the index changes.
type Late = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// An index that is told of files while these come and go.
struct Overtaken<I> {
    index: I,
    late: Late,
}

impl<I> Overtaken<I> {
    fn index(&self) -> &I {
        if let Some(happen) = self.late.lock().unwrap().take() {
            happen();
        }
        &self.index
    }
}

impl<I: Index> Index for Overtaken<I> {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Entry>, IndexError>> {
        self.index.list()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        self.index.prepare()
    }

    fn least_recently_accessed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, IndexError>> {
        self.index.least_recently_accessed(limit)
    }

    fn insert(&self, entry: Entry) -> BoxFuture<'_, Result<(), IndexError>> {
        self.index().insert(entry)
    }

    fn insert_unknown(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), IndexError>> {
        self.index().insert_unknown(entries)
    }

    fn count<'a>(&'a self, id: &'a str, hits: u64, at: OffsetDateTime) -> BoxFuture<'a, Result<(), IndexError>> {
        self.index.count(id, hits, at)
    }

    fn remove<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<(), IndexError>> {
        self.index().remove(ids)
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        self.index().clear()
    }
}

struct Scene {
    cache: Cache,
    late: Late,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.default.image_cache_max_size = 10;
        config.default.image_cache_dir = folder.path().to_str().map(str::to_owned);
        let (layout, late) = (Layout::new(folder.path()), Late::default());
        layout.create_folders().unwrap();
        let index = Overtaken { index: index::local(&folder.path().join("cache.db")), late: Arc::clone(&late) };
        let options = Options::read(&config).unwrap();
        let inner = Inner::new(layout, Box::new(index), options, TaskTracker::new(), CancellationToken::new());
        Self { cache: Cache { inner: Arc::new(inner) }, late, _folder: folder }
    }

    fn path(&self) -> PathBuf {
        self.cache.inner.layout.image(ID)
    }

    fn entry() -> Entry {
        Entry::new(ID, 4, OffsetDateTime::now_utc())
    }

    /// As a writer that ends just then.
    fn comes_late(&self) {
        let path = self.path();
        *self.late.lock().unwrap() = Some(Box::new(move || fs::write(path, b"data").unwrap()));
    }

    /// As an eviction just then.
    fn goes_late(&self) {
        let path = self.path();
        *self.late.lock().unwrap() = Some(Box::new(move || fs::remove_file(path).unwrap()));
    }

    /// Whether the index has the image; it must, and may, only if its file is there.
    async fn is_known(&self) -> bool {
        assert!(self.late.lock().unwrap().is_none(), "nothing came in between");
        let known = self.cache.inner.index.list().await.unwrap();
        assert_eq!(known.len() == 1, self.path().try_exists().unwrap(), "{known:?}");
        known.len() == 1
    }
}

#[tokio::test]
async fn what_goes_while_it_is_taken_up_is_forgotten() {
    let scene = Scene::new();
    fs::write(scene.path(), b"data").unwrap();
    scene.goes_late();
    scene.cache.inner.take_up(Scene::entry()).await.unwrap();
    assert!(!scene.is_known().await);
    fs::write(scene.path(), b"data").unwrap();
    scene.goes_late();
    scene.cache.tidy().await.unwrap();
    assert!(!scene.is_known().await);
}

#[tokio::test]
async fn what_comes_while_it_is_forgotten_is_taken_up() {
    let scene = Scene::new();
    let inner = &scene.cache.inner;
    inner.index.insert(Scene::entry()).await.unwrap();
    scene.comes_late();
    scene.cache.tidy().await.unwrap();
    assert!(scene.is_known().await);
    scene.comes_late();
    scene.cache.delete_cached(ID).await.unwrap();
    assert!(scene.is_known().await);
    scene.comes_late();
    assert_eq!(scene.cache.delete_all_cached().await.unwrap(), 1);
    assert!(scene.is_known().await);
    scene.cache.delete_cached(ID).await.unwrap();
    assert!(!scene.is_known().await);
}

/// However it is called.
#[tokio::test]
async fn what_is_no_image_is_not_taken_up() {
    let scene = Scene::new();
    scene.cache.inner.index.prepare().await.unwrap();
    scene.cache.inner.forget(vec!["cache.db".to_owned(), "../passwd".to_owned()]).await.unwrap();
    assert!(!scene.is_known().await);
}

/// As with a client who goes while there is made room for his image.
#[tokio::test]
async fn an_eviction_ends_though_nobody_waits_for_it() {
    let scene = Scene::new();
    let inner = &scene.cache.inner;
    fs::write(scene.path(), b"data").unwrap();
    inner.take_up(Scene::entry()).await.unwrap();
    let (tell, told) = oneshot::channel();
    *scene.late.lock().unwrap() = Some(Box::new(move || tell.send(()).unwrap()));
    tokio::select! {
        biased;
        told = told => told.unwrap(),
        reserved = inner.reserve(Claim { place: None, least: 8, most: 8 }) => panic!("{reserved:?}"),
    }
    let forgotten = async {
        while !inner.index.list().await.unwrap().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), forgotten).await.unwrap();
    assert_eq!(scene.cache.inner.counters.read().evictions, 1);
}
