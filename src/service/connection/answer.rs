//! From hyper's request to the application and back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ::http::{Method, Request, Response, StatusCode, Version, header};
use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::body::Incoming;

use super::Activity;
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
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let flight = self.activity.begin();
        let active = self.shared.active.load_full();
        let head_only = request.method() == Method::HEAD;
        let lane = self.lane.clone().filter(|_| active.limits.sendfile && request.version() <= Version::HTTP_11);
        let closes = request.version() <= Version::HTTP_11 && !active.limits.keepalive;

        let lengthened = self.activity.take_lengthened();
        let (mut response, record) = match head::refusal(&request, active.limits.max_header_line, lengthened) {
            Some(status) => {
                tracing::info!(status = status.as_u16(), peer = %self.peer(), "request refused: a line is too long");
                (refused(status, request.version()), None)
            }
            None => {
                let body = |incoming| -> api::RequestBody {
                    Box::pin(RequestBody::new(incoming, active.limits.idle, Arc::clone(&self.activity)))
                };
                let serving = active.parts.app.serve(request.map(body), &self.ends);
                match AssertUnwindSafe(serving).catch_unwind().await {
                    Ok(Reply { response, log }) => (response, Some(log)),
                    // The panic hook has logged it; the client learns nothing.
                    Err(_) => (plain(StatusCode::INTERNAL_SERVER_ERROR), None),
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

    fn peer(&self) -> String {
        self.ends.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string())
    }
}

/// The connection ends with it, as what follows the head is not known to be well meant.
fn refused(status: StatusCode, version: Version) -> api::Response {
    let mut response = plain(status);
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

/// In the form of upstream's plain text errors.
fn plain(status: StatusCode) -> api::Response {
    let words = match status {
        StatusCode::URI_TOO_LONG => "The request URI was longer than this server is willing to interpret.",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "A header line is longer than this server accepts.",
        _ => "The server has either erred or is incapable of performing the requested operation.",
    };
    let text = format!("{status}\n\n{words}\n\n   ");
    let mut response = api::Response::new(api::Body::Bytes(Bytes::from(text)));
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
