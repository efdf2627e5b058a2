//! Room that a writer will need, set aside so that the other processes see it.
//!
//! Mostly the blocks of its file show it (fallocate(2)). Some file systems have no such call (NFS before 4.2, many in user space), and
//! some accept it and take no blocks (ZFS). There `.reserved/<inode of the file>` says how many bytes the file will have.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::{FILE_MODE, FOLDER_MODE, Layout, entries, remove};

/// A folder of our own: upstream's drivers look at none but theirs.
const FOLDER: &str = ".reserved";

/// Bytes that a file has on its disk, written or set aside.
pub(super) fn blocks(metadata: &Metadata) -> u64 {
    metadata.blocks().saturating_mul(512)
}

impl Layout {
    /// Sets aside `bytes` bytes from byte `from` on for a file that is ours, without changing its length; a full disk shows now.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) fn set_aside(&self, file: &File, from: u64, bytes: u64) -> io::Result<()> {
        let (Ok(start), Ok(length)) = (i64::try_from(from), i64::try_from(bytes)) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        if length == 0 {
            return Ok(());
        }
        let outcome = fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, start, length);
        // File systems refuse in many ways what they cannot do. What else is wrong with a disk shows when the data is written.
        if let Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) = outcome {
            return Err(error.into());
        }
        let metadata = file.metadata()?;
        let end = from.saturating_add(bytes);
        if blocks(&metadata) >= end { Ok(()) } else { self.write_down(&metadata, end) }
    }

    fn write_down(&self, metadata: &Metadata, bytes: u64) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(self.base.join(FOLDER))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(FILE_MODE);
        options.open(self.reservation(metadata))?.write_all(bytes.to_string().as_bytes())
    }

    /// What was written down for a file that is ours is no longer needed: it is whole, or given up.
    pub(super) fn release(&self, file: &File) {
        // What stays is of no use to anybody, and goes with what is stalled.
        let _ = file.metadata().and_then(|metadata| remove(&self.reservation(&metadata)));
    }

    /// How many bytes files will have, by their inodes, where their blocks do not say it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn reservations(&self) -> io::Result<HashMap<u64, u64>> {
        Ok(self.written_down()?.into_iter().map(|(inode, path, _)| (inode, read(&path))).collect())
    }

    /// Removes what was written down before `before` for files that are gone.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn remove_reservations(&self, before: SystemTime) -> io::Result<()> {
        // In this order: a file is there before anything is written down for it.
        let written_down = self.written_down()?;
        if written_down.is_empty() {
            return Ok(());
        }
        let incomplete = entries(&self.base.join("incomplete"))?;
        for (inode, path, metadata) in written_down {
            let is_old = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) < before;
            if is_old && !incomplete.iter().any(|(_, file)| file.ino() == inode) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn written_down(&self) -> io::Result<Vec<(u64, PathBuf, Metadata)>> {
        let found = match entries(&self.base.join(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let inode = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
        Ok(found.into_iter().filter_map(|(path, metadata)| Some((inode(&path)?, path, metadata))).collect())
    }

    fn reservation(&self, metadata: &Metadata) -> PathBuf {
        self.base.join(FOLDER).join(metadata.ino().to_string())
    }
}

/// 0 where nothing legible is written.
fn read(path: &PathBuf) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{ID, OTHER, layout, mine, soon};
    use super::*;

    /// As on a file system where the blocks do not show it.
    fn reserve(layout: &Layout, file: &File, bytes: u64) {
        layout.write_down(&file.metadata().unwrap(), bytes).unwrap();
    }

    #[test]
    fn what_the_blocks_show_is_not_written_down() {
        let (_folder, layout) = layout();
        let file = mine(&layout, ID);
        layout.set_aside(&file, 0, 100_000).unwrap();
        assert!(layout.usage().unwrap().incomplete >= 100_000);
        assert_eq!(file.metadata().unwrap().len(), 0);
        if blocks(&file.metadata().unwrap()) >= 100_000 {
            assert!(layout.written_down().unwrap().is_empty());
        }
        assert!(layout.set_aside(&file, 0, u64::MAX).is_err());
        assert!(layout.set_aside(&file, 0, i64::MAX as u64).is_err());
    }

    #[test]
    fn what_cannot_be_set_aside_is_written_down() {
        let (folder, layout) = layout();
        let _file = mine(&layout, ID);
        // The call refuses what is not open for writing.
        let file = File::open(folder.path().join("cache/incomplete").join(ID)).unwrap();
        layout.set_aside(&file, 0, 70_000).unwrap();
        assert_eq!(layout.written_down().unwrap().len(), 1);
        assert_eq!(layout.usage().unwrap().incomplete, 70_000);
    }

    #[test]
    fn what_is_written_down_counts_until_the_file_is_whole_or_given_up() {
        let (_folder, layout) = layout();
        let (first, second) = (mine(&layout, ID), mine(&layout, OTHER));
        reserve(&layout, &first, 70_000);
        reserve(&layout, &first, 90_000);
        reserve(&layout, &second, 10_000);
        assert_eq!(layout.usage().unwrap().incomplete, 100_000);
        layout.abandon(OTHER, &second).unwrap();
        assert_eq!(layout.usage().unwrap().incomplete, 90_000);
        first.set_len(80_000).unwrap();
        layout.commit(ID, &first).unwrap();
        let usage = layout.usage().unwrap();
        assert_eq!((usage.total, usage.incomplete), (80_000, 0));
        assert!(layout.written_down().unwrap().is_empty());
    }

    #[test]
    fn what_dead_writers_wrote_down_goes_with_their_files() {
        let (_folder, layout) = layout();
        let (dead, living) = (mine(&layout, ID), mine(&layout, OTHER));
        reserve(&layout, &dead, 50_000);
        reserve(&layout, &living, 60_000);
        // This one's file is gone already.
        fs::write(layout.base.join(FOLDER).join("1"), "70000").unwrap();
        assert_eq!(layout.usage().unwrap().incomplete, 110_000);
        drop(dead);
        layout.remove_stalled(SystemTime::now() - Duration::from_secs(60)).unwrap();
        assert_eq!(layout.written_down().unwrap().len(), 3);
        let is_removed = soon(|| {
            layout.remove_stalled(SystemTime::now() + Duration::from_secs(60)).unwrap();
            layout.usage().unwrap().incomplete == 60_000
        });
        assert!(is_removed, "{:?}", layout.usage());
        assert_eq!(layout.written_down().unwrap().len(), 1);
        // Who writes the image next begins with nothing.
        drop(living);
        let next = mine(&layout, OTHER);
        next.set_len(1).unwrap();
        drop(next);
        reserve(&layout, &mine(&layout, OTHER), 5);
        let _next = mine(&layout, OTHER);
        assert_eq!(layout.usage().unwrap().incomplete, 0);
    }
}
