//! What a writer has left of an image that did not come into the cache.

use std::fmt;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use tokio::sync::{Mutex, Semaphore};

use crate::cache::blocking::blocking;
use crate::store::{Algorithm, DigestState, OpenFile};

/// Bytes that are read at a time.
const PIECE: u64 = 4 * 1024 * 1024;

/// No more threads compute digests for those who go on at the store, however many they are.
static COMPUTING: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, std::num::NonZero::get)));

/// The beginning of an image in a file that others may have read from. Its digests are computed once for all who go on behind it.
pub(in crate::cache) struct Prefix {
    file: Arc<OpenFile>,
    length: u64,
    /// Digests of so many bytes.
    computed: Mutex<Option<(u64, DigestState)>>,
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefix").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Prefix {
    pub(super) fn new(file: Arc<OpenFile>, length: u64) -> Self {
        Self { file, length, computed: Mutex::default() }
    }

    pub(super) fn file(&self) -> &Arc<OpenFile> {
        &self.file
    }

    /// Bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Digests of the first `end` bytes.
    ///
    /// # Errors
    /// Those of reading them.
    pub(super) async fn digests(&self, algorithm: Algorithm, end: u64) -> io::Result<DigestState> {
        // Who comes meanwhile finds it done.
        let mut computed = self.computed.lock().await;
        let known = computed.as_ref().filter(|(at, _)| *at <= end);
        let (mut at, mut state) = known.cloned().unwrap_or_else(|| (0, DigestState::start(algorithm)));
        while at < end {
            let (file, length) = (Arc::clone(&self.file), usize::try_from((end - at).min(PIECE)).unwrap_or(0));
            state = compute(state, move |state| {
                let mut piece = vec![0; length];
                file.read_exact_at(&mut piece, at)?;
                state.update(&piece);
                Ok(())
            })
            .await?;
            at += length as u64;
        }
        *computed = Some((at, state.clone()));
        Ok(state)
    }
}

/// Goes on with digests on a thread that may compute.
///
/// # Errors
/// Those of the work.
pub(super) async fn compute(
    mut state: DigestState,
    work: impl FnOnce(&mut DigestState) -> io::Result<()> + Send + 'static,
) -> io::Result<DigestState> {
    let _permit = COMPUTING.acquire().await.map_err(io::Error::other)?;
    blocking(move || work(&mut state).map(|()| state)).await
}
