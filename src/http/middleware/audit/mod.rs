//! Audit records of requests and of their answers, in CADF's form (upstream: `keystonemiddleware/audit`).
//!
//! They go to the log, as the logger `glance.audit`, whatever `[audit_middleware_notifications]` says of a message bus.

mod event;
mod map;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::api::Response;
use crate::http::exchange::Exchange;
use crate::http::ini::IniError;
use map::AuditMap;

/// The filter with its options in the paste file.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) struct Audit {
    /// In upper case.
    ignored_methods: Vec<String>,
    ignored_paths: Vec<String>,
    map: AuditMap,
}

/// An `audit_map_file` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditMapError {
    #[error("cannot be read: {0}")]
    Read(#[source] std::io::Error),
    #[error(transparent)]
    Line(#[from] IniError),
}

impl Audit {
    /// Reads `ignore_req_list` (methods), `ignore_path_list` and `audit_map_file`. As upstream, nothing asks for
    /// `service_name`. Asks the file system.
    ///
    /// # Errors
    /// The map cannot be used.
    pub(in crate::http) fn new(options: &BTreeMap<String, String>) -> Result<Self, AuditMapError> {
        let listed = |name: &str| options.get(name).map(String::as_str).unwrap_or_default().split(',');
        let map = match options.get("audit_map_file").filter(|path| !path.is_empty()) {
            Some(path) => AuditMap::read(Path::new(path))?,
            None => AuditMap::default(),
        };
        Ok(Self {
            ignored_methods: listed("ignore_req_list").map(|method| method.trim().to_uppercase()).collect(),
            ignored_paths: listed("ignore_path_list").filter(|path| !path.is_empty()).map(str::to_owned).collect(),
            map,
        })
    }

    /// Records the request, and keeps the record in the exchange for that of the answer.
    pub(in crate::http) fn request(&self, exchange: &mut Exchange) {
        let path = exchange.path.as_deref().unwrap_or_default();
        let ignored = self.ignored_methods.iter().any(|method| method == exchange.method.as_str());
        if ignored || self.ignored_paths.iter().any(|ignored| ignored == path) {
            return;
        }
        let event = event::of_request(exchange, &self.map);
        record("audit.http.request", &event);
        exchange.audit = Some(event);
    }

    /// Records the answer to a request that was recorded.
    pub(in crate::http) fn response(exchange: &Exchange, response: &Response) {
        if let Some(event) = &exchange.audit {
            record("audit.http.response", &event::of_response(event.clone(), response.status()));
        }
    }
}

fn record(kind: &'static str, event: &Map<String, Value>) {
    if tracing::enabled!(target: "glance_api::audit", tracing::Level::INFO) {
        let payload = serde_json::to_string(event).unwrap_or_default();
        tracing::info!(target: "glance_api::audit", "Event type: {kind}, Payload: {payload}");
    }
}

#[cfg(test)]
mod tests;
