//! Readers whose writer gives up before the image is in the cache.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::timeout;

use super::super::*;
use super::{Limit, SIZE, WRONG, again, data, expected, file, md5, none, pieces, read, reading, sized};
use crate::store::{Piece, Reader};

/// Whoever waits for longer waits for ever.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn when_the_writer_gives_up_the_rest_comes_from_the_store() {
    let right = expected(&md5(&data()).await);
    for part in [None, Some(5..190_000)] {
        let (fill, file) = (Fill::new(), file());
        let reader = FillReader::new(fill.listen(), part.clone(), right.clone(), again()).into_reader();
        let (reading, begun) = reading(reader);
        let broken = stream::iter([Ok(Bytes::from(data()[..150_000].to_vec())), Err(io::Error::other("gone"))]);
        let expected = expected(WRONG);
        let writing = async {
            let failed = write(&fill, &file, Box::pin(broken), &expected, u64::MAX, &Limit(0)).await;
            assert!(matches!(failed, Err(WriteError::Store(_))), "{failed:?}");
            begun.await.unwrap();
            fill.abandon();
        };
        let both = timeout(LONG, async { tokio::join!(writing, reading) });
        let ((), got) = both.await.unwrap();
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
            let [(first, first_begun), (second, second_begun)] = [reader(), reader()].map(reading);
            let mut beginning = data()[..150_000].to_vec();
            if let Some(at) = wrong {
                beginning[at] ^= 1;
            }
            let broken = stream::iter([Ok(Bytes::from(beginning.clone())), Err(io::Error::other("gone"))]);
            let writing = async {
                write(&fill, &file, Box::pin(broken), written_as, u64::MAX, &Limit(0)).await.unwrap_err();
                first_begun.await.and(second_begun.await).unwrap();
                fill.abandon();
            };
            let all = timeout(LONG, async { tokio::join!(writing, first, second) });
            let ((), first, second) = all.await.unwrap();
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
