//! Answers in the shapes that upstream gives them.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response as HttpResponse, StatusCode};
use serde::Serialize;

use super::{Body, Error, Response};

/// A JSON document.
///
/// # Errors
/// 500 when the value cannot be written as JSON, which for our own types means a mistake in them.
pub(in crate::api) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, Error> {
    let text = super::json::to_unicode(value).map_err(Error::internal)?;
    let mut response = HttpResponse::new(Body::Bytes(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// In the extensions of a response: it says that a task begins, or how one goes on.
#[derive(Clone, Copy)]
struct AboutTask;

/// Notes whether the response says how a task goes on that is under way, or that it begins.
pub(in crate::api) fn about_task(mut response: Response, is_under_way: bool) -> Response {
    if is_under_way {
        response.extensions_mut().insert(AboutTask);
    }
    response
}

/// What [`about_task`] has noted.
pub(in crate::api) fn is_about_task(response: &Response) -> bool {
    response.extensions().get::<AboutTask>().is_some()
}

/// 204; upstream's WSGI layer gives even this a type.
pub(in crate::api) fn no_content() -> Response {
    empty(StatusCode::NO_CONTENT)
}

/// An answer without a body, of the type that upstream's WSGI layer gives it.
pub(in crate::api) fn empty(status: StatusCode) -> Response {
    let mut response = HttpResponse::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    response
}

/// 204 without any header, as webob's exception of that status.
pub(in crate::api) fn nothing() -> Response {
    let mut response = HttpResponse::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
