//! A store in memory that fails where a test wants it to.

use std::collections::HashMap;
use std::future::pending;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::Destination;
use crate::store::{Location, Reader, Store, StoreContext, StoreError, Stored, Writer};

/// Where a store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Room,
    Begin,
    /// The piece of this number, from 0.
    Write(usize),
    Commit,
    Abort,
    Delete,
}

#[derive(Default)]
pub(super) struct State {
    /// What can be read.
    pub(super) objects: HashMap<String, Vec<Bytes>>,
    /// Writers that have neither committed nor removed what they wrote.
    pub(super) open: usize,
    /// Pieces taken so far.
    pub(super) pieces: usize,
    /// Whether a commit was begun.
    pub(super) is_committing: bool,
    /// Bytes that were announced to `begin` and to `check_room`.
    pub(super) announced: (Option<u64>, Option<u64>),
}

/// Cheap to clone; clones are one store.
#[derive(Clone)]
pub(super) struct Fake {
    name: &'static str,
    fails: Vec<Step>,
    /// Each piece that is taken uses a permit.
    pace: Arc<Semaphore>,
    /// Whether a commit never ends.
    hangs: bool,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(super) fn new(name: &'static str, fails: &[Step]) -> Self {
        Self {
            name,
            fails: fails.to_vec(),
            pace: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            hangs: false,
            state: Arc::default(),
        }
    }

    /// Takes a piece for each permit only.
    pub(super) fn slow(name: &'static str) -> (Self, Arc<Semaphore>) {
        let pace = Arc::new(Semaphore::new(0));
        (Self { pace: Arc::clone(&pace), ..Self::new(name, &[]) }, pace)
    }

    /// Takes all pieces, and never makes them durable.
    pub(super) fn hanging(name: &'static str) -> Self {
        Self { hangs: true, ..Self::new(name, &[]) }
    }

    pub(super) fn destination(&self) -> Destination {
        Destination { id: self.name.to_owned(), store: Arc::new(self.clone()) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The bytes of the only object; `None` if there is none.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        let state = self.state();
        assert!(state.objects.len() <= 1);
        state.objects.values().next().map(|pieces| pieces.concat())
    }

    fn check(&self, step: Step) -> Result<(), StoreError> {
        if self.fails.contains(&step) { Err(StoreError::NoRoom { requested: 1 }) } else { Ok(()) }
    }
}

impl Store for Fake {
    fn can_add(&self) -> bool {
        true
    }

    fn can_seek(&self) -> bool {
        false
    }

    fn owns(&self, url: &str) -> bool {
        url.starts_with("fake://")
    }

    fn candidates<'a>(&'a self, image_id: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        async move { Ok(vec![format!("fake://{}/{image_id}", self.name)]) }.boxed()
    }

    fn properties(&self) -> Map<String, Value> {
        Map::new()
    }

    fn check_room(&self, size: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.state().announced.1 = Some(size);
        async { self.check(Step::Room) }.boxed()
    }

    fn begin<'a>(
        &'a self,
        _: &'a StoreContext,
        image_id: &'a str,
        size: Option<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        async move {
            self.check(Step::Begin)?;
            let mut state = self.state();
            state.open += 1;
            state.announced.0 = size;
            let url = format!("fake://{}/{image_id}", self.name);
            Ok(Box::new(FakeWriter { store: self.clone(), url, pieces: Vec::new(), is_over: false }) as Box<dyn Writer>)
        }
        .boxed()
    }

    fn open<'a>(
        &'a self,
        _: &'a StoreContext,
        _: &'a Location,
        _: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<Reader, StoreError>> {
        unreachable!("nothing is read here")
    }

    fn size<'a>(&'a self, _: &'a StoreContext, _: &'a Location) -> BoxFuture<'a, Result<u64, StoreError>> {
        unreachable!("nothing is read here")
    }

    fn delete<'a>(&'a self, _: &'a StoreContext, location: &'a Location) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            self.check(Step::Delete)?;
            let removed = self.state().objects.remove(location.url());
            removed.map(drop).ok_or_else(|| StoreError::NotFound { image: self.name.to_owned() })
        }
        .boxed()
    }
}

struct FakeWriter {
    store: Fake,
    url: String,
    pieces: Vec<Bytes>,
    is_over: bool,
}

impl FakeWriter {
    fn end(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.store.state().open -= 1;
        }
    }
}

impl Drop for FakeWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Writer for FakeWriter {
    fn write(&mut self, data: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.store.pace.acquire().await.unwrap().forget();
            self.store.check(Step::Write(self.pieces.len()))?;
            self.pieces.push(data);
            self.store.state().pieces += 1;
            Ok(())
        }
        .boxed()
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<Stored, StoreError>> {
        async move {
            self.store.state().is_committing = true;
            if self.store.hangs {
                pending::<()>().await;
            }
            self.store.check(Step::Commit)?;
            let pieces = std::mem::take(&mut self.pieces);
            let size = pieces.iter().map(|piece| piece.len() as u64).sum();
            self.store.state().objects.insert(self.url.clone(), pieces);
            Ok(Stored { url: self.url.clone(), size, metadata: Map::new() })
        }
        .boxed()
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<(), StoreError>> {
        async move { self.store.check(Step::Abort).map_err(|error| StoreError::LeftBehind(Box::new(error))) }.boxed()
    }
}
