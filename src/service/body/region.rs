//! A region of a file as a stream of copied chunks: for connections that cannot send files themselves.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::store::FileRegion;
use crate::sys::nowait::{self, Cached};

/// Bytes of one chunk.
const CHUNK: usize = 64 * 1024;

/// Bytes after which others on the same thread have their turn, although the page cache has more.
const QUANTUM: usize = 4 * 1024 * 1024;

/// Reads ahead of the socket by one chunk: from the page cache at once, from the disk on a thread that may wait.
#[derive(Debug)]
pub(super) struct RegionReader {
    region: FileRegion,
    waiting: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// Bytes since others had their turn.
    sent_in_quantum: usize,
}

impl RegionReader {
    pub(super) fn new(region: FileRegion) -> Self {
        Self { region, waiting: None, sent_in_quantum: 0 }
    }

    /// Bytes that are still to come.
    pub(super) fn left(&self) -> u64 {
        self.region.length
    }

    /// The next chunk; `None` at the end of the region.
    ///
    /// # Errors
    /// Those of reading; `UnexpectedEof` when the file is shorter than the region.
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.region.length == 0 {
            return Poll::Ready(None);
        }
        let read = match &mut self.waiting {
            Some(task) => {
                let read = ready!(Pin::new(task).poll(context));
                self.waiting = None;
                read.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            None => {
                if self.sent_in_quantum >= QUANTUM {
                    self.sent_in_quantum = 0;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match self.read_cached() {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => {
                        self.waiting = Some(self.read_waiting());
                        return self.poll_chunk(context);
                    }
                    Err(error) => Err(error),
                }
            }
        };
        Poll::Ready(Some(read.and_then(|bytes| self.take(bytes))))
    }

    fn take(&mut self, mut bytes: Vec<u8>) -> io::Result<Bytes> {
        // The allocator may have given more room than was asked for.
        bytes.truncate(usize::try_from(self.region.length).unwrap_or(usize::MAX));
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the image"));
        }
        self.sent_in_quantum += bytes.len();
        self.region.offset += bytes.len() as u64;
        self.region.length -= bytes.len() as u64;
        Ok(Bytes::from(bytes))
    }

    fn buffer(&self) -> Vec<u8> {
        let length = usize::try_from(self.region.length).unwrap_or(usize::MAX).min(CHUNK);
        let mut buffer = Vec::new();
        // Exactly: the spare capacity is what is read.
        buffer.reserve_exact(length);
        buffer
    }

    fn read_cached(&self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = self.buffer();
        match nowait::read_cached(&self.region.file, &mut buffer, self.region.offset)? {
            Cached::Read(_) | Cached::End => Ok(Some(buffer)),
            Cached::Unknown => Ok(None),
        }
    }

    fn read_waiting(&self) -> JoinHandle<io::Result<Vec<u8>>> {
        let (file, offset, mut buffer) = (self.region.file.clone(), self.region.offset, self.buffer());
        tokio::task::spawn_blocking(move || {
            nowait::read_waiting(&file, &mut buffer, offset)?;
            Ok(buffer)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::store::OpenFile;

    /// Both ways: by the page cache where it has the bytes, and as if it had none.
    async fn collect(region: &FileRegion) -> [io::Result<Vec<u8>>; 2] {
        let mut results = [Ok(Vec::new()), Ok(Vec::new())];
        for (waits, result) in [false, true].into_iter().zip(&mut results) {
            let mut reader = RegionReader::new(region.clone());
            loop {
                if waits && reader.left() > 0 {
                    reader.waiting = Some(reader.read_waiting());
                }
                match (std::future::poll_fn(|context| reader.poll_chunk(context)).await, &mut *result) {
                    (Some(Ok(chunk)), Ok(all)) => all.extend_from_slice(&chunk),
                    (Some(Err(error)), result) => {
                        *result = Err(error);
                        break;
                    }
                    (None, _) | (_, Err(_)) => break,
                }
            }
        }
        results
    }

    fn file(size: usize) -> (Arc<OpenFile>, Vec<u8>) {
        let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        (OpenFile::shared(file), content)
    }

    #[tokio::test]
    async fn every_region_is_read_exactly() {
        let (file, content) = file(3 * CHUNK + 17);
        for (offset, length) in [(0, content.len()), (0, 0), (1, 1), (CHUNK - 1, CHUNK + 2), (3 * CHUNK, 17)] {
            let region = FileRegion { file: Arc::clone(&file), offset: offset as u64, length: length as u64 };
            for read in collect(&region).await {
                assert!(read.unwrap() == content[offset..offset + length], "{length} bytes from {offset}");
            }
        }
        let region = FileRegion { file, offset: 3 * CHUNK as u64, length: 18 };
        for read in collect(&region).await {
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn a_long_cached_file_lets_others_run() {
        let (file, content) = file(3 * QUANTUM);
        let mut reader = RegionReader::new(FileRegion { file, offset: 0, length: content.len() as u64 });
        let mut context = Context::from_waker(std::task::Waker::noop());
        let (mut given, mut yields) = (0, 0);
        loop {
            match reader.poll_chunk(&mut context) {
                Poll::Ready(Some(chunk)) => given += chunk.unwrap().len(),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    yields += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        assert_eq!(given, content.len());
        assert!(yields >= 2, "{yields}");
    }
}
