//! The filter that has tokens validated (upstream: `keystonemiddleware/auth_token`).

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::api::{Body, Error, Response};
use crate::http::exchange::Exchange;
use crate::identity::Context;

/// Says who a caller is.
pub(crate) trait Identify: Send + Sync {
    /// The caller behind `X-Auth-Token` and `X-Service-Token`, complete with `is_admin`; `None` without a token that holds, or
    /// with one whose access rules do not have this method and path.
    /// The request id is filled in later.
    fn identify<'a>(&'a self, method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Identified<'a>;

    /// The `WWW-Authenticate` of a 401: `Keystone uri="…"`.
    fn challenge(&self) -> Option<HeaderValue>;
}

/// The answer of [`Identify::identify`]; it has a bound in time. An error is 503 where Keystone does not answer, 500 where the
/// policy cannot be asked.
pub(crate) type Identified<'a> = Pin<Box<dyn Future<Output = Result<Option<Context>, Error>> + Send + 'a>>;

/// Looks at the token. With `delayed`, refusing is left to what follows.
///
/// # Errors
/// 503 when Keystone does not answer, 500 when the policy does not.
pub(in crate::http) async fn authenticate(
    exchange: &mut Exchange,
    identify: &dyn Identify,
    delayed: bool,
) -> Result<Option<Response>, Error> {
    exchange.is_authenticated = true;
    let path = exchange.path.as_deref().unwrap_or("");
    exchange.confirmed = identify.identify(&exchange.method, path, &exchange.headers).await?;
    let refused = exchange.confirmed.is_none() && !delayed;
    Ok(refused.then(|| challenge(identify, reject())))
}

/// Tells the client of a 401 where to get a token.
pub(in crate::http) fn challenge(identify: &dyn Identify, mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED
        && let Some(challenge) = identify.challenge()
    {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// What keystonemiddleware itself answers, whatever the client accepts.
fn reject() -> Response {
    let text = br#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#;
    let mut response = Response::new(Body::Bytes(Bytes::from_static(text)));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
pub(in crate::http) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::http::exchange::tests::exchange;
    use crate::keystone::KeystoneError;

    /// Knows one token, `good`; at `down` Keystone does not answer, at `odd` the policy does not.
    pub(in crate::http) struct FakeIdentity;

    impl Identify for FakeIdentity {
        fn identify<'a>(&'a self, _method: &'a Method, _path: &'a str, headers: &'a HeaderMap) -> Identified<'a> {
            Box::pin(async {
                match headers.get("x-auth-token").map(HeaderValue::as_bytes) {
                    Some(b"good") => Ok(Some(Context { project_id: Some("p".to_owned()), ..Context::default() })),
                    Some(b"down") => Err(Arc::new(KeystoneError::Refused).into()),
                    Some(b"odd") => Err(Error::internal(std::io::Error::other("no such rule"))),
                    _ => Ok(None),
                }
            })
        }

        fn challenge(&self) -> Option<HeaderValue> {
            Some(HeaderValue::from_static("Keystone uri=\"http://k/v3\""))
        }
    }

    #[tokio::test]
    async fn without_delay_the_filter_refuses_by_itself() {
        for (token, delayed, expected) in [
            ("good", true, Ok(None)),
            ("good", false, Ok(None)),
            ("bad", true, Ok(None)),
            ("bad", false, Ok(Some(401))),
            ("down", true, Err(503)),
            ("down", false, Err(503)),
            ("odd", true, Err(500)),
        ] {
            let mut exchange = exchange("GET", "/v2/images", &[("x-auth-token", token)]);
            let outcome = authenticate(&mut exchange, &FakeIdentity, delayed).await;
            if let Ok(Some(response)) = &outcome {
                assert_eq!(response.headers()[WWW_AUTHENTICATE], "Keystone uri=\"http://k/v3\"");
            }
            let outcome = outcome.map(|r| r.map(|r| r.status().as_u16())).map_err(|e| e.status.as_u16());
            assert_eq!(outcome, expected, "{token} {delayed}");
            assert_eq!(exchange.confirmed.is_some(), token == "good");
        }
    }
}
