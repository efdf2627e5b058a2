//! The blocking half of a write: what happens on the store's threads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::uio::pwritev;

use super::super::context::Kept;
use super::super::pool::Pool;
use super::super::strand::Consumer;
use super::super::writer::{Message, Published};
use super::super::zeros::is_zero;
use super::super::{Removal, StoreError};
use super::draft::Draft;
use super::publish::PublishError;
use crate::sys::write_back::{start_write_back, wait_write_back};

/// One system call writes at most this much, from at most as many pieces as the kernel takes (`IOV_MAX`). Many kernels let nobody else have
/// the processor until a call has ended.
const RUN_BYTES: usize = 256 * 1024;
const RUN_PIECES: usize = 1024;

/// Dirty data of one upload: what lies further back than this must have reached the disk before more is written. So the last
/// fsync has little left to do, and a fast client cannot fill the page cache of a slow disk.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

/// As soon as so much is dirty, its way to the disk begins: what the kernel does when data has arrived there comes in small doses then, and
/// keeps the processor from others for a tenth of a millisecond rather than one. It is enough for a disk that has to move its head.
const STARTED: u64 = 4 * 1024 * 1024;

/// So much of it is handed to the disk by one system call, for the same reason as with [`RUN_BYTES`].
const HANDED: u64 = 512 * 1024;

/// Space is reserved this far ahead, not for the whole announced size: a client that announces a terabyte and stalls must
/// not lock others out.
const RESERVE: u64 = 256 * 1024 * 1024;

/// A zero piece smaller than this is written: a hole of less than a page saves nothing.
const SMALLEST_HOLE: usize = 4096;

/// A file being written.
pub(super) struct Recording {
    pub(super) draft: Option<Draft>,
    /// Final path.
    pub(super) path: String,
    /// Bytes announced; 0 when unknown.
    pub(super) announced: u64,
    /// With thin provisioning: the size of the blocks that are looked at for zeros.
    pub(super) thin: Option<usize>,
    /// Mode of the file, where the configuration gives one.
    pub(super) permissions: Option<u32>,
    pub(super) pool: Arc<Pool>,
    pub(super) progress: Progress,
    /// Last, so that it goes when nothing is left of a write that was given up.
    pub(super) kept: Kept,
}

#[derive(Default)]
pub(super) struct Progress {
    /// Bytes taken.
    end: u64,
    /// The file has its space up to here.
    reserved: u64,
    /// The file system cannot reserve.
    no_reserve: bool,
    /// Write-back has been started up to here, and is over up to [`WRITE_BACK`] before.
    started: u64,
    /// The file system has no write-back of parts.
    no_write_back: bool,
    write_back: WriteBack,
}

/// Write-back of a part of a file, from an offset on so many bytes.
struct WriteBack {
    start: fn(&File, u64, u64) -> io::Result<()>,
    wait: fn(&File, u64, u64) -> io::Result<()>,
}

impl Default for WriteBack {
    fn default() -> Self {
        Self { start: start_write_back, wait: wait_write_back }
    }
}

impl Consumer for Recording {
    type Message = Message;
    type Error = StoreError;

    fn consume(&mut self, messages: VecDeque<Message>) -> Result<(), StoreError> {
        let mut run = Run { at: self.progress.end, length: 0, pieces: Vec::new() };
        for message in messages {
            match message {
                Message::Data(data) => self.take(&mut run, data)?,
                Message::Flush => self.write(&mut run)?,
                Message::Commit(reply) => {
                    self.write(&mut run)?;
                    // When nobody waits any more, the answer is dropped and with it the file.
                    let _ = reply.send(self.commit());
                }
                Message::Abort(reply) => {
                    self.draft = None;
                    let _ = reply.send(Ok(()));
                }
            }
        }
        self.write(&mut run)
    }
}

/// Adjacent pieces that one call can write.
struct Run {
    at: u64,
    length: usize,
    pieces: Vec<Bytes>,
}

impl Recording {
    /// Reserves the first part of the announced space, so that a disk that is nearly full is noticed before any data is taken.
    pub(super) fn prepare(&mut self) -> Result<(), StoreError> {
        if self.announced > 0 {
            self.reserve(self.announced.min(RESERVE))?;
        }
        Ok(())
    }

    fn take(&mut self, run: &mut Run, mut data: Bytes) -> Result<(), StoreError> {
        while !data.is_empty() {
            let block = self.thin.unwrap_or(RUN_BYTES);
            // Blocks are counted from the start of the file, so that holes fall together with those of the file system.
            let within = usize::try_from(self.progress.end % block as u64).unwrap_or(0);
            let piece = data.split_to((block - within).min(data.len()));
            let length = piece.len();
            if self.thin.is_some() && length >= SMALLEST_HOLE && is_zero(&piece) {
                self.write(run)?;
                run.at += length as u64;
            } else {
                run.length += length;
                run.pieces.push(piece);
            }
            self.progress.end += length as u64;
            if run.length >= RUN_BYTES || run.pieces.len() >= RUN_PIECES {
                self.write(run)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, run: &mut Run) -> Result<(), StoreError> {
        if run.pieces.is_empty() {
            return Ok(());
        }
        let pieces = std::mem::take(&mut run.pieces);
        let end = run.at + std::mem::take(&mut run.length) as u64;
        self.reserve(end)?;
        let fault = |source| StoreError::writing(|| format!("writing {}", self.path), source);
        let Some(draft) = &self.draft else { return Err(fault(io::Error::from(io::ErrorKind::NotConnected))) };
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut slices = slices.as_mut_slice();
        while run.at < end {
            match pwritev(draft.file(), slices, i64::try_from(run.at).unwrap_or(i64::MAX)) {
                Ok(0) => return Err(fault(io::Error::from(io::ErrorKind::WriteZero))),
                Ok(written) => {
                    IoSlice::advance_slices(&mut slices, written);
                    run.at += written as u64;
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(fault(error.into())),
            }
        }
        self.write_back(end).map_err(|source| StoreError::writing(|| format!("writing back {}", self.path), source))
    }

    /// Sees that the file has space up to `end`, in large steps.
    fn reserve(&mut self, end: u64) -> Result<(), StoreError> {
        let Progress { reserved, no_reserve, .. } = &mut self.progress;
        let Some(draft) = &self.draft else { return Ok(()) };
        if *no_reserve || self.thin.is_some() || end <= *reserved || *reserved >= self.announced {
            return Ok(());
        }
        let length = RESERVE.max(end - *reserved).min(self.announced - *reserved);
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match fallocate(draft.file(), FallocateFlags::FALLOC_FL_KEEP_SIZE, signed(*reserved), signed(length)) {
            Ok(()) => *reserved += length,
            Err(Errno::EINTR) => {}
            Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => {
                return Err(StoreError::Full { source: Some(error.into()) });
            }
            Err(_) => *no_reserve = true,
        }
        Ok(())
    }

    /// Has the disk keep pace. A refusal to start says nothing about the data: the last fsync(2) writes what is left. But an error that
    /// waiting tells is one of writing, and the kernel tells each of those once to a descriptor: that fsync would not.
    fn write_back(&mut self, end: u64) -> io::Result<()> {
        let Progress { started, no_write_back, write_back, .. } = &mut self.progress;
        let Some(draft) = &self.draft else { return Ok(()) };
        if *no_write_back || end < *started + STARTED {
            return Ok(());
        }
        let mut steps = (*started..end).step_by(HANDED as usize);
        if let Err(error) = steps.try_for_each(|at| (write_back.start)(draft.file(), at, HANDED.min(end - at))) {
            tracing::debug!(path = self.path, %error, "the file system writes no parts of a file back");
            *no_write_back = true;
            return Ok(());
        }
        let [over, behind] = [*started, end].map(|end| end.saturating_sub(WRITE_BACK));
        *started = end;
        if behind > over {
            (write_back.wait)(draft.file(), over, behind - over)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Published, StoreError> {
        let fault = |source| StoreError::writing(|| format!("finishing {}", self.path), source);
        let Some(draft) = self.draft.take() else { return Err(fault(io::Error::from(io::ErrorKind::NotConnected))) };
        if self.thin.is_some() {
            // A hole at the end exists by the file's size alone.
            draft.file().set_len(self.progress.end).map_err(fault)?;
        }
        if let Some(mode) = self.permissions
            && let Err(error) = draft.file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
        {
            tracing::warn!(path = self.path, %error, "unable to set the permissions of an image");
        }
        let identity = draft.publish().map_err(|error| unpublished(&self.path, error))?;
        let (path, kept) = (self.path.clone(), self.kept.clone());
        Ok(Published::new(Arc::clone(&self.pool), move || {
            match identity.remove(Path::new(&path)) {
                Ok(Removal::Removed) => {}
                Ok(Removal::Another) => tracing::warn!(
                    path,
                    "image data that nobody waited for stays, as it may be another's by now; recovery removes what belongs to no image"
                ),
                Ok(Removal::Missing) => tracing::warn!(path, "image data that nobody waited for is not there any more"),
                Err(error) => tracing::error!(path, %error, "cannot remove image data that nobody waited for"),
            }
            // Whoever gave the write up has left its entry of the intent log, which recovery may take from here on.
            drop(kept);
        }))
    }
}

/// Where the file may have got its name, its image must not be uploaded again before somebody has removed it.
fn unpublished(path: &str, error: PublishError) -> StoreError {
    let fault = |source| StoreError::writing(|| format!("finishing {path}"), source);
    match error {
        PublishError::NotNamed(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            StoreError::Duplicate { image: path.to_owned() }
        }
        PublishError::NotNamed(error) => fault(error),
        PublishError::Unknown(error) => StoreError::LeftBehind(Box::new(fault(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::io::Write;
    use std::sync::mpsc;
    use std::time::{Duration, SystemTime};

    use super::super::draft::Kind;
    use super::*;

    fn recording(folder: &Path, pool: &Arc<Pool>, data: &[u8]) -> Recording {
        let draft = Draft::create(folder, "image", Kind::Named).unwrap();
        draft.file().write_all(data).unwrap();
        Recording {
            draft: Some(draft),
            path: folder.join("image").to_str().unwrap().to_owned(),
            announced: 0,
            thin: None,
            permissions: None,
            pool: Arc::clone(pool),
            progress: Progress::default(),
            kept: None,
        }
    }

    #[test]
    fn a_refused_write_back_breaks_no_upload_and_an_error_of_the_disk_does() {
        let (place, pool) = (tempfile::tempdir().unwrap(), Pool::new("test", 1));
        let with = |write_back| {
            let mut recording = recording(place.path(), &pool, b"data");
            recording.progress.write_back = write_back;
            (recording.write_back(WRITE_BACK).and_then(|()| recording.write_back(2 * WRITE_BACK)), recording)
        };
        let refused = |_: &File, _, _| Err(io::Error::from_raw_os_error(libc::EPERM));
        let (outcome, recording) = with(WriteBack { start: refused, wait: |_, _, _| Ok(()) });
        assert!(outcome.is_ok() && recording.progress.no_write_back, "{outcome:?}");
        let lost = |_: &File, _, length| match length {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::EDQUOT)),
        };
        let (outcome, _) = with(WriteBack { start: |_, _, _| Ok(()), wait: lost });
        assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::EDQUOT));
    }

    #[test]
    fn the_disk_gets_data_in_small_doses_and_is_waited_for_far_behind() {
        thread_local! {
            static CALLS: RefCell<Vec<(bool, u64, u64)>> = RefCell::default();
        }
        let (place, pool) = (tempfile::tempdir().unwrap(), Pool::new("test", 1));
        let mut recording = recording(place.path(), &pool, b"data");
        let start = |_: &File, at, length| {
            CALLS.with_borrow_mut(|calls| calls.push((true, at, length)));
            Ok(())
        };
        let wait = |_: &File, at, length| {
            CALLS.with_borrow_mut(|calls| calls.push((false, at, length)));
            Ok(())
        };
        recording.progress.write_back = WriteBack { start, wait };
        let mut after = |end| {
            recording.write_back(end).unwrap();
            CALLS.take()
        };
        assert_eq!(after(STARTED - 1), []);
        let doses =
            |from: u64, to: u64| (from..to).step_by(HANDED as usize).map(move |at| (true, at, HANDED.min(to - at)));
        assert_eq!(after(STARTED + 5), doses(0, STARTED + 5).collect::<Vec<_>>());
        assert_eq!(after(STARTED + 5), []);
        assert_eq!(after(WRITE_BACK), doses(STARTED + 5, WRITE_BACK).collect::<Vec<_>>());
        for times in 0..3 {
            let begun = WRITE_BACK + times * STARTED;
            let waited = [(false, times * STARTED, STARTED)];
            assert_eq!(after(begun + STARTED), doses(begun, begun + STARTED).chain(waited).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_nobody_waited_for_goes_and_a_later_file_of_its_name_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("image");
        let pool = Pool::new("test", 1);
        let publish = || recording(place.path(), &pool, b"ours").commit().unwrap();
        let undo = |published: Published| {
            drop(published);
            // There is one thread.
            let (done, wait) = mpsc::channel();
            assert!(pool.submit(Box::new(move || done.send(()).unwrap())).is_ok());
            wait.recv().unwrap();
        };
        undo(publish());
        assert!(!path.try_exists().unwrap());

        let published = publish();
        fs::remove_file(&path).unwrap();
        // Many file systems give it the number of the one that has gone.
        let mut later = File::create_new(&path).unwrap();
        later.write_all(b"another host's").unwrap();
        later.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
        undo(published);
        assert_eq!(fs::read(&path).unwrap(), b"another host's");
    }

    #[test]
    fn a_file_that_may_have_got_its_name_is_left_behind() {
        let error = io::Error::from_raw_os_error;
        for errno in [libc::EIO, libc::ESTALE, libc::EEXIST, libc::ENOSPC] {
            let outcome = unpublished("/images/one", PublishError::Unknown(error(errno)));
            assert!(matches!(outcome, StoreError::LeftBehind(_)), "{errno}: {outcome:?}");
        }
        let outcome = |errno| unpublished("/images/one", PublishError::NotNamed(error(errno)));
        assert!(matches!(outcome(libc::EIO), StoreError::Io { .. }));
        assert!(matches!(outcome(libc::EACCES), StoreError::WriteDenied { .. }));
        assert!(matches!(outcome(libc::ENOSPC), StoreError::Full { .. }));
        assert!(matches!(outcome(libc::EEXIST), StoreError::Duplicate { image } if image == "/images/one"));
    }
}
