//! From hyper's request to the application and back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ::http::{Method, Request, Response, StatusCode, Version, header};
use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::body::Incoming;

use super::activity::{Activity, Flight};
use super::framing::malformed;
use super::head;
use crate::api;
use crate::http::{Connection, Reply};
use crate::service::body::{Lane, RequestBody, ResponseBody};
use crate::service::shared::Shared;

/// Answers the requests of one connection.
pub(super) struct Answerer {
    pub(super) shared: Arc<Shared>,
    pub(super) activity: Arc<Activity>,
    pub(super) ends: Connection,
    /// Present where the connection can send files by itself.
    pub(super) lane: Option<Lane>,
}

impl Answerer {
    /// Answers by the configuration in force at this moment, and keeps to it until the last byte.
    pub(super) async fn answer(&self, request: Request<Incoming>, mut flight: Flight) -> Response<ResponseBody> {
        let active = self.shared.active.load_full();
        let head_only = request.method() == Method::HEAD;
        let lane = self.lane.clone().filter(|_| active.limits.sendfile && request.version() <= Version::HTTP_11);
        let closes = request.version() <= Version::HTTP_11 && !active.limits.keepalive;

        // Also around a body that nobody will read, so that it does not swallow the answer.
        let answered = (request.version() == Version::HTTP_2).then(|| flight.over());
        let request = request.map(|incoming| -> api::RequestBody {
            Box::pin(RequestBody::new(incoming, active.limits.idle, Arc::clone(&self.activity), answered))
        });
        let lengthened = self.activity.take_lengthened();
        let refusal = head::refusal(&request, active.limits.max_header_line, lengthened)
            .map(|status| (status, too_long(status)))
            .or_else(|| malformed(&request).map(|fault| (fault.status(), fault.reason())));
        let (mut response, record) = match refusal {
            Some((status, reason)) => (self.refuse(request.version(), status, reason), None),
            None => {
                let serving = active.parts.app.serve(request, &self.ends);
                match AssertUnwindSafe(serving).catch_unwind().await {
                    Ok(Reply { response, log }) => (response, Some(log)),
                    // The panic hook has logged it; the client learns nothing.
                    Err(_) => (plain(StatusCode::INTERNAL_SERVER_ERROR, FAILED), None),
                }
            }
        };
        if closes {
            // For connections that began before keep-alive was switched off; hyper adds it on the others.
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        }
        let withheld = head_only || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        response.map(|body| ResponseBody::new(body, withheld, lane, record, flight))
    }

    /// The connection ends with it, as what follows the head is not known to be well meant.
    fn refuse(&self, version: Version, status: StatusCode, reason: &str) -> api::Response {
        let peer = self.ends.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
        tracing::info!(status = status.as_u16(), %peer, "request refused: {reason}");
        let mut response = plain(status, reason);
        if version <= Version::HTTP_11 {
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        }
        response
    }
}

const FAILED: &str = "The server has either erred or is incapable of performing the requested operation.";

fn too_long(status: StatusCode) -> &'static str {
    match status {
        StatusCode::URI_TOO_LONG => "The request URI was longer than this server is willing to interpret.",
        _ => "A header line is longer than this server accepts.",
    }
}

/// In the form of upstream's plain text errors.
fn plain(status: StatusCode, reason: &str) -> api::Response {
    let text = format!("{status}\n\n{reason}\n\n   ");
    let mut response = api::Response::new(api::Body::Bytes(Bytes::from(text)));
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
