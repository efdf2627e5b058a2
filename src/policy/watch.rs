//! Whether policy files may have changed since they were looked at, without looking at them.
//!
//! inotify(7) notes a change before the call that makes it returns, so that whoever asks later is told. What is watched is every
//! step on the way to a file: the directories for the name of the next step, links with all that they lead to, the file
//! itself. So a file is noticed that is written to, replaced, or not there yet, and a directory or link that is exchanged above it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

/// Notices changes. Not all file systems tell of all changes (network file systems do not, of those made by other machines).
#[derive(Debug)]
pub(super) struct Watch {
    /// `None` where there is none to be had.
    inotify: Option<Inotify>,
    watched: Mutex<Watched>,
    /// Whether everything that should be watched is.
    complete: AtomicBool,
    /// The log has been told that something is not.
    told: AtomicBool,
}

type Watched = HashMap<WatchDescriptor, Interest>;

/// Which events of a watched file or directory matter; those about itself always do.
#[derive(Debug, Default)]
struct Interest {
    names: HashSet<OsString>,
    /// All files in it but hidden ones.
    files: bool,
}

/// Links that are followed for one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// More than that would be a directory full of something else.
const MAX_WATCHES: usize = 1000;

/// Reads of events at a time; what remains is read the next time.
const MAX_READS: usize = 256;

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        let watch = Self { inotify: None, ..Self::without_inotify() };
        match inotify {
            Ok(inotify) => Self { inotify: Some(inotify), ..watch },
            Err(error) => {
                watch.tell(error);
                watch
            }
        }
    }

    /// Notices nothing.
    pub(super) fn without_inotify() -> Self {
        let (complete, told) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inotify: None, watched: Mutex::default(), complete, told }
    }

    /// Whether something may have happened: one call that does not block. Stays true until [`Watch::take`].
    pub(super) fn has_events(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) != Ok(0)
    }

    /// Whether changes on this machine are sure to be noticed.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }

    /// Takes the events; whether one of them is about what is watched for.
    pub(super) fn take(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut relevant = false;
        for _ in 0..MAX_READS {
            match inotify.read_events() {
                Ok(events) => relevant |= events.iter().any(|event| is_relevant(&watched, event)),
                Err(Errno::EAGAIN) => return relevant,
                Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
        // So many events hide others.
        true
    }

    /// Watches for changes of these files, and of the files of these directories, from now on. Whatever changes while this runs
    /// is noticed, or is there already when the files are looked at afterwards.
    pub(super) fn set<'a>(
        &self,
        files: impl IntoIterator<Item = &'a PathBuf>,
        directories: impl IntoIterator<Item = &'a PathBuf>,
    ) {
        let Some(inotify) = &self.inotify else { return };
        let mut walk = Walk { inotify, watched: Watched::new(), failure: None };
        for file in files {
            walk.to(file, false);
        }
        for directory in directories {
            walk.to(directory, true);
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for wd in watched.keys().filter(|wd| !walk.watched.contains_key(wd)) {
            // One that went away with what it watched is no longer there to be removed.
            let _: Result<(), Errno> = inotify.rm_watch(*wd);
        }
        *watched = walk.watched;
        self.complete.store(walk.failure.is_none(), Ordering::Relaxed);
        if let Some(error) = walk.failure {
            self.tell(error);
        }
    }

    fn tell(&self, error: Errno) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "policy files cannot be watched by inotify, they are looked at once a second instead");
        }
    }
}

fn is_relevant(watched: &Watched, event: &InotifyEvent) -> bool {
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        return true;
    }
    let Some(interest) = watched.get(&event.wd) else { return false };
    let Some(name) = &event.name else { return true };
    interest.files && !name.as_encoded_bytes().starts_with(b".") || interest.names.contains(name)
}

/// Watches what it passes.
struct Walk<'a> {
    inotify: &'a Inotify,
    watched: Watched,
    /// Why something could not be watched that should.
    failure: Option<Errno>,
}

impl Walk<'_> {
    /// From the root to what the path leads to, as far as that exists. Each directory is watched before the name in it is looked
    /// up, so that no change falls in between.
    fn to(&mut self, path: &Path, is_directory: bool) {
        let Ok(path) = std::path::absolute(path) else { return };
        let mut at = PathBuf::from("/");
        let mut steps = steps(&path);
        let mut links = 0;
        while let Some(step) = steps.pop() {
            if step == ".." {
                at.pop();
                continue;
            }
            self.directory(&at, |interest| {
                interest.names.insert(step.clone());
            });
            let next = at.join(&step);
            let Ok(found) = fs::symlink_metadata(&next) else { return };
            if !found.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            let Ok(target) = fs::read_link(&next) else { return };
            if links > MAX_LINKS {
                return;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            steps.extend(self::steps(&target));
        }
        if !is_directory {
            self.file(&at);
        } else if self.directory(&at, |interest| interest.files = true) {
            self.files_of(&at);
        }
    }

    fn files_of(&mut self, directory: &Path) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_name().as_encoded_bytes().starts_with(b".") && !entry.path().is_dir() {
                self.to(&entry.path(), false);
            }
        }
    }

    fn directory(&mut self, path: &Path, note: impl FnOnce(&mut Interest)) -> bool {
        let mask = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        self.add(path, mask, note)
    }

    fn file(&mut self, path: &Path) {
        let mask = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        self.add(path, mask, |_| {});
    }

    fn add(&mut self, path: &Path, mask: AddWatchFlags, note: impl FnOnce(&mut Interest)) -> bool {
        if self.watched.len() >= MAX_WATCHES {
            self.failure = Some(Errno::ENOSPC);
            return false;
        }
        match self.inotify.add_watch(path, mask | AddWatchFlags::IN_DONT_FOLLOW) {
            Ok(wd) => note(self.watched.entry(wd).or_default()),
            // It went away, or is no directory any more: the directory above it tells.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return false,
            // What may not be read is not used either, but for a directory that may be passed without being listed.
            Err(Errno::EACCES)
                if !mask.contains(AddWatchFlags::IN_ONLYDIR) || fs::metadata(path.join(".")).is_err() =>
            {
                return false;
            }
            Err(error) => {
                self.failure = Some(error);
                return false;
            }
        }
        true
    }
}

/// The names of a path, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let mut steps: Vec<OsString> = path
        .components()
        .filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir))
        .map(|step| step.as_os_str().to_owned())
        .collect();
    steps.reverse();
    steps
}
