//! A record on local disk of all work on image data that is in progress (uploads, staging, imports, deletions), so that a crash leaves
//! nothing behind.
//!
//! The image's row says `saving` while data is written; when a worker is killed nobody would ever turn it back. So the worker holds
//! a file of its own under the state directory that says what it does, where, and under which token the image's row knows
//! it as the owner of the data. The file is locked with flock(2) for as long as the worker lives. The lock goes with the
//! process however it ends, so a file without a lock is work that died: recovery takes the lock, looks at the row, undoes
//! the work if it is that of the token, and removes the file. Several workers of one machine may recover at once, the
//! lock lets one of them have each file.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The form in which this program writes its entries.
const VERSION: u32 = 1;

/// Names of files that are not yet entries end so.
const UNFINISHED: &str = ".new";

/// A file that is still no entry after this time never becomes one.
const UNFINISHED_AGE: Duration = Duration::from_secs(60 * 60);

/// On a file system that several hosts share, their locks may not be seen here. But each host's workers look at the intent log from time to
/// time and renew the time of entries whose workers live. So the entry of another host is taken up when it is older than
/// this: the host has got another name, or is no more. Looks must not be as far apart as this, whatever stores do.
pub const FOREIGN_AGE: Duration = Duration::from_secs(15 * 60);

/// Bytes of the longest entry that is read.
const ENTRY_SIZE: u64 = 1024 * 1024;

/// Characters of a reason that are written down.
const REASON_LENGTH: usize = 2000;

/// The files of one database; workers that share a database and a state directory share them.
#[derive(Clone, Debug)]
pub struct IntentLog {
    folder: PathBuf,
    /// The folder, open for syncing it.
    handle: Arc<File>,
    host: String,
}

/// What is being done with an image's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Intent {
    /// A client's data goes into a store.
    Upload,
    /// A client's data goes into the staging area.
    Stage,
    /// An import writes to stores.
    Import,
    /// A task makes an image.
    Make,
    /// An image's data is removed.
    Delete,
    /// The data at locations is removed that an image no longer has.
    RemoveLocations,
}

/// Under which an image's row knows the owner of its data; no two are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token(String);

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) image_id: String,
    /// `None` in an entry of an earlier build, which is that of an upload or of a deletion and has no token.
    pub(super) work: Option<Work>,
    /// Where the data may lie (URLs).
    pub(super) places: Vec<String>,
}

/// What is done, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) intent: Intent,
    pub(super) token: Token,
    /// Name of the machine.
    pub(super) host: String,
    /// Why nobody goes on with it, where its worker has said so; else the worker has died.
    pub(super) reason: Option<String>,
}

/// Work in progress. Dropping it without [`Entry::finish`] leaves the file for recovery.
#[derive(Debug)]
pub(super) struct Entry {
    path: PathBuf,
    lock: Arc<Lock>,
}

/// Says that the work of an entry goes on. The file is another one once a reason is written down.
#[derive(Debug)]
struct Lock(Mutex<Flock<File>>);

/// What a worker that died left.
#[derive(Debug)]
pub(super) struct Leftover {
    pub(super) record: Record,
    pub(super) entry: Entry,
}

/// An entry that recovery cannot take up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is no regular file")]
    Kind,
    #[error("its name is no text")]
    Name,
    #[error("it is not in a form that this version knows")]
    Form(#[from] serde_json::Error),
    #[error("its form is that of version {0}, and {VERSION} is the last that is known here")]
    Version(u32),
}

/// An entry as it stands in its file.
#[derive(Serialize, Deserialize)]
struct Line {
    version: u32,
    intent: Intent,
    host: String,
    token: Token,
    image: String,
    places: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Token {
    pub(super) fn new() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    /// The token of a task that has an image for itself: its id.
    pub(super) fn of_task(task_id: &str) -> Self {
        Self(task_id.to_owned())
    }

    /// Another one for a machine that takes over the work of a token. It tells whose work it is.
    pub(super) fn successor(&self, host: &str) -> Self {
        Self(format!("{}/{host}/{}", self.task_id(), Uuid::new_v4()))
    }

    /// The id of the task of which this is the token or a successor.
    pub(super) fn task_id(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// Whether a token in a row is this one or a successor.
    pub(super) fn is_or_precedes(&self, owner: &str) -> bool {
        owner.split('/').next() == Some(self.as_str()) || owner == self.as_str()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl IntentLog {
    /// The token of this machine for work that it takes over from another token's.
    pub(super) fn successor(&self, token: &Token) -> Token {
        token.successor(&self.host)
    }

    /// Whether an owner of data has taken it over on another machine.
    pub(super) fn is_taken_elsewhere(&self, owner: &str) -> bool {
        owner.split('/').nth(1).is_some_and(|host| host != self.host)
    }

    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let handle = Arc::new(File::open(&folder)?);
        let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
        Ok(Self { folder, handle, host })
    }

    /// For a program that only reads images: it writes nothing down, and what would have to be written down is refused.
    ///
    /// # Errors
    /// The system has no `/dev/null`.
    pub fn closed() -> io::Result<Self> {
        // Not a folder, so nothing can be made in it.
        let folder = PathBuf::from("/dev/null");
        let handle = Arc::new(File::open(&folder)?);
        Ok(Self { folder, handle, host: String::new() })
    }

    /// Takes over the entries of dead workers from another folder of this file system, where they kept their intent log before. Entries in
    /// use stay, as their workers look for them there. Gives their number. Blocking.
    ///
    /// # Errors
    /// The folder cannot be read, or an entry not be moved; no folder is no error.
    pub fn adopt(&self, former: &Path) -> io::Result<usize> {
        let former = Self { folder: former.to_owned(), ..self.clone() };
        let names = match former.names() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            names => names?,
        };
        let mut adopted = 0;
        for name in names {
            // It is locked until it has moved, so that nobody works on it meanwhile.
            match former.take(&name) {
                Ok(Some(leftover)) => {
                    fs::rename(&leftover.entry.path, self.folder.join(&name))?;
                    adopted += 1;
                }
                Ok(None) => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(entry = %name.display(), error, "an entry of a former intent log stays there");
                }
            }
        }
        if adopted > 0 {
            self.handle.sync_all()?;
        }
        Ok(adopted)
    }

    /// Begins an entry for an image whose data lies, or will lie, at one or several of `places` (URLs). When it returns the
    /// entry is on disk: what the caller does next must not outlive it in a crash of the machine. Blocking.
    ///
    /// # Errors
    /// The file cannot be made; then there is none.
    pub(super) fn begin(
        &self,
        intent: Intent,
        image_id: &str,
        token: &Token,
        places: Vec<String>,
    ) -> io::Result<Entry> {
        let line = Line {
            version: VERSION,
            intent,
            host: self.host.clone(),
            token: token.clone(),
            image: image_id.to_owned(),
            places,
            reason: None,
        };
        let path = self.folder.join(&token.0);
        let unfinished = unfinished(&path);
        match self.write(&line, &unfinished, &path).and_then(|lock| self.handle.sync_all().map(|()| lock)) {
            Ok(lock) => Ok(Entry { path, lock: Arc::new(Lock(Mutex::new(lock))) }),
            Err(error) => {
                // One of the two is there at most. What cannot be removed either says nothing that is true: its token owns nothing.
                let _ = fs::remove_file(&unfinished);
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// Leaves an entry to recovery, and says why. Blocking.
    ///
    /// # Errors
    /// The reason cannot be written down; the entry is left without one.
    pub(super) fn leave(&self, entry: &Entry, reason: &str) -> Result<(), Unreadable> {
        let path = entry.path.as_path();
        let line: Line = serde_json::from_str(&fs::read_to_string(path)?)?;
        let line = Line { reason: Some(reason.chars().take(REASON_LENGTH).collect()), ..line };
        let unfinished = unfinished(path);
        let lock = self.write(&line, &unfinished, path).inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        // Whether or not the new file's name is durable, it is the one that others find.
        *entry.lock.0.lock().unwrap_or_else(PoisonError::into_inner) = lock;
        Ok(self.handle.sync_all()?)
    }

    /// An entry has its name only when all of it is there, so that none is ever found half written. The name itself is not durable yet.
    fn write(&self, line: &Line, unfinished: &Path, path: &Path) -> io::Result<Flock<File>> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(unfinished)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))?;
        (&*lock).write_all(format!("{}\n", serde_json::to_string(line)?).as_bytes())?;
        lock.sync_all()?;
        fs::rename(unfinished, path)?;
        Ok(lock)
    }

    /// The names of all entries there are, be they at work or left. Blocking.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for item in fs::read_dir(&self.folder)? {
            let name = item?.file_name();
            if name.as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
                self.drop_unfinished(&name);
            } else {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The names of the entries that somebody must take up, or cannot; the time of those whose worker lives is renewed. Waits for no
    /// store: other hosts hear of living workers even while cleaning up hangs. Blocking.
    ///
    /// # Errors
    /// As [`Self::names`].
    pub(super) fn unattended(&self) -> io::Result<Vec<OsString>> {
        let mut names = self.names()?;
        // The lock is let go until the turn of the entry comes: after a large crash there may be more than descriptors.
        names.retain(|name| !matches!(self.take(name), Ok(None)));
        Ok(names)
    }

    /// Whether there is an entry under this token, be it at work or left. Blocking.
    pub(super) fn has(&self, token: &Token) -> bool {
        // One that cannot be looked at is there.
        self.folder.join(token.as_str()).try_exists().unwrap_or(true)
    }

    fn drop_unfinished(&self, name: &OsStr) {
        let path = self.folder.join(name);
        let is_old = fs::symlink_metadata(&path).is_ok_and(|metadata| is_older(&metadata, UNFINISHED_AGE));
        if is_old && let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an unfinished entry of the intent log");
        }
    }

    /// Takes up the entry of this name, locked for the caller. `None` if its worker lives, which renews the entry's time, or may live on
    /// another host, or it is gone. Blocking.
    ///
    /// # Errors
    /// Why nobody can take it up.
    pub(super) fn take(&self, name: &OsStr) -> Result<Option<Leftover>, Unreadable> {
        let path = self.folder.join(name);
        // O_NONBLOCK: opening a pipe must not wait for its writer.
        let opened =
            File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(Unreadable::Kind),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(Unreadable::Kind);
        }
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => {
                file.set_modified(SystemTime::now())?;
                return Ok(None);
            }
            Err((_, errno)) => return Err(io::Error::from(errno).into()),
        };
        // Its worker may have finished between the open and the lock: then the name is gone, or is another file.
        if !same_file(&path, &lock)? {
            return Ok(None);
        }
        let mut text = String::new();
        (&*lock).take(ENTRY_SIZE).read_to_string(&mut text)?;
        let record = read(name, &text)?;
        let is_foreign = record.work.as_ref().is_some_and(|work| work.host != self.host);
        if is_foreign && !is_older(&lock.metadata()?, FOREIGN_AGE) {
            return Ok(None);
        }
        let lock = Arc::new(Lock(Mutex::new(lock)));
        Ok(Some(Leftover { record, entry: Entry { path, lock } }))
    }
}

impl Entry {
    /// What says that the work goes on, for those who do it: the entry is theirs as long as one of them has it.
    pub(super) fn lock(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::<Lock>::clone(&self.lock)
    }

    /// The work is done, or undone: the file goes. Blocking.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(super) fn finish(self) -> io::Result<()> {
        let removed = fs::remove_file(&self.path);
        drop(self.lock);
        removed
    }
}

/// Where an entry is while it is written.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// An earlier build named the file after the image and wrote nothing but the places, one a line.
fn read(name: &OsStr, text: &str) -> Result<Record, Unreadable> {
    if !text.starts_with('{') {
        let image_id = name.to_str().ok_or(Unreadable::Name)?.to_owned();
        return Ok(Record { image_id, work: None, places: text.lines().map(str::to_owned).collect() });
    }
    let Version { version } = serde_json::from_str(text)?;
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let Line { intent, host, token, image, places, reason, .. } = serde_json::from_str(text)?;
    Ok(Record { image_id: image, work: Some(Work { intent, token, host, reason }), places })
}

fn is_older(metadata: &fs::Metadata, age: Duration) -> bool {
    metadata.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|elapsed| elapsed > age)
}

fn same_file(path: &Path, file: &File) -> io::Result<bool> {
    let named = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let held = file.metadata()?;
    Ok(named.ino() == held.ino() && named.dev() == held.dev())
}

#[cfg(test)]
mod tests;
