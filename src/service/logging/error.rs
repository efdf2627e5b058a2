//! What keeps a log from being as it is asked for.

use std::io;
use std::path::PathBuf;

/// Why there is no log as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log's file cannot be opened.
    #[error("[DEFAULT] {option}: {} cannot be written: {source}", path.display())]
    File { option: &'static str, path: PathBuf, source: io::Error },
    /// An entry of `default_log_levels`.
    #[error("[DEFAULT] default_log_levels: {0:?} is not of the form name=LEVEL")]
    Level(String),
    /// `syslog_log_facility`.
    #[error("[DEFAULT] syslog_log_facility: {0:?} is no facility of syslog(3)")]
    Facility(String),
    /// Something else in this process has taken the log.
    #[error("the log has been set up already")]
    Twice,
    /// The thread that writes.
    #[error("the log cannot be started: {0}")]
    Thread(#[source] io::Error),
}
