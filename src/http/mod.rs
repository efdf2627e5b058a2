//! HTTP as Glance speaks it: the pipeline around a request.

use std::net::SocketAddr;

use crate::api;

/// The connection on which a request came.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub tls: bool,
}

/// An answer, and what is to be logged once its body has left.
pub struct Reply {
    pub response: api::Response,
    pub log: AccessRecord,
}

/// One line of the access log, waiting for the end of the body.
#[derive(Default)]
pub struct AccessRecord {}

impl AccessRecord {
    /// Writes the line. `bytes`: body bytes sent; `complete`: whether the body reached its end.
    pub fn finish(self, _bytes: u64, _complete: bool) {}
}

/// The whole pipeline with one configuration. A reload makes a new one; requests in flight keep the old.
pub struct App {}

impl App {
    /// Answers one request; never fails.
    pub async fn serve(&self, _request: http::Request<api::RequestBody>, _connection: &Connection) -> Reply {
        let mut response = api::Response::new(api::Body::Empty);
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        Reply { response, log: AccessRecord::default() }
    }
}
