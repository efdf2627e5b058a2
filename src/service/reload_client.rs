//! Asks a worker to reload, and waits for the outcome: the other side of the reload report.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

/// How often the report is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// Why a reload did not take effect, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The worker writes it from its start on.
    #[error("{}: cannot be read, so nobody could tell what becomes of a reload: {source}", path.display())]
    Report { path: PathBuf, source: io::Error },
    /// The directory is another worker's.
    #[error("{} is the report of process {of}, not of {pid}", path.display())]
    Other { path: PathBuf, pid: i32, of: i32 },
    /// kill(2) failed.
    #[error("process {pid} cannot be signalled: {source}")]
    Signal { pid: i32, source: Errno },
    /// It ended meanwhile.
    #[error("process {0} ended before it had reloaded")]
    Gone(i32),
    /// The old configuration stays in force; the words are the worker's.
    #[error("{0}")]
    Rejected(String),
    /// Nothing came.
    #[error("no outcome within {} seconds", .0.as_secs())]
    Late(Duration),
}

/// What of the report matters here.
#[derive(Debug, Deserialize)]
struct Outcome {
    pid: i32,
    started: u64,
    completed: u64,
    ok: bool,
    message: String,
}

/// Sends SIGHUP to `pid` and blocks until a reload that began after this call has ended, for `limit` at most. Returns the
/// worker's words. `report`: the file that it writes.
///
/// # Errors
/// The new configuration was rejected, or the outcome is not known.
pub fn reload(report: &Path, pid: i32, limit: Duration) -> Result<String, ReloadError> {
    let deadline = Instant::now() + limit;
    let before = read(report, pid)?;
    signal(pid, Some(Signal::SIGHUP)).map_err(|source| ReloadError::Signal { pid, source })?;
    loop {
        pause();
        match read(report, pid) {
            Ok(now) if now.completed > before.started => {
                return if now.ok { Ok(now.message) } else { Err(ReloadError::Rejected(now.message)) };
            }
            Ok(_) if Instant::now() >= deadline => return Err(ReloadError::Late(limit)),
            Ok(_) if signal(pid, None).is_err() => return Err(ReloadError::Gone(pid)),
            Ok(_) => {}
            // A worker that ends removes its report.
            Err(_) if signal(pid, None).is_err() => return Err(ReloadError::Gone(pid)),
            Err(error) => return Err(error),
        }
    }
}

fn read(path: &Path, pid: i32) -> Result<Outcome, ReloadError> {
    let failed = |source| ReloadError::Report { path: path.to_owned(), source };
    let text = fs::read(path).map_err(failed)?;
    let outcome: Outcome = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    if outcome.pid == pid {
        Ok(outcome)
    } else {
        Err(ReloadError::Other { path: path.to_owned(), pid, of: outcome.pid })
    }
}

fn signal(pid: i32, signal: Option<Signal>) -> Result<(), Errno> {
    // 0 and less are groups of processes.
    if pid <= 0 { Err(Errno::EINVAL) } else { kill(Pid::from_raw(pid), signal) }
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, without a runtime that could be blocked")]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that ignores the signal, or does not, whatever the test itself does (under nohup it is ignored). It does so
    /// by the time that it is returned.
    fn process(trap: &str) -> Child {
        let script = format!("{trap} echo; while :; do sleep 0.01; done");
        let arguments = ["--default-signal=HUP", "sh", "-c", &script];
        let mut child = Command::new("env").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        child
    }

    fn write(path: &Path, pid: i32, started: u64, completed: u64, ok: bool) {
        let text = format!(
            r#"{{"pid":{pid},"started":{started},"completed":{completed},"ok":{ok},"message":"words","time":"now"}}"#
        );
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn id(child: &Child) -> i32 {
        i32::try_from(child.id()).unwrap()
    }

    #[test]
    fn the_outcome_of_a_later_reload_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reload.json");
        let mut child = process("trap '' HUP;");
        pause();
        let pid = id(&child);
        for (ok, words) in [(true, "Ok(\"words\")"), (false, "Err(Rejected(\"words\"))")] {
            // One is running already: its end is not what is waited for.
            write(&path, pid, 5, 4, true);
            let (waiter, report) = (path.clone(), path.clone());
            let asked = std::thread::spawn(move || reload(&waiter, pid, Duration::from_secs(5)));
            for (started, completed, ok) in [(5, 5, true), (6, 5, true), (6, 6, ok)] {
                // Time enough for it to be looked at.
                (0..12).for_each(|_| pause());
                write(&report, pid, started, completed, ok);
            }
            assert_eq!(format!("{:?}", asked.join().unwrap()), words);
        }
        let late = reload(&path, pid, Duration::from_millis(20));
        assert!(matches!(late, Err(ReloadError::Late(_))), "{late:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reload.json");
        let long = Duration::from_secs(60);
        let mut child = process("");
        let pid = id(&child);
        assert!(matches!(reload(&path, pid, long), Err(ReloadError::Report { .. })));
        write(&path, 1, 0, 0, true);
        assert!(matches!(reload(&path, pid, long), Err(ReloadError::Other { of: 1, .. })));
        write(&path, pid, 0, 0, true);
        let reaper = std::thread::spawn(move || child.wait());
        assert!(matches!(reload(&path, pid, long), Err(ReloadError::Gone(_))));
        reaper.join().unwrap().unwrap();
        assert!(matches!(reload(&path, pid, long), Err(ReloadError::Signal { .. })));
        write(&path, -1, 0, 0, true);
        assert!(matches!(reload(&path, -1, long), Err(ReloadError::Signal { source: Errno::EINVAL, .. })));
    }
}
