use std::io::Write as _;

use tokio::sync::oneshot;

use super::persistence::MOST_TIMES;
use super::*;

const ID: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b11";

/// A whole image of ten bytes, and who waits for its end.
fn whole() -> (Fill, Arc<OpenFile>, watch::Receiver<Progress>) {
    let (fill, file) = (Fill::new(), OpenFile::shared(tempfile::tempfile().unwrap()));
    file.set_len(10).unwrap();
    fill.tell(Progress::Growing { file: Arc::clone(&file), written: 10 });
    let listening = fill.listen();
    (fill, file, listening)
}

fn refused() -> Result<(), CommitError> {
    Err(CommitError::NotDurable(io::Error::from_raw_os_error(libc::EIO)))
}

#[tokio::test]
async fn the_end_is_told_when_the_image_is_in_the_cache_or_cannot_come_there() {
    for committed in [Ok(()), Err(CommitError::Removed), Err(CommitError::Directory(io::ErrorKind::StorageFull.into()))]
    {
        let (fill, file, listening) = whole();
        let is_cached = committed.is_ok();
        let told = tell_end(&fill, &file, 10, std::future::ready(committed)).await;
        assert_eq!(told.is_ok(), is_cached);
        assert!(matches!(*listening.borrow(), Progress::Whole { size: 10, .. }));
    }
}

/// It was found right before. So none of its readers needs the store, be it that the image is in the cache or not.
#[tokio::test]
async fn what_panics_when_all_is_there_takes_nothing_from_readers() {
    let (fill, file, listening) = whole();
    let told = tell_end(&fill, &file, 10, async { panic!("at the end") }).await;
    assert!(matches!(told, Err(FillError::Panicked)), "{told:?}");
    assert!(matches!(*listening.borrow(), Progress::Whole { size: 10, .. }));
}

/// At once, and after its end was told because that took long. In neither case does the file pass for an image.
#[tokio::test]
async fn what_the_disk_refuses_is_not_whole() {
    let (fill, file, listening) = whole();
    let told = tell_end(&fill, &file, 10, std::future::ready(refused())).await;
    assert!(matches!(told, Err(FillError::Commit(CommitError::NotDurable(_)))));
    assert!(matches!(*listening.borrow(), Progress::Abandoned(None)));

    let (fill, file, mut listening) = whole();
    let (refuse, committing) = oneshot::channel();
    let reading = async {
        listening.wait_for(|progress| matches!(progress, Progress::Verified { size: 10, .. })).await.unwrap();
        refuse.send(refused()).unwrap();
    };
    let committing = async { committing.await.unwrap() };
    let (told, ()) = tokio::join!(tell_end(&fill, &file, 10, committing), reading);
    assert!(matches!(told, Err(FillError::Commit(CommitError::NotDurable(_)))));
    assert!(matches!(*listening.borrow(), Progress::Abandoned(None)));
}

/// What an attempt does.
#[derive(Clone, Copy)]
enum Attempt {
    BreakOff,
    /// As before, without another byte.
    BreakOffAtOnce,
    /// The store has no more.
    End,
    Panic,
    /// The store says why it gives nothing.
    Refuse,
    FindWrong,
    Succeed,
}

/// Tries to fill an image, of which each attempt but those to which nothing is given writes a byte more. What came of it, and how often it was
/// tried.
async fn fill_in(attempts: &[Attempt], is_removed: bool) -> (Result<u64, FillError>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path());
    layout.create_folders().unwrap();
    let Begun::Write(file) = layout.begin(ID).unwrap() else { panic!("it is nobody's") };
    if is_removed {
        layout.remove(ID).unwrap();
    }
    let mut tried = 0;
    let done = persist(&layout, ID, &file, Left::default(), |left| {
        let attempt = attempts[tried.min(attempts.len() - 1)];
        let file = Arc::clone(&file);
        tried += 1;
        async move {
            let end = file.metadata().unwrap().len();
            assert_eq!(left.written, end);
            if !matches!(attempt, Attempt::BreakOffAtOnce | Attempt::End | Attempt::Refuse) {
                (&mut &**file).write_all(b"x").unwrap();
            }
            match attempt {
                Attempt::BreakOff | Attempt::BreakOffAtOnce => {
                    Err(WriteError::Store(io::ErrorKind::ConnectionReset.into()).into())
                }
                Attempt::End => Err(WriteError::Store(io::ErrorKind::UnexpectedEof.into()).into()),
                Attempt::Panic => panic!("in the middle"),
                Attempt::Refuse => Err(FillError::Store(StoreError::RemoteUnavailable { source: None }.into())),
                Attempt::FindWrong => Err(WriteError::Invalid.into()),
                Attempt::Succeed => Ok(end + 1),
            }
        }
    });
    let done = done.await;
    (done, tried)
}

#[tokio::test]
async fn a_fill_goes_on_where_its_store_broke_off_or_it_panicked_but_not_without_end() {
    use Attempt::{BreakOff, BreakOffAtOnce, End, FindWrong, Panic, Refuse, Succeed};
    assert!(matches!(fill_in(&[BreakOff, Panic, Refuse, Succeed], false).await, (Ok(3), 4)));
    assert!(matches!(fill_in(&[BreakOff, BreakOffAtOnce, Succeed], false).await, (Ok(2), 3)));
    // What the store does not have it will not have the next time.
    assert!(matches!(
        fill_in(&[BreakOff, End, Succeed], false).await,
        (Err(FillError::Write(WriteError::Store(_))), 2)
    ));
    let most = 1 + usize::try_from(MOST_TIMES).unwrap();
    for attempts in [[BreakOff].as_slice(), &[BreakOff, Refuse]] {
        let (done, tried) = fill_in(attempts, false).await;
        assert!(done.is_err() && tried == most, "{tried} times: {done:?}");
    }
    assert!(matches!(fill_in(&[Panic], false).await, (Err(FillError::Panicked), tried) if tried == most));
    // Readers are told why by the store itself.
    assert!(matches!(fill_in(&[Refuse, Succeed], false).await, (Err(FillError::Store(_)), 1)));
    let (done, tried) = fill_in(&[BreakOffAtOnce, Succeed], false).await;
    assert!(matches!((&done, tried), (Err(FillError::Write(WriteError::Store(_))), 1)), "{tried} times: {done:?}");
    assert!(matches!(fill_in(&[FindWrong, Succeed], false).await, (Err(FillError::Write(WriteError::Invalid)), 1)));
    assert!(matches!(fill_in(&[BreakOff, Succeed], true).await, (Err(FillError::Write(WriteError::Store(_))), 1)));
}
