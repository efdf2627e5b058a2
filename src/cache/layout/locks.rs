//! What the writer of an incomplete file and those who follow it in other processes tell each other.
//!
//! They do so by locks on three bytes of the file: open file description locks (fcntl_locking(2)), which end with their process and, on
//! local file systems, know nothing of flock(2). On NFS flock(2) is such a lock on all bytes: followers cannot be seen there.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, flock};

/// Whoever follows the writer holds a read lock on this byte. A writer that gives up takes a write lock, which it gets only while nobody
/// follows, and which keeps others from beginning to.
const FOLLOWED: i64 = 0;

/// The writer holds a write lock on this byte once all bytes are written and found right.
const VERIFIED: i64 = 1;

/// The writer holds a write lock on this byte once it gives [signs](super::Layout::beat) that its process runs. It is not beside the other: the
/// kernel makes one lock of two that touch each other, and neither would be found.
const BEATING: i64 = 3;

/// Lets the writer know that the file is read behind it, until the file is closed. False: the writer is giving up.
///
/// # Errors
/// Those of fcntl(2): the file system has no such locks.
pub(super) fn follow(file: &File) -> io::Result<bool> {
    if set(file, libc::F_RDLCK, FOLLOWED)? {
        return Ok(true);
    }
    // A lock on more than the one byte is that of flock(2).
    Ok(conflict(file, libc::F_RDLCK, FOLLOWED)?.is_some_and(|lock| lock.l_len != 1))
}

/// Keeps everybody from following; false: somebody does already.
///
/// # Errors
/// Those of fcntl(2): the file system has no such locks.
pub(super) fn close_to_followers(file: &File) -> io::Result<bool> {
    set(file, libc::F_WRLCK, FOLLOWED)
}

/// Whether somebody follows, or did when the writer died.
pub(super) fn is_followed(file: &File) -> bool {
    let found = conflict(file, libc::F_WRLCK, FOLLOWED).unwrap_or(None);
    found.is_some_and(|lock| lock.l_start == FOLLOWED && lock.l_len == 1)
}

/// Undoes [`follow`] and [`close_to_followers`].
///
/// # Errors
/// Those of fcntl(2).
pub(super) fn unlock_followed(file: &File) -> io::Result<()> {
    set(file, libc::F_UNLCK, FOLLOWED).map(drop)
}

/// Lets the followers know that all bytes are there and right.
///
/// # Errors
/// Those of fcntl(2): the file system has no such locks.
pub(super) fn mark_verified(file: &File) -> io::Result<()> {
    set(file, libc::F_WRLCK, VERIFIED).map(drop)
}

/// Whether the writer says that all bytes are there and right.
///
/// # Errors
/// Those of fcntl(2): the file system has no such locks.
pub(super) fn is_verified(file: &File) -> io::Result<bool> {
    is_said(file, VERIFIED)
}

/// Promises the followers signs that the process of the writer runs. False: another says that it is the writer.
///
/// # Errors
/// Those of fcntl(2): the file system has no such locks.
pub(super) fn promise_beats(file: &File) -> io::Result<bool> {
    set(file, libc::F_WRLCK, BEATING)
}

/// Whether the writer has promised signs that its process runs.
///
/// # Errors
/// Those of fcntl(2): the file system has no such locks.
pub(super) fn promises_beats(file: &File) -> io::Result<bool> {
    is_said(file, BEATING)
}

/// Whether the writer has locked a byte by which it says something.
fn is_said(file: &File, byte: i64) -> io::Result<bool> {
    Ok(conflict(file, libc::F_RDLCK, byte)?.is_some_and(|lock| lock.l_start == byte && lock.l_len == 1))
}

fn lock(kind: libc::c_int, byte: i64) -> io::Result<flock> {
    let (kind, whence) = (kind.try_into(), libc::SEEK_SET.try_into());
    let (Ok(l_type), Ok(l_whence)) = (kind, whence) else { return Err(io::ErrorKind::InvalidInput.into()) };
    Ok(flock { l_type, l_whence, l_start: byte, l_len: 1, l_pid: 0 })
}

/// False: another open file has a lock that forbids this one.
fn set(file: &File, kind: libc::c_int, byte: i64) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock(kind, byte)?)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The lock of another open file that forbids this one.
fn conflict(file: &File, kind: libc::c_int, byte: i64) -> io::Result<Option<flock>> {
    let mut asked = lock(kind, byte)?;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked))?;
    Ok((i32::from(asked.l_type) != libc::F_UNLCK).then_some(asked))
}

#[cfg(test)]
mod tests {
    use super::super::tests::soon;
    use super::*;

    fn two() -> (tempfile::NamedTempFile, File, File) {
        let place = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(place.path()).unwrap();
        let (writer, follower) = (open(), open());
        writer.try_lock().unwrap();
        (place, writer, follower)
    }

    #[test]
    fn a_writer_gives_up_only_while_nobody_follows() {
        let (place, writer, follower) = two();
        assert!(follow(&follower).unwrap());
        assert!(is_followed(&writer) && !close_to_followers(&writer).unwrap());
        unlock_followed(&follower).unwrap();
        assert!(!is_followed(&writer) && follow(&follower).unwrap());
        drop(follower);
        assert!(soon(|| close_to_followers(&writer).unwrap()));
        let late = File::options().read(true).write(true).open(place.path()).unwrap();
        assert!(!follow(&late).unwrap());
        unlock_followed(&writer).unwrap();
        assert!(follow(&late).unwrap() && !close_to_followers(&writer).unwrap());
    }

    #[test]
    fn followers_learn_that_the_data_is_right() {
        let (_place, writer, follower) = two();
        assert!(follow(&follower).unwrap() && !is_verified(&follower).unwrap());
        mark_verified(&writer).unwrap();
        assert!(is_verified(&follower).unwrap());
        assert!(!promises_beats(&follower).unwrap());
        assert!(promise_beats(&writer).unwrap() && promises_beats(&follower).unwrap());
        assert!(is_verified(&follower).unwrap(), "one says nothing of the other");
        drop(writer);
        assert!(soon(|| !is_verified(&follower).unwrap()), "nothing is known of what a dead writer has said");
        assert!(soon(|| !promises_beats(&follower).unwrap()));
    }

    /// As flock(2) is on NFS.
    #[test]
    fn a_lock_on_all_bytes_says_nothing() {
        let (_place, writer, follower) = two();
        let whole = flock { l_len: 0, ..lock(libc::F_WRLCK, 0).unwrap() };
        fcntl(&writer, FcntlArg::F_OFD_SETLK(&whole)).unwrap();
        assert!(follow(&follower).unwrap() && !is_verified(&follower).unwrap() && !is_followed(&follower));
        assert!(!promises_beats(&follower).unwrap());
    }
}
