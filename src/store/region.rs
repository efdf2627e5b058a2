//! A region of a file as a stream of copies, for connections that cannot be given the file itself.

use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tokio::task::JoinHandle;

use super::FileRegion;
use crate::sys::file::read_cached;

/// A good size of one piece: larger ones cost memory for each slow reader, smaller ones cost processor time.
pub const CHUNK: usize = 256 * 1024;

/// After this many bytes without a wait the stream lets other tasks run: a file in the page cache is always ready, and
/// would keep a thread of the runtime for as long as its reader is fast.
const TURN: usize = 1024 * 1024;

/// What the kernel is asked to fetch when the page cache has run dry.
const READ_AHEAD: u64 = 8 * 1024 * 1024;

/// Reads a region in pieces of at most `chunk` bytes: on the spot what the page cache holds, else on tokio's blocking pool.
/// A file that has become shorter ends the stream with `UnexpectedEof`. Must be polled within a tokio runtime.
pub fn region_stream(region: FileRegion, chunk: usize) -> RegionStream {
    RegionStream { region, chunk: chunk.max(1), turn: 0, always_wait: false, state: State::Idle }
}

/// See [`region_stream`].
pub struct RegionStream {
    region: FileRegion,
    chunk: usize,
    /// Bytes given since the last wait.
    turn: usize,
    /// The file system cannot tell what is cached.
    always_wait: bool,
    state: State,
}

enum State {
    Idle,
    Reading(JoinHandle<io::Result<Bytes>>),
    /// After an error, or at the end.
    Done,
}

impl RegionStream {
    /// The next piece from the page cache; `None` when the disk must be asked.
    fn cached(&mut self, length: usize) -> Option<io::Result<Bytes>> {
        if self.always_wait {
            return None;
        }
        let mut buffer = BytesMut::new();
        match read_cached(&self.region.file, self.region.offset, length, &mut buffer) {
            Ok(0) => Some(Err(truncated())),
            Ok(_) => Some(Ok(buffer.freeze())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.always_wait = true;
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn give(&mut self, piece: io::Result<Bytes>) -> Poll<Option<io::Result<Bytes>>> {
        match &piece {
            Ok(bytes) => {
                self.region.offset += bytes.len() as u64;
                self.region.length = self.region.length.saturating_sub(bytes.len() as u64);
                self.turn += bytes.len();
            }
            Err(_) => self.state = State::Done,
        }
        Poll::Ready(Some(piece))
    }
}

impl Stream for RegionStream {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Done => return Poll::Ready(None),
                State::Idle if this.region.length == 0 => this.state = State::Done,
                State::Idle if this.turn >= TURN => {
                    this.turn = 0;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Idle => {
                    let length = this.chunk.min(usize::try_from(this.region.length).unwrap_or(usize::MAX));
                    if let Some(piece) = this.cached(length) {
                        return this.give(piece);
                    }
                    let region = this.region.clone();
                    this.turn = 0;
                    this.state = State::Reading(tokio::task::spawn_blocking(move || read(&region, length)));
                }
                State::Reading(task) => {
                    let piece =
                        ready!(Pin::new(task).poll(context)).unwrap_or_else(|error| Err(io::Error::other(error)));
                    this.state = State::Idle;
                    return this.give(piece);
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(matches!(self.state, State::Idle) && self.region.length > 0), None)
    }
}

fn read(region: &FileRegion, length: usize) -> io::Result<Bytes> {
    let ahead = i64::try_from(region.length.min(READ_AHEAD)).unwrap_or(0);
    if let Ok(offset) = i64::try_from(region.offset) {
        // A hint; without it the reads below are only slower.
        let _ = posix_fadvise(&*region.file, offset, ahead, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
    }
    let mut buffer = BytesMut::zeroed(length);
    loop {
        match region.file.read_at(&mut buffer, region.offset) {
            Ok(0) => return Err(truncated()),
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer.freeze());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the image file is shorter than it was")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use futures_util::StreamExt;

    use super::*;

    fn region(size: usize, offset: u64, length: u64) -> (FileRegion, Vec<u8>) {
        let data: Vec<u8> = (0..size).map(|place| (place % 253) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data).unwrap();
        (FileRegion { file: Arc::new(file), offset, length }, data)
    }

    async fn collect(mut stream: RegionStream) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut data = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(error) => {
                    assert!(stream.next().await.is_none());
                    return (data, Some(error.kind()));
                }
            }
        }
        (data, None)
    }

    #[tokio::test]
    async fn regions_come_whole_whether_cached_or_not() {
        for (size, offset, length) in
            [(0, 0, 0), (10, 0, 10), (10, 3, 4), (3_000_000, 0, 3_000_000), (3_000_000, 999, 2_000_000)]
        {
            for always_wait in [false, true] {
                let (region, data) = region(size, offset, length);
                let mut stream = region_stream(region, 100_000);
                stream.always_wait = always_wait;
                let (start, end) = (offset as usize, (offset + length) as usize);
                assert_eq!(collect(stream).await, (data[start..end].to_vec(), None), "{size} {offset} {length}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_shrank_is_an_error() {
        for always_wait in [false, true] {
            let (region, data) = region(1000, 0, 5000);
            let mut stream = region_stream(region, CHUNK);
            stream.always_wait = always_wait;
            assert_eq!(collect(stream).await, (data, Some(io::ErrorKind::UnexpectedEof)));
        }
    }

    #[tokio::test]
    async fn a_long_cached_file_lets_others_run() {
        let (region, _) = region(4 * TURN, 0, 4 * TURN as u64);
        let mut stream = region_stream(region, CHUNK);
        let mut yields = 0;
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut given = 0;
        for _ in 0..100_000 {
            match Pin::new(&mut stream).poll_next(&mut context) {
                Poll::Ready(Some(piece)) => given += piece.unwrap().len(),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    yields += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        assert_eq!(given, 4 * TURN);
        assert!(yields >= 3, "{yields}");
    }
}
