//! Cross-origin requests (upstream: `oslo_middleware/cors.py`).

use std::collections::BTreeMap;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_LENGTH, HeaderValue,
    VARY,
};
use http::{HeaderMap, HeaderName, Method};

use crate::api::{Body, Response};
use crate::config::CorsSection;
use crate::http::exchange::Exchange;
use crate::http::pipeline::{self, FlagError};

/// Request headers that need no permission.
const SIMPLE: [&str; 8] = [
    "Accept",
    "Accept-Language",
    "Content-Type",
    "Cache-Control",
    "Content-Language",
    "Expires",
    "Last-Modified",
    "Pragma",
];

/// The rules for the origins of `allowed_origin`.
#[derive(Clone, Debug)]
pub(in crate::http) struct Cors {
    options: CorsSection,
}

impl Cors {
    /// `local`: options beside the filter in a paste file, which count before the section's.
    ///
    /// # Errors
    /// `allow_credentials` is neither true nor false.
    pub(in crate::http) fn new(section: &CorsSection, local: &BTreeMap<String, String>) -> Result<Self, FlagError> {
        let mut options = section.clone();
        options.allow_credentials = pipeline::flag(local, "allow_credentials", section.allow_credentials)?;
        let list = |text: &String| {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        };
        for (name, value) in local {
            match name.as_str() {
                "allowed_origin" => options.allowed_origin = Some(list(value)),
                "allow_headers" => options.allow_headers = list(value),
                "allow_methods" => options.allow_methods = list(value),
                "expose_headers" => options.expose_headers = list(value),
                "max_age" => options.max_age = value.parse().unwrap_or(options.max_age),
                _ => {}
            }
        }
        Ok(Self { options })
    }

    /// Adds the headers that let a script of a known origin read the answer. An OPTIONS request always succeeds.
    pub(in crate::http) fn decorate(&self, exchange: &Exchange, mut response: Response) -> Response {
        if response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return response;
        }
        let headers = if exchange.method == Method::OPTIONS {
            if !response.status().is_success() {
                response = Response::new(Body::Empty);
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
            }
            self.preflight(exchange)
        } else {
            self.simple(exchange, response.headers().get(VARY))
        };
        response.headers_mut().extend(headers.unwrap_or_default());
        response
    }

    fn preflight(&self, exchange: &Exchange) -> Option<HeaderMap> {
        let origin = self.origin(exchange)?;
        let method = exchange.headers.get("access-control-request-method")?;
        if !self.options.allow_methods.iter().any(|allowed| allowed.as_bytes() == method.as_bytes()) {
            return None;
        }
        let wanted = exchange.header("access-control-request-headers").unwrap_or_default();
        let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let allowed = |name: &&str| {
            let simple = SIMPLE.iter().any(|simple| simple.eq_ignore_ascii_case(name));
            simple || self.options.allow_headers.iter().any(|header| header.eq_ignore_ascii_case(name))
        };
        if !wanted.iter().all(allowed) {
            return None;
        }
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        self.grant(origin, &mut headers);
        if self.options.max_age != 0 {
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.options.max_age));
        }
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        insert_list(&mut headers, ACCESS_CONTROL_ALLOW_HEADERS, &wanted);
        Some(headers)
    }

    fn simple(&self, exchange: &Exchange, vary: Option<&HeaderValue>) -> Option<HeaderMap> {
        let origin = self.origin(exchange)?;
        let mut headers = HeaderMap::new();
        let vary = match vary.and_then(|value| value.to_str().ok()) {
            Some(vary) => HeaderValue::try_from(format!("{vary},Origin")).ok()?,
            None => HeaderValue::from_static("Origin"),
        };
        headers.insert(VARY, vary);
        self.grant(origin, &mut headers);
        insert_list(&mut headers, ACCESS_CONTROL_EXPOSE_HEADERS, &self.options.expose_headers);
        Some(headers)
    }

    fn grant(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.options.allow_credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// What to allow for the origin of the request, if it is known.
    fn origin(&self, exchange: &Exchange) -> Option<HeaderValue> {
        let origin = exchange.headers.get("origin")?;
        let allowed = self.options.allowed_origin.as_deref()?;
        if allowed.iter().any(|known| known.as_bytes() == origin.as_bytes()) {
            return Some(origin.clone());
        }
        allowed.iter().any(|known| known == "*").then(|| HeaderValue::from_static("*"))
    }
}

fn insert_list(headers: &mut HeaderMap, name: HeaderName, items: &[impl AsRef<str>]) {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    if let Ok(value) = HeaderValue::try_from(items.join(","))
        && !items.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::http::exchange::tests::exchange;
    use crate::http::upstream;

    fn cors(name: &str) -> Cors {
        let local = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let local = match name {
            "none" => local(&[]),
            "two" => local(&[("allowed_origin", "https://a.example,http://b.example:8080")]),
            _ => local(&[
                ("allowed_origin", "*"),
                ("allow_credentials", "false"),
                ("max_age", "0"),
                ("expose_headers", ""),
                ("allow_methods", "GET,OPTIONS"),
                ("allow_headers", "X-One, x-two"),
            ]),
        };
        Cors::new(&CorsSection::default(), &local).unwrap()
    }

    fn inner(name: &str) -> Response {
        let (status, header) = match name {
            "plain" => (200, None),
            "vary" => (200, Some(("vary", "Accept"))),
            "missing" => (404, Some(("x-kept", "1"))),
            "own" => (200, Some(("access-control-allow-origin", "mine"))),
            _ => (201, Some(("x-kept", "1"))),
        };
        let mut response = Response::new(Body::Bytes("inner".into()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    #[test]
    fn answers_get_the_headers_that_upstream_gives_them() {
        for case in upstream::cases(include_str!("../upstream/cors.json")) {
            let headers = case["headers"].as_object().unwrap();
            let headers: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
            let exchange = exchange(case["method"].as_str().unwrap(), "/", &headers);
            let response =
                cors(case["config"].as_str().unwrap()).decorate(&exchange, inner(case["inner"].as_str().unwrap()));
            upstream::assert_same(response, &case);
        }
    }
}
