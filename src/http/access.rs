//! The access log: one event for each request, written when the last byte of the answer has left.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Version};

/// One line of the access log, waiting for the end of the body.
#[derive(Debug, Default)]
pub struct AccessRecord {
    line: Option<Line>,
}

/// What is known when the head of the answer is ready. Never a token.
#[derive(Debug)]
pub(in crate::http) struct Line {
    pub started: Instant,
    pub request_id: Arc<str>,
    pub project: Option<String>,
    pub user: Option<String>,
    pub method: Method,
    /// Path and query as the client sent them.
    pub target: String,
    pub version: Version,
    pub status: StatusCode,
    pub remote: String,
}

impl AccessRecord {
    pub(in crate::http) fn new(line: Line) -> Self {
        Self { line: Some(line) }
    }

    /// Writes the line. `bytes`: body bytes sent; `complete`: whether the body reached its end.
    pub fn finish(self, bytes: u64, complete: bool) {
        let Some(line) = self.line else { return };
        let elapsed = line.started.elapsed();
        let Line { method, target, version, remote, .. } = &line;
        let status = line.status.as_u16();
        tracing::info!(
            target: "glance_api::access",
            request_id = &*line.request_id,
            project = line.project.as_deref().unwrap_or("-"),
            user = line.user.as_deref().unwrap_or("-"),
            method = method.as_str(),
            path = target.as_str(),
            status,
            bytes,
            microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            remote = remote.as_str(),
            complete,
            "{remote} \"{method} {target} {version:?}\" {status} {bytes} {:.6}{}",
            elapsed.as_secs_f64(),
            if complete { "" } else { " interrupted" },
        );
    }
}
