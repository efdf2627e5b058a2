//! What a writer has left of an image that did not come into the cache.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use crate::cache::blocking::blocking;
use crate::store::{Algorithm, DigestState, OpenFile};

/// Bytes that are read at a time.
const PIECE: u64 = 4 * 1024 * 1024;

/// No more threads compute digests for those who go on at the store, however many they are.
static COMPUTING: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, std::num::NonZero::get)));

/// The beginning of an image in a file that others may have read from. Its digests are computed once for all who go on behind it, and
/// not at all where its writer has left them.
#[derive(Debug)]
pub(in crate::cache) struct Prefix {
    file: Arc<OpenFile>,
    length: u64,
    /// Digests of so many bytes. Whoever computes them holds the lock.
    computed: Mutex<Option<(u64, DigestState)>>,
}

impl Prefix {
    /// `digests`: those of all its bytes, where they are known.
    pub(super) fn new(file: Arc<OpenFile>, length: u64, digests: Option<DigestState>) -> Self {
        Self { file, length, computed: Mutex::new(digests.map(|state| (length, state))) }
    }

    pub(super) fn file(&self) -> &Arc<OpenFile> {
        &self.file
    }

    /// Bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Digests of all its bytes. Where they are not known yet, that takes as long as reading and digesting these. Whoever asks meanwhile
    /// waits for the same work, and goes on with it when the one who began it goes away.
    ///
    /// # Errors
    /// Those of reading them.
    pub(super) async fn digests(self: &Arc<Self>, algorithm: Algorithm) -> io::Result<DigestState> {
        // In a task, as nobody polls a reader whose client takes nothing: the others would wait for that client.
        let prefix = Arc::clone(self);
        let task = tokio::spawn(async move { prefix.compute_digests(algorithm).await });
        AbortOnDropHandle::new(task).await.map_err(io::Error::other)?
    }

    async fn compute_digests(&self, algorithm: Algorithm) -> io::Result<DigestState> {
        let mut computed = self.computed.lock().await;
        loop {
            let known = computed.as_ref().filter(|(_, state)| state.algorithm() == algorithm);
            let (at, state) = known.cloned().unwrap_or_else(|| (0, DigestState::start(algorithm)));
            if at >= self.length {
                return Ok(state);
            }
            // After each piece: what is done stays done when nobody waits for the rest.
            *computed = Some(compute_piece(&self.file, at, self.length, state).await?);
        }
    }

    /// Its bytes from `at` up to `end`, or to its own end where that comes first.
    ///
    /// # Errors
    /// Those of reading them.
    pub(super) async fn read(&self, at: u64, end: u64) -> io::Result<Bytes> {
        let length = end.min(self.length).saturating_sub(at);
        if length == 0 {
            return Ok(Bytes::new());
        }
        let file = Arc::clone(&self.file);
        blocking(move || read(&file, at, length).map(Bytes::from)).await
    }
}

fn read(file: &OpenFile, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut data = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut data, at)?;
    Ok(data)
}

/// Goes on with digests of a file's bytes before `at`, by one piece of those before `end`; up to where they go then.
///
/// # Errors
/// Those of reading them.
pub(super) async fn compute_piece(
    file: &Arc<OpenFile>,
    at: u64,
    end: u64,
    state: DigestState,
) -> io::Result<(u64, DigestState)> {
    let piece = (end - at).min(PIECE);
    let file = Arc::clone(file);
    let next = compute(state, move |state| {
        state.update(&read(&file, at, piece)?);
        Ok(())
    });
    Ok((at + piece, next.await?))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::time::timeout;

    use super::*;

    const LENGTH: u64 = 3 * PIECE + 5;

    /// A file of zeros, and the beginning of an image of that many bytes in it.
    fn prefix(zeros: u64, length: u64) -> (Arc<OpenFile>, Arc<Prefix>) {
        let file = OpenFile::shared(tempfile::tempfile().unwrap());
        file.set_len(zeros).unwrap();
        (Arc::clone(&file), Arc::new(Prefix::new(file, length, None)))
    }

    async fn md5(prefix: &Arc<Prefix>) -> io::Result<String> {
        let digests = timeout(Duration::from_secs(300), prefix.digests(Algorithm::MD5)).await.expect("it stands still");
        digests.map(|state| state.finish().md5)
    }

    fn of_zeros(length: u64) -> String {
        let mut state = DigestState::start(Algorithm::MD5);
        state.update(&vec![0; usize::try_from(length).unwrap()]);
        state.finish().md5
    }

    #[tokio::test]
    async fn digests_are_computed_once_for_all() {
        let (file, prefix) = prefix(LENGTH, LENGTH);
        let (first, second) = tokio::join!(md5(&prefix), md5(&prefix));
        assert_eq!([first.unwrap(), second.unwrap()], [of_zeros(LENGTH), of_zeros(LENGTH)]);
        file.set_len(0).unwrap();
        assert_eq!(md5(&prefix).await.unwrap(), of_zeros(LENGTH), "nothing is read again");
        let other = prefix.digests(Algorithm::parse("sha256").unwrap()).await;
        assert_eq!(
            other.map(DigestState::finish).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof,
            "of others are not these"
        );
    }

    /// Here because of an error, as with one who goes away in the middle.
    #[tokio::test]
    async fn what_was_computed_before_an_end_is_not_computed_again() {
        let (file, prefix) = prefix(PIECE + 1, LENGTH);
        assert_eq!(md5(&prefix).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.set_len(LENGTH).unwrap();
        file.write_all_at(b"other", 0).unwrap();
        assert_eq!(md5(&prefix).await.unwrap(), of_zeros(LENGTH), "the first piece was read once");
    }

    #[tokio::test]
    async fn who_stands_still_or_goes_away_keeps_nobody_waiting() {
        for goes_away in [false, true] {
            let (_file, prefix) = prefix(LENGTH, LENGTH);
            let mut first = Box::pin(prefix.digests(Algorithm::MD5));
            assert!((&mut first).now_or_never().is_none());
            // It has begun.
            while prefix.computed.try_lock().is_ok_and(|computed| computed.is_none()) {
                tokio::task::yield_now().await;
            }
            let mut second = Box::pin(md5(&prefix));
            assert!((&mut second).now_or_never().is_none());
            let still = (!goes_away).then_some(first);
            assert_eq!(second.await.unwrap(), of_zeros(LENGTH));
            drop(still);
        }
    }
}
