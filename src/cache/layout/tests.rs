use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use super::writer_state::{REFUTED, add_mode};
use super::*;

pub(super) const ID: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b11";
pub(super) const OTHER: &str = "7d0b7c4c-9a4a-4d5c-8a3e-0a8f9d1f3b12";

pub(super) fn layout() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(&folder.path().join("cache"));
    layout.create_folders().unwrap();
    (folder, layout)
}

pub(super) fn mine(layout: &Layout, id: &str) -> Arc<OpenFile> {
    let mut begun = None;
    soon(|| match layout.begin(id).unwrap() {
        Begun::Write(file) => begun.replace(file).is_none(),
        Begun::Follow(_) | Begun::Wait => false,
        other => panic!("{other:?}"),
    });
    begun.expect("another writes it")
}

/// Waits until it is so: a neighbour's child process may have descriptors of ours, with their locks, until it runs its program.
#[expect(clippy::disallowed_methods, reason = "there is no runtime here")]
pub(super) fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn write(mut file: &File, data: &[u8]) {
    file.write_all(data).unwrap();
}

fn is_incomplete(layout: &Layout, id: &str) -> bool {
    layout.incomplete(id).try_exists().unwrap()
}

fn filled(layout: &Layout, id: &str, data: &[u8]) {
    let file = mine(layout, id);
    write(&file, data);
    layout.commit(id, &file).unwrap();
}

#[test]
fn an_image_is_there_when_it_is_whole_and_queued_no_more() {
    let (_folder, layout) = layout();
    assert!(layout.queue(ID).unwrap() && !layout.queue(ID).unwrap() && layout.is_queued(ID).unwrap());
    let file = mine(&layout, ID);
    write(&file, b"data");
    assert!(layout.open(ID).unwrap().is_none() && is_incomplete(&layout, ID));
    layout.commit(ID, &file).unwrap();
    assert_eq!(fs::read(layout.image(ID)).unwrap(), b"data");
    assert!(!is_incomplete(&layout, ID) && !layout.is_queued(ID).unwrap());
    assert!(matches!(layout.begin(ID).unwrap(), Begun::Cached { size: 4, .. }));
    assert!(!is_incomplete(&layout, ID), "asking leaves nothing behind");
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o640);
}

#[test]
fn one_writes_and_the_others_see_how_far_it_is() {
    let (_folder, layout) = layout();
    let file = mine(&layout, ID);
    let Begun::Follow(seen) = layout.begin(ID).unwrap() else { panic!("two writers") };
    assert!(layout.is_being_written(ID).unwrap() && !layout.is_being_written(OTHER).unwrap());
    write(&file, b"data");
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Writing(4));
    Layout::mark_verified(&file);
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Verified(4));
    layout.commit(ID, &file).unwrap();
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Finished(4));
}

/// Also those that look when it is no longer there: another wrong one has taken its place, or `invalid/` was emptied.
#[test]
fn all_followers_learn_that_the_data_is_wrong() {
    let (_folder, layout) = layout();
    let fail = || {
        let wrong = mine(&layout, OTHER);
        let Begun::Follow(seen) = layout.begin(OTHER).unwrap() else { panic!("two writers") };
        assert_eq!(layout.writer_state(OTHER, &seen).unwrap(), WriterState::Writing(0));
        layout.invalidate_incomplete(OTHER, &wrong).unwrap();
        seen
    };
    let seen = [fail(), fail()];
    assert_eq!(entries(&layout.base().join("invalid")).unwrap().len(), 1);
    assert!(seen.iter().all(|seen| layout.writer_state(OTHER, seen).unwrap() == WriterState::Invalid));
    assert_eq!(layout.remove_invalid(SystemTime::now() + Duration::from_secs(60)).unwrap(), 1);
    assert!(seen.iter().all(|seen| layout.writer_state(OTHER, seen).unwrap() == WriterState::Invalid));
}

#[test]
fn who_comes_while_a_writer_gives_up_waits_until_it_has() {
    let (_folder, layout) = layout();
    let file = mine(&layout, ID);
    write(&file, b"half");
    let Begun::Follow(seen) = layout.begin(ID).unwrap() else { panic!("two writers") };
    assert!(!Layout::close_to_followers(&file));
    drop(seen);
    assert!(soon(|| Layout::close_to_followers(&file)));
    assert!(matches!(layout.begin(ID).unwrap(), Begun::Wait));
    layout.abandon(ID, &file).unwrap();
    assert_eq!(mine(&layout, ID).metadata().unwrap().len(), 0);
}

#[test]
fn the_file_of_a_dead_writer_that_nobody_follows_is_never_written_to_again() {
    let (_folder, layout) = layout();
    let dead = mine(&layout, ID);
    write(&dead, b"half");
    let seen = File::open(layout.incomplete(ID)).unwrap();
    drop(dead);
    assert!(soon(|| layout.writer_state(ID, &seen).unwrap() == WriterState::Gone));
    let next = mine(&layout, ID);
    assert_eq!(next.metadata().unwrap().len(), 0);
    assert_eq!(seen.metadata().unwrap().len(), 4, "who reads it reads on");
    layout.abandon(ID, &next).unwrap();
    assert!(!is_incomplete(&layout, ID));
    // A file that somebody else has put there since is not ours to move.
    let theirs = mine(&layout, ID);
    layout.abandon(ID, &next).unwrap();
    layout.invalidate_incomplete(ID, &next).unwrap();
    assert!(matches!(layout.commit(ID, &next), Err(CommitError::Removed)) && is_incomplete(&layout, ID));
    layout.commit(ID, &theirs).unwrap();
}

fn followed(layout: &Layout, id: &str) -> Arc<OpenFile> {
    match layout.begin(id).unwrap() {
        Begun::Follow(seen) => seen,
        other => panic!("{other:?}"),
    }
}

/// What comes of the file of a dead writer, once nobody looks at it.
fn taken_over(layout: &Layout, id: &str, seen: &File) -> TakeOver {
    let mut found = TakeOver::Contested;
    soon(|| {
        found = layout.take_over(id, seen).unwrap();
        found != TakeOver::Contested
    });
    found
}

#[test]
fn one_of_its_followers_goes_on_with_the_file_of_a_dead_writer() {
    let (_folder, layout) = layout();
    let dead = mine(&layout, ID);
    layout.set_aside(&dead, 0, 100_000).unwrap();
    write(&dead, b"half");
    let (first, second) = (followed(&layout, ID), followed(&layout, ID));
    assert_eq!(layout.take_over(ID, &first).unwrap(), TakeOver::Contested, "it lives");
    drop(dead);
    assert!(soon(|| layout.writer_state(ID, &first).unwrap() == WriterState::Gone));
    assert!(soon(|| matches!(layout.begin(ID).unwrap(), Begun::Wait)), "a third does not take its name away");
    let TakeOver::Ours(left) = taken_over(&layout, ID, &first) else { panic!("it is lost") };
    assert!(left.written == 4 && left.taken >= 100_000, "{left:?}");
    assert_eq!(layout.take_over(ID, &second).unwrap(), TakeOver::Contested);
    write(&first, b" and half");
    assert_eq!(layout.writer_state(ID, &second).unwrap(), WriterState::Writing(13));
    first.set_len(13).unwrap();
    layout.commit(ID, &first).unwrap();
    assert_eq!(layout.writer_state(ID, &second).unwrap(), WriterState::Finished(13));
    assert_eq!(fs::read(layout.image(ID)).unwrap(), b"half and half");
}

#[test]
fn nobody_goes_on_with_a_file_that_was_removed_or_is_followed_no_more() {
    let (_folder, layout) = layout();
    let dead = mine(&layout, ID);
    write(&dead, b"half");
    let seen = followed(&layout, ID);
    layout.remove(ID).unwrap();
    drop(dead);
    assert_eq!(taken_over(&layout, ID, &seen), TakeOver::Lost);
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Gone, "it is not kept");

    let dead = mine(&layout, OTHER);
    write(&dead, b"half");
    let seen = followed(&layout, OTHER);
    drop(dead);
    Layout::unlock_followed(&seen);
    assert_eq!(mine(&layout, OTHER).metadata().unwrap().len(), 0);
    assert_eq!(seen.metadata().unwrap().len(), 4, "who reads it reads on");
}

/// A file gets its name whatever lies there, and a name alone makes nothing an image.
#[test]
fn a_file_is_moved_and_not_what_has_its_name() {
    let (_folder, layout) = layout();
    let file = mine(&layout, ID);
    write(&file, b"data");
    fs::write(layout.image(ID), b"foreign").unwrap();
    layout.commit(ID, &file).unwrap();
    assert_eq!(fs::read(layout.image(ID)).unwrap(), b"data");
    assert!(!is_incomplete(&layout, ID));
    let other = mine(&layout, OTHER);
    fs::write(layout.invalid(OTHER), b"older").unwrap();
    assert!(!move_own(&other, &layout.image(ID), &layout.invalid(OTHER)).unwrap());
    assert!(is_at(&file, &layout.image(ID)));
    fs::create_dir(layout.invalid(ID)).unwrap();
    layout.invalidate(ID, &file).unwrap_err();
    assert!(is_at(&file, &layout.image(ID)));
}

/// Nothing that is not durable becomes an image of the cache, and who reads behind it in another process learns why.
#[test]
fn what_the_disk_refuses_does_not_come_into_the_cache() {
    let (_folder, layout) = layout();
    let file = mine(&layout, ID);
    write(&file, b"data");
    let Begun::Follow(seen) = layout.begin(ID).unwrap() else { panic!("two writers") };
    Layout::mark_verified(&file);
    let fault = || io::Error::from_raw_os_error(libc::EIO);
    let refused = layout.commit_with(ID, &file, |_| {
        assert!(layout.image(ID).try_exists().unwrap(), "its name is there, and may not be durable");
        Err(fault())
    });
    assert!(matches!(refused, Err(CommitError::NotDurable(_))), "{refused:?}");
    assert!(layout.open(ID).unwrap().is_none() && layout.images().unwrap().is_empty());
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Verified(4));
    layout.abandon_refused(ID, &file).unwrap();
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Refused);
    drop(file);
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Refused);
    // Nor does it pass for durable where its name cannot be taken away again, as here, where a folder is in the place of the file.
    fs::create_dir(layout.incomplete(OTHER)).unwrap();
    let folder = File::open(layout.incomplete(OTHER)).unwrap();
    let refused = layout.commit_with(OTHER, &folder, |_| Err(fault()));
    assert!(matches!(refused, Err(CommitError::NotDurable(_))), "{refused:?}");
    assert!(layout.image(OTHER).try_exists().unwrap());
    // What cannot be synchronised at all: as with a disk that gives errors.
    let (_reading, pipe) = io::pipe().unwrap();
    let refused = layout.commit(ID, &File::from(std::os::fd::OwnedFd::from(pipe)));
    assert!(matches!(refused, Err(CommitError::NotDurable(_))), "{refused:?}");
}

#[test]
fn what_is_read_is_not_evicted() {
    let (_folder, layout) = layout();
    filled(&layout, ID, b"data");
    let reading = layout.open(ID).unwrap().unwrap();
    assert_eq!(layout.evict(ID).unwrap(), Evicted::InUse);
    drop(reading);
    assert!(soon(|| layout.evict(ID).unwrap() == Evicted::Removed(4)));
    assert_eq!(layout.evict(ID).unwrap(), Evicted::Absent);
    assert!(layout.open(ID).unwrap().is_none());
}

/// Else NFS refuses to lock it for one alone.
#[test]
fn what_is_to_be_removed_is_opened_for_writing() {
    let (_folder, layout) = layout();
    filled(&layout, ID, b"data");
    let file = removal::open_to_lock(&layout.image(ID)).unwrap();
    let flags = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    assert_eq!(flags & libc::O_ACCMODE, libc::O_RDWR);
}

#[test]
fn what_is_not_an_image_is_left_alone() {
    let (_folder, layout) = layout();
    fs::write(layout.base().join("cache.db"), b"index").unwrap();
    fs::create_dir(layout.image(ID)).unwrap();
    assert_eq!(layout.open(ID).unwrap_err().kind(), io::ErrorKind::InvalidData);
    std::os::unix::fs::symlink("/etc/passwd", layout.image(OTHER)).unwrap();
    assert_eq!(layout.open(OTHER).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(layout.images().unwrap().is_empty());
    for id in [ID, OTHER] {
        assert!(matches!(layout.begin(id).unwrap(), Begun::Foreign(_)), "{id}");
        assert!(!is_incomplete(&layout, id), "asking leaves nothing behind");
    }
    // Nor does it become one because an image is to be written in its place.
    for id in [ID, OTHER] {
        fs::remove_dir(layout.image(id)).or_else(|_| fs::remove_file(layout.image(id))).unwrap();
    }
    fs::create_dir(layout.incomplete(ID)).unwrap();
    nix::unistd::mkfifo(&layout.incomplete(OTHER), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for id in [ID, OTHER] {
        assert!(matches!(layout.begin(id).unwrap(), Begun::Foreign(_)) && is_incomplete(&layout, id), "{id}");
    }
    for (text, expected) in [(ID, true), ("cache.db", false), ("../../etc/passwd", false), ("", false)] {
        assert_eq!(is_id(text), expected, "{text}");
    }
}

#[test]
fn usage_counts_what_is_set_aside() {
    let (_folder, layout) = layout();
    filled(&layout, ID, &[7; 1000]);
    assert_eq!(layout.usage().unwrap(), Usage { total: 1000, incomplete: 0 });
    let file = mine(&layout, OTHER);
    write(&file, &[7; 10_000]);
    let before = layout.usage().unwrap();
    assert!((11_000..30_000).contains(&before.total) && before.incomplete == before.total - 1000, "{before:?}");
    fs::hard_link(layout.incomplete(OTHER), layout.image(OTHER)).unwrap();
    assert_eq!(layout.usage().unwrap(), before, "what is seen in two places as it moves counts once");
    fs::remove_file(layout.image(OTHER)).unwrap();
    layout.invalidate_incomplete(OTHER, &file).unwrap();
    assert_eq!(layout.usage().unwrap(), Usage { incomplete: 0, ..before }, "what is invalid takes its room");
}

#[test]
fn stalled_files_go_and_living_ones_stay() {
    let (_folder, layout) = layout();
    let living = mine(&layout, ID);
    drop(mine(&layout, OTHER));
    let later = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(layout.remove_stalled(SystemTime::now() - Duration::from_secs(60)).unwrap(), 0);
    assert!(soon(|| layout.remove_stalled(later).unwrap() == 1));
    assert!(is_incomplete(&layout, ID) && !is_incomplete(&layout, OTHER));
    drop(living);
    assert!(soon(|| layout.remove_stalled(later).unwrap() == 1));
}

/// However urgently room is wanted. Only one that could go on and does not, because it is stopped, keeps no file for ever.
#[test]
fn what_a_follower_is_about_to_go_on_with_stays() {
    let (_folder, layout) = layout();
    let dead = mine(&layout, ID);
    write(&dead, b"half");
    let seen = followed(&layout, ID);
    drop(dead);
    assert!(soon(|| layout.writer_state(ID, &seen).unwrap() == WriterState::Gone));
    let later = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(layout.remove_stalled(later).unwrap(), 0);
    seen.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    assert!(matches!(taken_over(&layout, ID, &seen), TakeOver::Ours(Left { written: 4, .. })));
    assert_eq!(layout.remove_stalled(later).unwrap(), 0, "it is written");
    seen.unlock().unwrap();
    assert_eq!(
        layout.remove_stalled(SystemTime::now() - Duration::from_secs(30)).unwrap(),
        0,
        "it was just taken over"
    );

    seen.set_modified(SystemTime::now() - 3 * FROZEN).unwrap();
    assert!(soon(|| layout.remove_stalled(later).unwrap() == 1));
}

/// It cannot become an image: its data was found wrong before its writer died.
#[test]
fn nobody_goes_on_with_a_file_that_was_found_wrong() {
    let (_folder, layout) = layout();
    let dead = mine(&layout, ID);
    write(&dead, b"half");
    let _seen = followed(&layout, ID);
    assert!(Layout::has_heir(&dead));
    add_mode(&dead, REFUTED).unwrap();
    assert!(!Layout::has_heir(&dead));
}

/// They take the rest from the store, and would wait for whoever still reads what there is.
#[test]
fn followers_learn_at_once_that_a_file_was_given_up() {
    let (_folder, layout) = layout();
    let file = mine(&layout, ID);
    write(&file, b"half");
    let seen = followed(&layout, ID);
    let read = Arc::clone(&file);
    layout.abandon(ID, &file).unwrap();
    drop(file);
    assert_eq!(layout.writer_state(ID, &seen).unwrap(), WriterState::Gone);
    assert_eq!(layout.take_over(ID, &seen).unwrap(), TakeOver::Lost);
    assert_eq!(read.metadata().unwrap().len(), 4);
}

#[test]
fn queued_images_are_told_in_their_order() {
    let (_folder, layout) = layout();
    layout.queue(ID).unwrap();
    layout.queue(OTHER).unwrap();
    let older = File::options().write(true).open(layout.queue_entry(OTHER)).unwrap();
    older.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
    assert_eq!(layout.queued().unwrap(), [OTHER, ID]);
    assert!(layout.unqueue(OTHER).unwrap() && !layout.unqueue(OTHER).unwrap());
    assert_eq!(layout.queued().unwrap(), [ID]);
}
