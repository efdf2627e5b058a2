//! A disk that is soon full, and one that is reached through FUSE.
//!
//! Where one lies in the folder of a server, its variable comes after the server's, so that it is dropped first: a folder in which
//! something is mounted cannot be removed.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

    /// A file system that cannot set room aside (fallocate(2)) and keeps no attributes: as large as memory.
    pub(crate) fn without_reservations(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let done = Command::new("mount").args(["-t", "ramfs", "ramfs"]).arg(&folder).status().unwrap();
        assert!(done.success(), "mounting needs root");
        Self(folder)
    }

    /// Whether it may be written to. Nothing may be open for writing when that ends.
    pub(crate) fn set_writable(&self, is_writable: bool) {
        let options = if is_writable { "remount,rw" } else { "remount,ro" };
        let done = Command::new("mount").args(["-o", options]).arg(&self.0).status().unwrap();
        assert!(done.success(), "{options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A folder seen through sshfs, which knows neither links nor files without a name nor a rename that replaces nothing; unmounted
/// when dropped. No ssh is involved.
pub(crate) struct FuseMount {
    folder: PathBuf,
    /// Process of the file server.
    server: Pid,
}

impl FuseMount {
    /// Both are made where they are absent; beside them lies the script that starts the file server.
    pub(crate) fn on(folder: PathBuf, source: &Path) -> Self {
        for place in [&folder, source] {
            std::fs::create_dir_all(place).unwrap();
        }
        let (script, pid) = (source.with_extension("server"), source.with_extension("pid"));
        let lines = format!("echo $$ >{}\nexec /usr/lib/openssh/sftp-server\n", pid.display());
        std::fs::write(&script, lines).unwrap();
        let options = format!("disable_hardlink,ssh_command=sh {}", script.display());
        let remote = format!("here:{}", source.display());
        let done = Command::new("sshfs").args(["-o", &options, &remote]).arg(&folder).status();
        let done = done.expect("apt-get install --no-install-recommends sshfs openssh-sftp-server");
        assert!(done.success(), "sshfs needs root and /dev/fuse");
        let server = Pid::from_raw(std::fs::read_to_string(pid).unwrap().trim().parse().unwrap());
        Self { folder, server }
    }

    /// Answers nothing until [`Self::go_on`].
    pub(crate) fn stall(&self) {
        kill(self.server, Signal::SIGSTOP).unwrap();
    }

    pub(crate) fn go_on(&self) {
        kill(self.server, Signal::SIGCONT).unwrap();
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        let _ = kill(self.server, Signal::SIGCONT);
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
