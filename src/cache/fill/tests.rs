//! Readers behind a writer.

mod followers;
mod given_up;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::store::{OpenFile, Piece, Reader};

const SIZE: usize = 200_000;

fn data() -> Vec<u8> {
    (0..SIZE).map(|place| u8::try_from(place * 7 % 251).unwrap()).collect()
}

/// What an image of that data says of itself.
fn expected(checksum: &str) -> Expected {
    Expected::for_tests(Some(SIZE as u64), Some(checksum))
}

/// What an image says of itself of whose data only the size is known.
fn sized() -> Expected {
    Expected::for_tests(Some(SIZE as u64), None)
}

const WRONG: &str = "00000000000000000000000000000000";

async fn md5(data: &[u8]) -> String {
    let mut digests = crate::store::Digests::start(crate::store::Algorithm::MD5, crate::store::Priority::Request);
    digests.update(Bytes::copy_from_slice(data)).await.unwrap();
    digests.finish().await.unwrap().md5
}

fn pieces(data: &[u8]) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = io::Result<Bytes>> + Send>> {
    let pieces: Vec<_> = data.chunks(7000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

/// A store that gives the image once more, whole or from a byte on.
fn again() -> Fallback {
    Box::new(|at, end| {
        let end = end.map_or(SIZE, |end| usize::try_from(end).unwrap());
        let rest = data()[usize::try_from(at).unwrap()..end].to_vec();
        async move { Ok(pieces(&rest)) }.boxed()
    })
}

/// Room for so many bytes.
struct Limit(u64);

impl Room for Limit {
    fn grow(&self, _reserved: u64, needed: u64) -> BoxFuture<'_, io::Result<Option<u64>>> {
        let grown = needed.saturating_add(1000).min(self.0);
        std::future::ready(Ok((needed <= self.0).then_some(grown))).boxed()
    }
}

fn none() -> Fallback {
    Box::new(|_, _| async { Err(io::Error::other("no store")) }.boxed())
}

/// All that was read, or how much before the error.
type ReadAll = Result<Vec<u8>, (usize, io::ErrorKind)>;

async fn read(reader: Reader) -> ReadAll {
    reading(reader).0.await
}

/// As [`read`], and what tells that the first piece has come.
fn reading(reader: Reader) -> (impl Future<Output = ReadAll>, oneshot::Receiver<()>) {
    let mut stream = reader.into_stream(crate::store::Priority::Request);
    let (begin, begun) = oneshot::channel();
    let all = async move {
        let (mut read, mut begin) = (Vec::new(), Some(begin));
        while let Some(piece) = stream.next().await {
            read.extend_from_slice(&piece.map_err(|error| (read.len(), error.kind()))?);
            if let Some(begin) = begin.take() {
                // Most do not want to know.
                let _ = begin.send(());
            }
        }
        Ok(read)
    };
    (all, begun)
}

fn file() -> Arc<OpenFile> {
    OpenFile::shared(tempfile::tempfile().unwrap())
}

#[tokio::test]
async fn readers_get_every_byte_behind_the_writer() {
    let (fill, file) = (Fill::new(), file());
    let whole = FillReader::new(fill.listen(), None, sized(), none()).into_reader();
    let unknown = FillReader::new(fill.listen(), None, Expected::default(), none()).into_reader();
    let part = FillReader::new(fill.listen(), Some(10..150_000), sized(), none()).into_reader();
    let expected = expected(&md5(&data()).await);
    let writing = async {
        let size = write(&fill, &file, pieces(&data()), &expected, u64::MAX, &Limit(0)).await.unwrap();
        fill.tell(Progress::Whole { file: Arc::clone(&file), size });
        assert!(fill.has_ended());
        size
    };
    let (size, whole, unknown, part) = tokio::join!(writing, read(whole), read(unknown), read(part));
    assert_eq!(size, SIZE as u64);
    assert!(whole.unwrap() == data() && unknown.unwrap() == data());
    assert!(part.unwrap() == data()[10..150_000]);
    assert!(!fill.is_read());
}

#[tokio::test]
async fn the_end_is_held_back_until_the_data_is_found_right() {
    let (fill, file) = (Fill::new(), file());
    let wrong = expected(WRONG);
    let mut reading = Box::pin(read(FillReader::new(fill.listen(), None, sized(), again()).into_reader()));
    let refused = write(&fill, &file, pieces(&data()), &wrong, u64::MAX, &Limit(0)).await;
    assert!(matches!(refused, Err(WriteError::Invalid)), "{refused:?}");
    // All bytes are written, and the reader still waits to hear whether they are right.
    assert!(timeout(Duration::from_millis(200), &mut reading).await.is_err());
    fill.tell(Progress::Invalid);
    let (got, error) = reading.await.unwrap_err();
    assert!(got > 0 && got < SIZE, "{got} bytes");
    assert_eq!(error, io::ErrorKind::InvalidData);
}

/// What another writer has left, with the place to go on at its end.
fn left(fill: &Fill, beginning: &[u8]) -> Arc<OpenFile> {
    let file = file();
    io::Write::write_all(&mut &**file, beginning).unwrap();
    fill.tell(Progress::Growing { file: Arc::clone(&file), written: beginning.len() as u64 });
    file
}

#[tokio::test]
async fn what_a_dead_writer_has_left_is_judged_with_what_comes_behind_it() {
    let right = expected(&md5(&data()).await);
    for (beginning, wrong) in
        [(150_000, None), (150_000, Some(0)), (150_000, Some(199_999)), (SIZE, None), (SIZE, Some(7))]
    {
        let mut given = data();
        if let Some(at) = wrong {
            given[at] ^= 1;
        }
        let fill = Fill::new();
        let file = left(&fill, &given[..beginning]);
        let reader = FillReader::new(fill.listen(), None, right.clone(), none()).into_reader();
        let writing = async {
            let rest = pieces(&given[beginning..]);
            let written = write_on(&fill, &file, beginning as u64, rest, &right, u64::MAX, &Limit(0)).await;
            assert!(matches!((&written, wrong), (Ok(_), None) | (Err(WriteError::Invalid), Some(_))), "{written:?}");
            fill.tell(written.map_or(Progress::Invalid, |size| Progress::Whole { file: Arc::clone(&file), size }));
        };
        match tokio::join!(writing, read(reader)).1 {
            Ok(got) => assert!(wrong.is_none() && got == data()),
            Err((got, error)) => assert!(wrong.is_some() && got < SIZE && error == io::ErrorKind::InvalidData),
        }
    }
    let fill = Fill::new();
    let longer = left(&fill, &[0; SIZE + 1]);
    let written = write_on(&fill, &longer, SIZE as u64 + 1, pieces(&[]), &right, u64::MAX, &Limit(0)).await;
    assert!(matches!(written, Err(WriteError::Invalid)), "{written:?}");
}

/// Whoever goes on with it may have to give up, too. Then it need not be digested again.
#[tokio::test]
async fn what_was_digested_of_a_dead_writers_file_is_kept() {
    let right = expected(&md5(&data()).await);
    let fill = Fill::new();
    let file = left(&fill, &data()[..100_000]);
    let reader = FillReader::new(fill.listen(), None, right.clone(), again()).into_reader();
    let broken = stream::iter([Ok(Bytes::from(data()[100_000..120_000].to_vec())), Err(io::Error::other("gone"))]);
    let reading = async {
        let Reader::Pieces(mut pieces) = reader else { panic!("no pieces") };
        let Some(Ok(Piece::Region(first))) = pieces.next().await else { panic!("no region") };
        (first.length, pieces)
    };
    let ((first, rest), ()) = tokio::join!(reading, async {
        let failed = write_on(&fill, &file, 100_000, Box::pin(broken), &right, u64::MAX, &Limit(0)).await;
        assert!(matches!(failed, Err(WriteError::Store(_))), "{failed:?}");
    });
    fill.abandon();
    std::os::unix::fs::FileExt::write_all_at(&**file, b"other", 0).unwrap();
    let got = read(Reader::Pieces(rest)).await.unwrap();
    assert!(got == data()[usize::try_from(first).unwrap()..]);
}

/// Its followers wait for it as long as it shows that it lives.
#[tokio::test]
async fn who_goes_on_shows_that_it_lives_while_it_digests() {
    let fill = Fill::new();
    let file = left(&fill, &data());
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    file.set_modified(long_ago).unwrap();
    let right = expected(&md5(&data()).await);
    write_on(&fill, &file, SIZE as u64, pieces(&[]), &right, u64::MAX, &Limit(0)).await.unwrap();
    assert!(file.metadata().unwrap().modified().unwrap() > long_ago);
}

#[tokio::test]
async fn who_goes_on_after_its_own_failure_digests_nothing_again() {
    let right = expected(&md5(&data()).await);
    let (fill, file) = (Fill::new(), file());
    let broken = stream::iter([Ok(Bytes::from(data()[..100_000].to_vec())), Err(io::Error::other("gone"))]);
    let failed = write(&fill, &file, Box::pin(broken), &right, u64::MAX, &Limit(0)).await;
    assert!(matches!(failed, Err(WriteError::Store(_))), "{failed:?}");
    std::os::unix::fs::FileExt::write_all_at(&**file, b"other", 0).unwrap();
    let size = write_on(&fill, &file, 100_000, pieces(&data()[100_000..]), &right, u64::MAX, &Limit(0)).await;
    assert_eq!(size.unwrap(), SIZE as u64);
}

#[tokio::test]
async fn data_that_cannot_be_the_image_is_not_written_to_its_end() {
    let checksum = md5(&data()).await;
    let mut longer = data();
    longer.push(1);
    let try_write = async |data: &[u8], most| {
        write(&Fill::new(), &file(), pieces(data), &expected(&checksum), 0, &Limit(most)).await
    };
    assert_eq!(try_write(&longer, u64::MAX).await.unwrap(), SIZE as u64, "it ends with the image");
    longer[0] ^= 1;
    assert!(matches!(try_write(&longer, u64::MAX).await, Err(WriteError::Invalid)));
    assert!(matches!(try_write(&data()[1..], u64::MAX).await, Err(WriteError::Store(_))));
    assert!(matches!(try_write(&data(), 1000).await, Err(WriteError::NoRoom)));
    let full = OpenFile::shared(File::options().write(true).open("/dev/full").unwrap());
    let failed = write(&Fill::new(), &full, pieces(&data()), &expected(&checksum), u64::MAX, &Limit(0)).await;
    assert!(matches!(failed, Err(WriteError::Disk(_))), "{failed:?}");
}
