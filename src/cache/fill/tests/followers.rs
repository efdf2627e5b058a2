//! Following the writer of another process.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use super::super::*;
use super::{Limit, data, expected, md5, none, pieces, read, sized};
use crate::cache::layout::{Begun, Evicted, Layout, Left};
use crate::store::OpenFile;

const ID: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b11";

/// A writer is never taken for one that stands still.
const LONG: Bounds = Bounds { frozen: Duration::from_secs(3600), stopped: Duration::from_secs(3600) };

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
async fn the_file_of_a_dead_writer_is_gone_on_with_where_it_is_still_there() {
    for is_removed in [false, true] {
        let directory = Directory::new();
        let theirs = directory.begin();
        theirs.set_len(10).unwrap();
        let fill = Fill::new();
        let mut listening = fill.listen();
        let dying = async {
            listening.wait_for(|progress| matches!(progress, Progress::Growing { written: 10, .. })).await.unwrap();
            if is_removed {
                directory.layout.remove(ID).unwrap();
            }
            drop(theirs);
        };
        let seen = directory.see();
        let (followed, ()) = tokio::join!(follow(&fill, &directory.layout, ID, &seen, LONG), dying);
        if is_removed {
            assert_eq!(followed, Followed::Ended);
            assert!(matches!(*listening.borrow(), Progress::Abandoned(Some(_))));
        } else {
            assert!(matches!(followed, Followed::Ours(Left { written: 10, .. })), "{followed:?}");
            assert!(!fill.has_ended());
        }
    }
}

/// They have read what is not judged, and may not go on in another file.
#[tokio::test]
async fn readers_that_come_when_nobody_read_are_not_forgotten() {
    let directory = Directory::new();
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    let fill = Fill::new();
    let seen = directory.see();
    fill.tell(Progress::Growing { file: Arc::clone(&seen), written: 10 });
    let _reading = fill.listen();
    directory.layout.remove(ID).unwrap();
    drop(theirs);
    assert_eq!(follow(&fill, &directory.layout, ID, &seen, LONG).await, Followed::Ended);
}

#[tokio::test]
async fn a_writer_that_stands_still_is_not_waited_for() {
    let directory = Directory::new();
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    let fill = Fill::new();
    let listening = fill.listen();
    let bounds = Bounds { frozen: Duration::from_millis(100), ..LONG };
    assert_eq!(follow(&fill, &directory.layout, ID, &directory.see(), bounds).await, Followed::Ended);
    assert!(matches!(*listening.borrow(), Progress::Abandoned(Some(_))));
}

/// Be it one that has written nothing yet.
#[tokio::test]
async fn a_writer_that_has_promised_signs_and_gives_none_is_left_soon() {
    let bounds = Bounds { stopped: Duration::from_millis(100), ..LONG };
    for written in [0, 10] {
        let directory = Directory::new();
        let theirs = directory.begin();
        theirs.set_len(written).unwrap();
        let fill = Fill::new();
        let listening = fill.listen();
        let seen = directory.see();
        let mut following = Box::pin(follow(&fill, &directory.layout, ID, &seen, bounds));
        // One of an older release, say.
        assert!(timeout(3 * bounds.stopped, &mut following).await.is_err(), "it has promised nothing");
        Layout::beat(&theirs);
        assert_eq!(timeout(Duration::from_secs(120), following).await.expect("it is waited for"), Followed::Ended);
        assert!(matches!(*listening.borrow(), Progress::Abandoned(_)));
    }
}

/// As one whose store gives nothing for long.
#[tokio::test]
async fn a_writer_that_gives_the_signs_that_it_promised_is_waited_for() {
    let bounds = Bounds { stopped: Duration::from_secs(2), ..LONG };
    let directory = Directory::new();
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    let fill = Fill::new();
    let listening = fill.listen();
    let living = async {
        let start = Instant::now();
        while start.elapsed() < bounds.stopped * 3 / 2 {
            Layout::beat(&theirs);
            tokio::time::sleep(bounds.stopped / 20).await;
        }
        directory.layout.commit(ID, &theirs).unwrap();
    };
    let seen = directory.see();
    let (followed, ()) = tokio::join!(follow(&fill, &directory.layout, ID, &seen, bounds), living);
    assert_eq!(followed, Followed::Ended);
    assert!(matches!(*listening.borrow(), Progress::Whole { size: 10, .. }));
}

/// Who comes when others have given it up already does not wait as long as they did.
#[tokio::test]
async fn a_writer_that_has_stood_still_for_long_is_given_a_moment() {
    let directory = Directory::new();
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    theirs.set_modified(SystemTime::now() - LONG.frozen).unwrap();
    let fill = Fill::new();
    let _reader = fill.listen();
    let seen = directory.see();
    let follows = follow(&fill, &directory.layout, ID, &seen, LONG);
    assert_eq!(timeout(Duration::from_secs(120), follows).await.expect("it is waited for"), Followed::Ended);
}

/// As a successor that digests what is there already.
#[tokio::test]
async fn a_writer_that_writes_nothing_and_shows_that_it_lives_is_waited_for() {
    let bounds = Bounds { frozen: Duration::from_secs(2), ..LONG };
    let directory = Directory::new();
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    let fill = Fill::new();
    let listening = fill.listen();
    let living = async {
        let start = Instant::now();
        while start.elapsed() < bounds.frozen * 3 / 2 {
            tokio::time::sleep(bounds.frozen / 20).await;
            // The clock of the file system may be coarse.
            theirs.set_modified(SystemTime::UNIX_EPOCH + start.elapsed()).unwrap();
        }
        directory.layout.commit(ID, &theirs).unwrap();
    };
    let seen = directory.see();
    let (followed, ()) = tokio::join!(follow(&fill, &directory.layout, ID, &seen, bounds), living);
    assert_eq!(followed, Followed::Ended);
    assert!(matches!(*listening.borrow(), Progress::Whole { size: 10, .. }));
}

/// Somebody looks at the file of a dead writer all the time. But there have been others that wrote meanwhile.
#[tokio::test]
async fn who_survives_many_writers_is_as_patient_with_the_last_as_with_the_first() {
    let directory = Directory::new();
    let theirs = directory.begin();
    theirs.set_len(10).unwrap();
    let fill = Fill::new();
    let mut listening = fill.listen();
    let (seen, looking) = (directory.see(), directory.see());
    let dying = async {
        listening.wait_for(|progress| matches!(progress, Progress::Growing { written: 10, .. })).await.unwrap();
        drop(theirs);
        looking.lock_shared().unwrap();
        for written in 11..15 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            looking.set_len(written).unwrap();
        }
        drop(looking);
    };
    let (followed, ()) = tokio::join!(follow(&fill, &directory.layout, ID, &seen, LONG), dying);
    assert!(matches!(followed, Followed::Ours(Left { written: 14, .. })), "{followed:?}");
}

#[tokio::test]
async fn a_writer_is_followed_as_long_as_somebody_reads() {
    let directory = Directory::new();
    let _theirs = directory.begin();
    let fill = Fill::new();
    assert_eq!(follow(&fill, &directory.layout, ID, &directory.see(), LONG).await, Followed::Unread);
}
