//! HTTP as Glance speaks it: the pipeline around a request.
//!
//! The tests of this room compare with `upstream/*.json`, which `upstream/record.py` made from upstream's own code, and with
//! what a running upstream answered to the same request.

mod accept;
mod access;
mod app;
mod callers;
mod document;
mod exchange;
mod health;
mod ini;
mod language;
mod middleware;
mod paste;
mod path;
mod pipeline;
#[cfg(test)]
mod upstream;
mod versions;

use std::net::SocketAddr;

use crate::api;

pub(crate) use access::AccessRecord;
pub(crate) use app::App;
pub(crate) use callers::Callers;
pub(crate) use middleware::identity::Identify;
pub(crate) use pipeline::{PipelineError, Plan};

/// The connection on which a request came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub tls: bool,
}

/// An answer, and what is to be logged once its body has left.
pub(crate) struct Reply {
    pub response: api::Response,
    pub log: AccessRecord,
}
