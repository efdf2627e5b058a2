//! The access log: one event for each request, written when the last byte of the answer has left.

use std::time::Instant;

use http::{Method, StatusCode, Version};
use tracing::Span;

use crate::image::Sending;

/// One line of the access log, waiting for the end of the body.
#[derive(Debug, Default)]
pub(crate) struct AccessRecord {
    line: Option<Line>,
    /// Of image data, whose end the domain wants to know too.
    sending: Option<Sending>,
}

/// What is known when the head of the answer is ready. Never a token.
#[derive(Debug)]
pub(in crate::http) struct Line {
    pub started: Instant,
    /// Says who asked.
    pub span: Span,
    pub method: Method,
    /// Path and query as the client sent them.
    pub target: String,
    pub version: Version,
    pub status: StatusCode,
    pub remote: String,
}

impl AccessRecord {
    pub(in crate::http) fn new(line: Line, sending: Option<Sending>) -> Self {
        Self { line: Some(line), sending }
    }

    /// Writes the line and tells the domain. `bytes`: body bytes sent; `complete`: whether the body reached its end.
    pub(crate) fn finish(self, bytes: u64, complete: bool) {
        let Some(line) = self.line else { return };
        let elapsed = line.started.elapsed();
        let Line { span, method, target, version, remote, .. } = &line;
        let status = line.status.as_u16();
        let _within = span.enter();
        if let Some(sending) = self.sending {
            sending.finish(bytes);
        }
        tracing::info!(
            target: "glance_api::access",
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
