use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::timeout;

use super::*;
use crate::cache::layout::{Begun, Evicted, Layout};
use crate::store::{OpenFile, Piece, Reader};

const ID: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b11";
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
    let mut digests = crate::store::Digests::start(crate::store::Algorithm::MD5);
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

async fn read(reader: Reader) -> Result<Vec<u8>, (usize, io::ErrorKind)> {
    let mut stream = reader.into_stream();
    let mut read = Vec::new();
    while let Some(piece) = stream.next().await {
        read.extend_from_slice(&piece.map_err(|error| (read.len(), error.kind()))?);
    }
    Ok(read)
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
    // All bytes are written, and the reader still waits for the verdict.
    assert!(timeout(Duration::from_millis(200), &mut reading).await.is_err());
    fill.tell(Progress::Invalid);
    let (got, error) = reading.await.unwrap_err();
    assert!(got > 0 && got < SIZE, "{got} bytes");
    assert_eq!(error, io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn when_the_writer_gives_up_the_rest_comes_from_the_store() {
    let right = expected(&md5(&data()).await);
    for part in [None, Some(5..190_000)] {
        let (fill, file) = (Fill::new(), file());
        let reader = FillReader::new(fill.listen(), part.clone(), right.clone(), again()).into_reader();
        let broken = stream::iter([Ok(Bytes::from(data()[..150_000].to_vec())), Err(io::Error::other("gone"))]);
        let expected = expected(WRONG);
        let writing = async {
            let failed = write(&fill, &file, Box::pin(broken), &expected, u64::MAX, &Limit(0)).await;
            assert!(matches!(failed, Err(WriteError::Store(_))), "{failed:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            fill.abandon();
        };
        let ((), got) = tokio::join!(writing, read(reader));
        let part = part.map_or(0..SIZE, |part| part.start as usize..part.end as usize);
        assert!(got.unwrap() == data()[part]);
    }
    // What is too short does not pass for the end.
    for fill_ends in [Progress::Abandoned(None), Progress::Whole { file: file(), size: 10 }] {
        let fill = Fill::new();
        let short: Fallback = Box::new(|_, _| async { Ok(pieces(b"short")) }.boxed());
        let reader = FillReader::new(fill.listen(), None, sized(), short).into_reader();
        if let Progress::Whole { file, .. } = &fill_ends {
            file.set_len(10).unwrap();
        }
        fill.tell(fill_ends);
        let (_, error) = read(reader).await.unwrap_err();
        assert_eq!(error, io::ErrorKind::UnexpectedEof);
    }
    // A writer that is gone without a word is no different.
    let fill = Fill::new();
    let reader = FillReader::new(fill.listen(), None, sized(), again()).into_reader();
    drop(fill);
    assert!(read(reader).await.unwrap() == data());
}

/// However much of it was given out: the end does not come before all is found right.
#[tokio::test]
async fn a_wrong_beginning_is_not_completed_from_the_store() {
    let checksum = md5(&data()).await;
    let unsized_image = Expected::for_tests(None, Some(&checksum));
    let cases = [
        (None, expected(&checksum), SIZE),
        (None, unsized_image, SIZE),
        (Some(5..190_000), expected(&checksum), 190_000),
        (Some(5..100_000), expected(&checksum), 100_000),
    ];
    for (part, image, end) in cases {
        let start = part.as_ref().map_or(0, |part| part.start as usize);
        // Its writer may have digested it, or not.
        let (digested, not) = (&image, &Expected::default());
        for (wrong, written_as) in [(None, digested), (None, not), (Some(0), not), (Some(20_000), digested)] {
            let (fill, file) = (Fill::new(), file());
            let reader = || FillReader::new(fill.listen(), part.clone(), image.clone(), again()).into_reader();
            let readers = [reader(), reader()];
            let mut beginning = data()[..150_000].to_vec();
            if let Some(at) = wrong {
                beginning[at] ^= 1;
            }
            let broken = stream::iter([Ok(Bytes::from(beginning.clone())), Err(io::Error::other("gone"))]);
            let writing = async {
                write(&fill, &file, Box::pin(broken), written_as, u64::MAX, &Limit(0)).await.unwrap_err();
                // Both have begun.
                tokio::time::sleep(Duration::from_millis(50)).await;
                fill.abandon();
            };
            let [first, second] = readers;
            let ((), first, second) = tokio::join!(writing, read(first), read(second));
            for got in [first, second] {
                match (got, wrong) {
                    (Ok(got), None) => assert!(got == data()[start..end]),
                    (Err((got, error)), Some(_)) => {
                        assert_eq!(error, io::ErrorKind::InvalidData);
                        assert!(got > 0 && start + got < end, "{got} bytes");
                    }
                    (got, wrong) => panic!("{wrong:?}: {:?}", got.map(|got| got.len())),
                }
            }
        }
    }
    // Whoever had got nothing of it gets what the store gives, as without a cache.
    let (fill, file) = (Fill::new(), file());
    let reader = FillReader::new(fill.listen(), None, expected(&checksum), again()).into_reader();
    file.set_len(150_000).unwrap();
    fill.tell(Progress::Growing { file, written: 150_000 });
    fill.abandon();
    assert!(read(reader).await.unwrap() == data());
}

/// It is found right, but making it durable takes long and fails then. What was given out is compared with what is in the file now.
#[tokio::test]
async fn what_the_disk_refuses_comes_from_the_store() {
    const LENGTH: usize = 9_000_000;
    let zeros = vec![0; LENGTH];
    let expected = Expected::for_tests(Some(LENGTH as u64), Some(&md5(&zeros).await));
    let store = || -> Fallback {
        Box::new(|at, _| async move { Ok(pieces(&vec![0; LENGTH - usize::try_from(at).unwrap()])) }.boxed())
    };
    for is_changed in [false, true] {
        let (fill, file) = (Fill::new(), file());
        file.set_len(LENGTH as u64).unwrap();
        let Reader::Pieces(mut reader) = FillReader::new(fill.listen(), None, expected.clone(), store()).into_reader()
        else {
            panic!("no pieces")
        };
        fill.tell(Progress::Verified { file: Arc::clone(&file), size: LENGTH as u64 });
        assert!(fill.is_right() && !fill.has_ended());
        let Piece::Region(first) = reader.next().await.unwrap().unwrap() else { panic!("no region") };
        assert!(first.offset == 0 && first.length < LENGTH as u64 / 2, "not more at once than {}", first.length);
        fill.tell(Progress::Abandoned(None));
        if is_changed {
            std::os::unix::fs::FileExt::write_all_at(&**file, b"x", 1000).unwrap();
        }
        let mut got = usize::try_from(first.length).unwrap();
        let end = loop {
            match reader.next().await {
                Some(Ok(Piece::Bytes(bytes))) => got += bytes.len(),
                Some(Ok(Piece::Region(_))) => panic!("from the file"),
                Some(Err(error)) => break Some(error.kind()),
                None => break None,
            }
        };
        assert_eq!(end, is_changed.then_some(io::ErrorKind::InvalidData));
        assert_eq!(got == LENGTH, !is_changed, "{got} bytes");
    }
}

/// The first piece of a reader, all of it from the file, and what gives the others.
async fn first_of(
    reader: FillReader,
) -> (u64, std::pin::Pin<Box<dyn futures_util::Stream<Item = io::Result<Piece>> + Send>>) {
    let Reader::Pieces(mut pieces) = reader.into_reader() else { panic!("no pieces") };
    let Piece::Region(first) = pieces.next().await.unwrap().unwrap() else { panic!("no region") };
    assert_eq!(first.offset, 0);
    (first.length, pieces)
}

/// The rest goes on at once, and a removed file takes no room for as long as the slowest reader needs for the rest.
#[tokio::test]
async fn what_the_writer_has_digested_is_not_read_again_and_its_file_is_let_go() {
    let expected = expected(&md5(&data()).await);
    for (room, broken) in [(u64::MAX, true), (100_000, false)] {
        let (fill, file) = (Fill::new(), file());
        let reader = FillReader::new(fill.listen(), None, expected.clone(), again());
        let mut given: Vec<_> = [0..60_000, 60_000..100_000].map(|part| Ok(Bytes::from(data()[part].to_vec()))).into();
        given.push(if broken { Err(io::Error::other("gone")) } else { Ok(Bytes::from(data()[100_000..].to_vec())) });
        // One piece at a time, so that the last one is no part of what is written.
        let given = stream::iter(given).then(|piece| async {
            tokio::task::yield_now().await;
            piece
        });
        let failed = write(&fill, &file, Box::pin(given), &expected, 0, &Limit(room)).await;
        assert!(matches!(failed, Err(WriteError::Store(_) | WriteError::NoRoom)), "{failed:?}");
        let (length, mut rest) = first_of(reader).await;
        assert_eq!(length, 100_000);
        fill.abandon();
        drop(fill);
        file.set_len(0).unwrap();
        let mut got = Vec::new();
        while let Some(piece) = rest.next().await {
            let Piece::Bytes(bytes) = piece.unwrap() else { panic!("from the file") };
            assert_eq!(Arc::strong_count(&file), 1, "it is kept open");
            got.extend_from_slice(&bytes);
        }
        assert!(got == data()[100_000..]);
    }
}

/// Its writer died when all was written and before it said that it is right.
#[tokio::test]
async fn what_is_all_there_needs_no_store() {
    let expected = expected(&md5(&data()).await);
    for is_wrong in [false, true] {
        let (fill, file) = (Fill::new(), file());
        std::os::unix::fs::FileExt::write_all_at(&**file, &data(), 0).unwrap();
        let reader = FillReader::new(fill.listen(), None, expected.clone(), none());
        fill.tell(Progress::Growing { file: Arc::clone(&file), written: SIZE as u64 });
        let (length, rest) = first_of(reader).await;
        if is_wrong {
            std::os::unix::fs::FileExt::write_all_at(&**file, b"x", 1000).unwrap();
        }
        fill.abandon();
        match read(Reader::Pieces(rest)).await {
            Ok(got) => assert!(!is_wrong && got == data()[usize::try_from(length).unwrap()..]),
            Err((got, error)) => assert!(is_wrong && got == 0 && error == io::ErrorKind::InvalidData),
        }
    }
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

/// A writer is never taken for one that stands still.
const LONG: Duration = Duration::from_secs(3600);

struct Directory {
    layout: Layout,
    _folder: tempfile::TempDir,
}

impl Directory {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        layout.create_folders().unwrap();
        Self { layout, _folder: folder }
    }

    /// The file of a writer in another process.
    fn begin(&self) -> Arc<OpenFile> {
        match self.layout.begin(ID).unwrap() {
            Begun::Write(file) => file,
            other => panic!("{other:?}"),
        }
    }

    /// The same file, as this process sees it.
    fn see(&self) -> Arc<OpenFile> {
        match self.layout.begin(ID).unwrap() {
            Begun::Follow(file) => file,
            other => panic!("{other:?}"),
        }
    }
}

/// Until the image is in the cache, and then no eviction takes its file from those who read it.
#[tokio::test]
async fn the_writer_of_another_process_is_followed() {
    let directory = Directory::new();
    let layout = &directory.layout;
    let (theirs, expected) = (directory.begin(), expected(&md5(&data()).await));
    let fill = Fill::new();
    let waiting = fill.listen();
    let reader = FillReader::new(fill.listen(), None, sized(), none()).into_reader();
    let writing = async {
        write(&Fill::new(), &theirs, pieces(&data()), &expected, u64::MAX, &Limit(0)).await.unwrap();
        // Its readers elsewhere do not wait until it is durable.
        Layout::mark_verified(&theirs);
    };
    let seen = directory.see();
    let mut following = Box::pin(follow(&fill, layout, ID, &seen, LONG));
    let read_whole = async {
        let ((), got) = tokio::join!(writing, read(reader));
        assert!(got.unwrap() == data());
    };
    tokio::select! {
        followed = &mut following => panic!("{followed:?}"),
        () = read_whole => {}
    }
    // It may look once more before the image is in the cache.
    assert!(timeout(Duration::from_millis(50), &mut following).await.is_err());
    layout.commit(ID, &theirs).unwrap();
    assert_eq!(following.await, Followed::Ended);
    assert!(matches!(*waiting.borrow(), Progress::Whole { .. }));
    drop(theirs);
    assert_eq!(layout.evict(ID).unwrap(), Evicted::InUse);
}

/// It may be waiting for room, or for its store.
#[tokio::test]
async fn a_writer_that_has_written_nothing_may_never_begin() {
    let directory = Directory::new();
    let layout = &directory.layout;
    let theirs = directory.begin();
    let fill = Fill::new();
    let listening = fill.listen();
    let seen = directory.see();
    let mut following = Box::pin(follow(&fill, layout, ID, &seen, LONG));
    assert!(timeout(Duration::from_millis(50), &mut following).await.is_err());
    assert!(matches!(*listening.borrow(), Progress::Starting));
    drop(theirs);
    assert_eq!(following.await, Followed::Gone);
    assert!(matches!(*listening.borrow(), Progress::Starting), "somebody else may write it");
}

/// What a follower tells at its end, of a writer whose data was found right before `end` came upon it.
async fn end_of_verified(end: impl FnOnce(&Layout, &OpenFile)) -> Progress {
    let directory = Directory::new();
    let layout = &directory.layout;
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    Layout::mark_verified(&theirs);
    let fill = Fill::new();
    let mut listening = fill.listen();
    let seen = directory.see();
    let ending = async {
        listening.wait_for(|progress| matches!(progress, Progress::Verified { size: 10, .. })).await.unwrap();
        end(layout, &theirs);
        drop(theirs);
    };
    let (followed, ()) = tokio::join!(follow(&fill, layout, ID, &seen, LONG), ending);
    assert_eq!(followed, Followed::Ended);
    listening.borrow().clone()
}

#[tokio::test]
async fn what_was_found_right_stays_right_when_its_file_is_removed() {
    let end = end_of_verified(|layout, _| assert!(layout.remove(ID).is_ok())).await;
    assert!(matches!(end, Progress::Whole { .. }));
}

#[tokio::test]
async fn followers_learn_that_the_disk_has_refused_what_was_found_right() {
    let end = end_of_verified(|layout, theirs| layout.abandon_refused(ID, theirs).unwrap()).await;
    assert!(matches!(end, Progress::Abandoned(None)));
}

/// What it has written may yet be found wrong.
#[tokio::test]
async fn a_writer_is_followed_though_its_file_was_removed() {
    let directory = Directory::new();
    let layout = &directory.layout;
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    let fill = Fill::new();
    let mut listening = fill.listen();
    let seen = directory.see();
    let removing = async {
        listening.wait_for(|progress| matches!(progress, Progress::Growing { written: 10, .. })).await.unwrap();
        layout.remove(ID).unwrap();
        theirs.set_len(20).unwrap();
        listening.wait_for(|progress| matches!(progress, Progress::Growing { written: 20, .. })).await.unwrap();
        layout.invalidate_incomplete(ID, &theirs).unwrap();
    };
    let (followed, ()) = tokio::join!(follow(&fill, layout, ID, &seen, LONG), removing);
    assert_eq!(followed, Followed::Ended);
    assert!(matches!(*listening.borrow(), Progress::Invalid));
}

#[tokio::test]
async fn a_writer_that_stands_still_is_not_waited_for() {
    let directory = Directory::new();
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    let fill = Fill::new();
    let listening = fill.listen();
    assert_eq!(
        follow(&fill, &directory.layout, ID, &directory.see(), Duration::from_millis(100)).await,
        Followed::Ended
    );
    assert!(matches!(*listening.borrow(), Progress::Abandoned(Some(_))));
}

#[tokio::test]
async fn a_writer_is_followed_as_long_as_somebody_reads() {
    let directory = Directory::new();
    let _theirs = directory.begin();
    let fill = Fill::new();
    assert_eq!(follow(&fill, &directory.layout, ID, &directory.see(), LONG).await, Followed::Unread);
}
