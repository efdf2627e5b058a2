//! From an identity to the context of the request (upstream: `glance/api/middleware/context.py`).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::api::{Error, Response};
use crate::config::Config;
use crate::http::exchange::Exchange;
use crate::identity::Context;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Which callers get a context.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum Admission {
    /// Those whom Keystone knows; the others may read where `allow_anonymous_access` is set.
    Confirmed { anonymous: bool },
    /// All, as administrators: there is no authentication.
    Everybody,
}

/// Characters that a caller's request id may have; 0: any number (`max_request_id_length`).
pub(in crate::http) fn longest_request_id(config: &Config) -> usize {
    usize::try_from(config.default.max_request_id_length).unwrap_or(0)
}

/// The caller's own request id, with `req-` before it where it is missing; else, or where it is too long, a new one.
pub(in crate::http) fn request_id(headers: &HeaderMap, longest: usize) -> String {
    match given(headers) {
        Some(id) if is_too_long(id, longest) => new_request_id(),
        Some(id) if id.starts_with("req-") => id.to_owned(),
        Some(id) => format!("req-{id}"),
        None => new_request_id(),
    }
}

/// From this thread's generator: the kernel is not asked for each request.
fn new_request_id() -> String {
    format!("req-{}", uuid::Builder::from_random_bytes(rand::random()).into_uuid())
}

/// Gives the exchange its context.
///
/// # Errors
/// 401 for a caller who is not known; 431 for a known one's request id that is too long, where upstream means that but ends
/// in 500. The others' ids are not looked at there; here, they are replaced when they are too long.
pub(in crate::http) fn admit(exchange: &mut Exchange, admission: Admission, longest: usize) -> Result<(), Error> {
    let context = match (admission, exchange.confirmed.take()) {
        (Admission::Everybody, _) => administrator(),
        (Admission::Confirmed { .. }, Some(_))
            if given(&exchange.headers).is_some_and(|id| is_too_long(id, longest)) =>
        {
            let comment = format!("x-openstack-request-id is too long, max size {longest}");
            return Err(Error { comment: Some(comment), ..Error::stock(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) });
        }
        (Admission::Confirmed { .. }, Some(context)) => context,
        (Admission::Confirmed { anonymous: true }, None) => Context { read_only: true, ..Context::default() },
        (Admission::Confirmed { anonymous: false }, None) => return Err(Error::stock(StatusCode::UNAUTHORIZED)),
    };
    exchange.context = Some(Arc::new(Context { request_id: exchange.request_id.as_ref().to_owned(), ..context }));
    Ok(())
}

/// Upstream's has no role, and its rules have asked for one since secure defaults came: there such a caller may not even
/// list images.
fn administrator() -> Context {
    Context { is_admin: true, roles: vec!["admin".to_owned()], ..Context::default() }
}

/// Shows the request id, where the answer does not have that of another host already, which has done the work.
pub(in crate::http) fn sign(exchange: &Exchange, mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::try_from(exchange.request_id.as_ref()) {
        response.headers_mut().entry(REQUEST_ID).or_insert(id);
    }
    response
}

fn given(headers: &HeaderMap) -> Option<&str> {
    headers.get(REQUEST_ID)?.to_str().ok().filter(|id| !id.is_empty())
}

fn is_too_long(id: &str, longest: usize) -> bool {
    longest > 0 && id.len() > longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::tests::exchange;

    /// As the running upstream treated them.
    #[test]
    fn a_caller_may_bring_a_request_id() {
        for (given, longest, expected) in [
            (Some("foo"), 64, Some("req-foo")),
            (Some("req-foo"), 64, Some("req-foo")),
            (Some("12345"), 5, Some("req-12345")),
            (Some("123456"), 5, None),
            (Some("123456"), 0, Some("req-123456")),
            (Some(""), 64, None),
            (None, 64, None),
        ] {
            let headers = given.map(|id| HeaderMap::from_iter([(REQUEST_ID, id.parse().unwrap())])).unwrap_or_default();
            let id = request_id(&headers, longest);
            match expected {
                Some(expected) => assert_eq!(id, expected),
                None => assert_eq!((id.len(), id.starts_with("req-")), (40, true), "{id}"),
            }
        }
    }

    #[test]
    fn callers_are_admitted_by_what_is_known_of_them() {
        let someone = || Some(Context { user_id: Some("u".to_owned()), ..Context::default() });
        let confirmed = |anonymous| Admission::Confirmed { anonymous };
        for (admission, known, expected) in [
            (confirmed(false), someone(), Ok((Some("u"), false, false))),
            (confirmed(true), someone(), Ok((Some("u"), false, false))),
            (confirmed(true), None, Ok((None, false, true))),
            (confirmed(false), None, Err(StatusCode::UNAUTHORIZED)),
            (Admission::Everybody, None, Ok((None, true, false))),
        ] {
            let mut exchange = exchange("GET", "/", &[]);
            exchange.confirmed = known;
            let outcome = admit(&mut exchange, admission, 64).map_err(|error| error.status);
            let seen = outcome.map(|()| {
                let context = exchange.context.as_ref().unwrap();
                assert_eq!(context.request_id, "req-1");
                assert_eq!(context.roles.iter().any(|role| role == "admin"), context.is_admin);
                (context.user_id.as_deref(), context.is_admin, context.read_only)
            });
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn only_a_known_caller_is_refused_for_a_request_id_that_is_too_long() {
        let mut exchange = exchange("GET", "/", &[("x-openstack-request-id", "123456")]);
        exchange.confirmed = Some(Context::default());
        let error = admit(&mut exchange, Admission::Confirmed { anonymous: true }, 5).unwrap_err();
        assert_eq!(error.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert!(exchange.context.is_none());
        for admission in [Admission::Everybody, Admission::Confirmed { anonymous: true }] {
            exchange.confirmed = None;
            assert!(admit(&mut exchange, admission, 5).is_ok(), "{admission:?}");
        }
    }
}
