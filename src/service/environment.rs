//! What the service manager tells by environment variables (systemd.exec(5), sd_notify(3)).

use std::env;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::sys::stat::fstat;

/// Read once, before there are threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    /// Somebody wants to be notified of our state.
    pub(super) notify: bool,
    /// Started as a service with `Type=notify`: it is for systemd to pass sockets and to run more workers.
    pub(super) managed: bool,
    /// Standard error is connected to the journal.
    pub(super) journal: bool,
    /// `$RUNTIME_DIRECTORY`, the first if there are several.
    pub(super) runtime_directory: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables of this process.
    pub(super) fn read() -> Self {
        let notify = env::var_os("NOTIFY_SOCKET").is_some();
        // A terminal of a desktop session has INVOCATION_ID, a container may have NOTIFY_SOCKET; a service has both.
        let managed = notify && env::var_os("INVOCATION_ID").is_some() && is_for_us("SYSTEMD_EXEC_PID");
        let journal = env::var("JOURNAL_STREAM").is_ok_and(|stream| names_standard_error(&stream));
        let runtime_directory = env::var("RUNTIME_DIRECTORY")
            .ok()
            .and_then(|list| list.split(':').next().map(PathBuf::from))
            .filter(|path| path.is_absolute());
        Self { notify, managed, journal, runtime_directory }
    }
}

/// Whether a variable is absent, as from an older systemd, or names this process rather than a parent.
fn is_for_us(variable: &str) -> bool {
    env::var(variable).map_or(true, |pid| pid == std::process::id().to_string())
}

/// `$JOURNAL_STREAM` is `device:inode` of the journal's socket.
fn names_standard_error(stream: &str) -> bool {
    let Some((device, inode)) = stream.split_once(':') else { return false };
    fstat(std::io::stderr().as_fd())
        .is_ok_and(|stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_recognised_by_device_and_inode() {
        let stat = fstat(std::io::stderr().as_fd()).unwrap();
        assert!(names_standard_error(&format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!names_standard_error(&format!("{}:{}", stat.st_dev, stat.st_ino + 1)));
        assert!(!names_standard_error("nonsense"));
        assert!(!names_standard_error(""));
    }
}
