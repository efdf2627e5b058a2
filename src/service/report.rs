//! A file with the outcome of each reload, for a program that waits for it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::spawn_blocking;

/// The file's name in `$RUNTIME_DIRECTORY`.
pub const FILE: &str = "reload.json";

/// The state of reloads, written whole and atomically each time.
///
/// Who wants to know the outcome reads the file, sends SIGHUP, and reads again until `completed` is larger than `started`
/// was: that reload began after the signal, or absorbed it.
#[derive(Clone, Debug, Serialize)]
struct Content {
    /// Process that this is about.
    pid: u32,
    /// Reloads begun since the start.
    started: u64,
    /// Reloads ended since the start.
    completed: u64,
    /// Whether the last one took effect; the start counts as one.
    ok: bool,
    /// About the last one: options that need a restart, or why it was rejected.
    message: String,
    /// When this was written.
    time: String,
}

/// Writes the file; removes it when dropped.
#[derive(Debug)]
pub(super) struct Report {
    /// `None`: nothing is written.
    path: Option<PathBuf>,
    content: Content,
}

impl Report {
    /// Writes that the worker has started; blocks. Without a `directory` nothing is written.
    pub(super) fn new(directory: Option<&Path>) -> Self {
        let path = directory.map(|directory| directory.join(FILE));
        let (pid, message) = (std::process::id(), "started".to_owned());
        let content = Content { pid, started: 0, completed: 0, ok: true, message, time: String::new() };
        if let Some(path) = &path {
            content.clone().write(path);
        }
        Self { path, content }
    }

    pub(super) async fn begin(&mut self) {
        self.content.started += 1;
        self.write().await;
    }

    pub(super) async fn end(&mut self, ok: bool, message: &str) {
        self.content.completed = self.content.started;
        self.content.ok = ok;
        self.content.message = message.to_owned();
        self.write().await;
    }

    async fn write(&self) {
        let Some(path) = self.path.clone() else { return };
        let content = self.content.clone();
        // A panic there has been logged.
        let _ = spawn_blocking(move || content.write(&path)).await;
    }
}

impl Content {
    fn write(mut self, path: &Path) {
        self.time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        if let Err(error) = self.replace(path) {
            tracing::warn!(%error, path = %path.display(), "the result of a reload cannot be written");
        }
    }

    fn replace(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("json.new");
        let mut file = fs::File::create(&new)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        fs::rename(&new, path)
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The next start writes it anew.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_follows_the_reloads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let read = || -> serde_json::Value { serde_json::from_slice(&fs::read(&path).unwrap()).unwrap() };
        let mut report = Report::new(Some(directory.path()));
        assert_eq!((read()["started"].as_u64(), read()["completed"].as_u64()), (Some(0), Some(0)));
        report.begin().await;
        assert_eq!((read()["started"].as_u64(), read()["completed"].as_u64()), (Some(1), Some(0)));
        report.end(false, "glance-api.conf:3: bad").await;
        assert_eq!(read()["completed"].as_u64(), Some(1));
        assert_eq!(read()["ok"].as_bool(), Some(false));
        assert_eq!(read()["message"].as_str(), Some("glance-api.conf:3: bad"));
        drop(report);
        assert!(!path.try_exists().unwrap());
    }
}
