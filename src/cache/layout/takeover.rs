//! Going on with the file of a writer that died while others read behind it.

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::reservation::blocks;
use super::writer_state::told;
use super::{Layout, is_at, locks};

/// How long nothing may come from a writer in another process: its file neither grows nor is [touched](Layout::show_life). Then its
/// followers leave it.
pub(in crate::cache) const FROZEN: Duration = Duration::from_secs(300);

/// Between two [signs](Layout::beat) that the process of a writer runs, whatever its store does.
pub(in crate::cache) const BEAT: Duration = Duration::from_secs(2);

/// How long a writer that has promised such signs may give none. Then its followers take it for stopped and leave it.
pub(in crate::cache) const STOPPED: Duration = Duration::from_secs(30);

/// What a writer that died, or whose store broke off, has left of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Left {
    /// Bytes that are in the file. Nobody knows whether they are right.
    pub(in crate::cache) written: u64,
    /// Bytes that the file takes on the disk: those that are in it, or all for which room was set aside.
    pub(in crate::cache) taken: u64,
}

/// What came of asking for a file that nobody writes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum TakeOver {
    /// The caller is its writer now: it holds the lock, and writes on at the end.
    Ours(Left),
    /// Somebody else has it locked, perhaps only to look at it.
    Contested,
    /// It cannot become an image of the cache: its name was removed, or its data was found wrong or refused by the disk.
    Lost,
}

impl Layout {
    /// Asks to go on with the incomplete file of a dead writer that this process has followed.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn take_over(&self, id: &str, file: &File) -> io::Result<TakeOver> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(TakeOver::Contested),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let found = self.look_at(id, file);
        if !matches!(found, Ok(TakeOver::Ours(_))) {
            file.unlock()?;
        }
        found
    }

    /// Keeps followers waiting for the writer of a file that is ours while it does not grow. Whoever only waits has no sign to give.
    pub(in crate::cache) fn show_life(file: &File) {
        // Both times, as whoever may write to a file may set them to now, but only its owner one of them. Where it cannot be done,
        // followers go by the file's length.
        let _ = futimens(file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
    }

    /// Shows the followers of a file that is ours that this process runs, and promises them more such signs. That says nothing of whether
    /// more of the image comes.
    pub(in crate::cache) fn beat(file: &File) {
        let seen = || file.metadata().map(|metadata| Self::changed(&metadata));
        let before = seen();
        // Only the owner of a file may set one of its times alone. Where it cannot be done, or is not seen, as on some mounts in user
        // space, nothing is promised, and followers go by what comes.
        let is_set = futimens(file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_OMIT).is_ok();
        if let (true, Ok(before), Ok(after)) = (is_set, before, seen())
            && before != after
        {
            let _ = locks::promise_beats(file);
        }
    }

    /// Whether the writer of a file that [`Self::begin`] found shows that its process runs.
    pub(in crate::cache) fn promises_beats(file: &File) -> bool {
        locks::promises_beats(file).unwrap_or(false)
    }

    /// When anything of a file was last changed, be it by a [sign](Self::beat) of its writer. Reading changes the time of its last access, but not
    /// this one.
    pub(in crate::cache) fn changed(metadata: &Metadata) -> SystemTime {
        let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::new(seconds, u32::try_from(metadata.ctime_nsec()).unwrap_or(0))
    }

    /// Whether a process that follows the dead writer of a file is about to take that over, as it does within a second. The caller
    /// has the file locked.
    pub(super) fn has_heir(file: &File) -> bool {
        if !locks::is_followed(file) || !told(file).is_ok_and(|told| told.is_none()) {
            return false;
        }
        // One that still has not is stopped, and would keep the file for ever; so would a time that was set by hand.
        let is_late = |changed: SystemTime| match changed.elapsed() {
            Ok(age) => age >= 2 * FROZEN,
            Err(ahead) => ahead.duration() >= 2 * FROZEN,
        };
        !file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(is_late)
    }

    /// What is left in an incomplete file that is locked by the caller, who goes on with it if that can be done.
    ///
    /// # Errors
    /// Those of the file system; the lock stays.
    pub(in crate::cache) fn look_at(&self, id: &str, mut file: &File) -> io::Result<TakeOver> {
        if told(file)?.is_some() || !is_at(file, &self.incomplete(id)) {
            return Ok(TakeOver::Lost);
        }
        let written = file.seek(SeekFrom::End(0))?;
        let metadata = file.metadata()?;
        let noted = self.reservations()?.get(&metadata.ino()).copied().unwrap_or(0);
        // It may be long until there is more of it.
        Self::show_life(file);
        Ok(TakeOver::Ours(Left { written, taken: written.max(blocks(&metadata)).max(noted) }))
    }
}
