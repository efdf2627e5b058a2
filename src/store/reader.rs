//! Image data on its way out.

use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{once, poll_fn};
use futures_util::{Stream, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::background::threads;
use super::buffer::{self, Buffer};
use super::{OpenFile, Priority};

/// Pieces that may wait for whoever reads.
const AHEAD: usize = 2;

/// A part of an open file. The connection layer sends it without a copy where it can.
#[derive(Clone, Debug)]
pub struct FileRegion {
    pub file: Arc<OpenFile>,
    /// First byte.
    pub offset: u64,
    /// Bytes to send; the file holds at least `offset + length` when the region is made.
    pub length: u64,
}

/// Some of an image's data.
#[derive(Clone, Debug)]
pub enum Piece {
    Region(FileRegion),
    Bytes(Bytes),
}

/// Image data, or a range of it.
pub enum Reader {
    /// A region of a local file.
    File(FileRegion),
    /// Bytes from afar.
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    /// Regions of a file that is being written, as they become readable, or bytes where there is no such file any more.
    Pieces(Pin<Box<dyn Stream<Item = io::Result<Piece>> + Send>>),
}

impl Reader {
    /// Bytes to come, where that is known before they are read.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::File(region) => Some(region.length),
            Self::Stream(_) | Self::Pieces(_) => None,
        }
    }

    /// The data as a stream, for whoever reads it without sending it on. A thread reads files ahead by a few pieces.
    pub(crate) fn into_stream(self, priority: Priority) -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> {
        match self {
            Self::Stream(data) => data,
            Self::Pieces(pieces) => Box::pin(pieces.map_ok(move |piece| piece.into_stream(priority)).try_flatten()),
            Self::File(region) => region.into_stream(priority),
        }
    }
}

impl Piece {
    fn into_stream(self, priority: Priority) -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> {
        match self {
            Self::Bytes(bytes) => Box::pin(once(ready(Ok(bytes)))),
            Self::Region(region) => region.into_stream(priority),
        }
    }
}

impl FileRegion {
    fn into_stream(self, priority: Priority) -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> {
        let (pieces, mut ahead) = mpsc::channel(AHEAD);
        match priority {
            Priority::Request => drop(spawn_blocking(move || self.read(&pieces))),
            Priority::Background => {
                if let Err(error) = threads().submit(Box::new(move || self.read(&pieces))) {
                    return Box::pin(once(ready(Err(error))));
                }
            }
        }
        Box::pin(poll_fn(move |context| ahead.poll_recv(context)))
    }

    /// Reads to the end, as long as somebody takes the pieces. Blocks.
    fn read(mut self, pieces: &mpsc::Sender<io::Result<Bytes>>) {
        while self.length > 0 {
            let read = self.read_piece();
            let is_end = read.is_err();
            if pieces.blocking_send(read).is_err() || is_end {
                return;
            }
        }
    }

    /// Reads what comes next. Blocks.
    fn read_piece(&mut self) -> io::Result<Bytes> {
        let size = usize::try_from(self.length).unwrap_or(usize::MAX).min(buffer::SIZE);
        let mut piece = Buffer::take()?;
        let count = loop {
            match self.file.read_at(&mut piece.as_mut()[..size], self.offset) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the image"));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.offset += count as u64;
        self.length -= count as u64;
        Ok(piece.filled(count))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::{StreamExt, TryStreamExt};

    use super::*;

    fn reader(offset: u64, length: u64) -> Reader {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; buffer::SIZE * 3 + 5]).unwrap();
        Reader::File(FileRegion { file: OpenFile::shared(file), offset, length })
    }

    #[tokio::test]
    async fn a_region_of_a_file_is_read_whole() {
        for priority in [Priority::Request, Priority::Background] {
            is_read_whole(priority).await;
        }
    }

    async fn is_read_whole(priority: Priority) {
        let length = buffer::SIZE as u64 * 2 + 9;
        let pieces: Vec<Bytes> = reader(3, length).into_stream(priority).try_collect().await.unwrap();
        assert_eq!(pieces.concat().len() as u64, length);
        assert_eq!(reader(3, 0).into_stream(priority).count().await, 0);
        let Reader::File(region) = reader(3, 4) else { panic!("not a file") };
        let mixed = [Ok(Piece::Region(region)), Ok(Piece::Bytes(Bytes::from_static(b"ab")))];
        let mixed = Reader::Pieces(Box::pin(futures_util::stream::iter(mixed)));
        let pieces: Vec<Bytes> = mixed.into_stream(priority).try_collect().await.unwrap();
        assert_eq!(pieces.concat(), b"\x07\x07\x07\x07ab");
        let short: Result<Vec<Bytes>, _> = reader(6, buffer::SIZE as u64 * 3).into_stream(priority).try_collect().await;
        assert_eq!(short.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
