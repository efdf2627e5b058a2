//! A disk that is soon full.

use std::path::PathBuf;
use std::process::Command;

/// A file system of so many bytes; unmounted when dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `folder` is made where it is absent.
    pub(crate) fn on(folder: PathBuf, bytes: usize) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let size = format!("size={bytes}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).status().unwrap();
        assert!(done.success(), "mounting needs root");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
