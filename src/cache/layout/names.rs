//! Files, and what has their names.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

/// Whether a file has this name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (own.dev(), own.ino()) == (there.dev(), there.ino())
}

/// Gives a file that is ours another name, in place of whatever has it. False: somebody has taken its name away.
pub(super) fn move_own(file: &File, from: &Path, to: &Path) -> io::Result<bool> {
    if !is_at(file, from) {
        return Ok(false);
    }
    // The name may become that of another's file right now. So the file itself gets the new one, where that can be done: the file
    // system has links, and nothing is in the way.
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    if linkat(AT_FDCWD, descriptor.as_str(), AT_FDCWD, to, AtFlags::AT_SYMLINK_FOLLOW).is_ok() {
        return remove_own(file, from).map(|()| true);
    }
    // A file that was removed since has no link either.
    if !is_at(file, from) {
        return Ok(false);
    }
    fs::rename(from, to)?;
    let is_ours = is_at(file, to);
    if !is_ours {
        // It was removed in between, and another has begun one. What it would have become is not known.
        remove(to)?;
    }
    Ok(is_ours)
}

/// Removes a name that is ours. Where another takes it in this moment, its writer finds that out at its end.
pub(super) fn remove_own(file: &File, path: &Path) -> io::Result<()> {
    if is_at(file, path) { remove(path).map(drop) } else { Ok(()) }
}

/// False: there was none.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The regular files of a folder. Those that vanish meanwhile are left out.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => found.push((entry.path(), metadata)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
