//! A request, and the redirects that it follows.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::answer::Answer;
use super::client::Outgoing;
use super::error::RequestError;
use super::options::{Redirects, Timeout};
use crate::sys::background::connected_in_background;

/// keystoneauth follows 30 of them; whoever needs more than a few leads in circles.
const MAX_REDIRECTS: usize = 5;

/// What is left of the time for a request whose time is over: the connection's own way to say so.
const LEAST: Duration = Duration::from_millis(1);

/// A request that has not been sent yet.
#[derive(Debug)]
#[must_use = "nothing happens until it is sent"]
pub(crate) struct Request {
    client: Outgoing,
    method: Method,
    url: String,
    /// `None` after a value that cannot be sent.
    headers: Option<HeaderMap>,
    body: Bytes,
}

impl Request {
    pub(super) fn new(client: Outgoing, method: Method, url: String) -> Self {
        Self { client, method, url, headers: Some(HeaderMap::new()), body: Bytes::new() }
    }

    /// Adds a header. A value that HTTP does not allow is an error when the request is sent.
    pub(crate) fn header<V>(mut self, name: HeaderName, value: V) -> Self
    where
        HeaderValue: TryFrom<V>,
    {
        match (HeaderValue::try_from(value), &mut self.headers) {
            (Ok(value), Some(headers)) => {
                headers.append(name, value);
            }
            _ => self.headers = None,
        }
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A JSON body, with its `Content-Type`.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.header(CONTENT_TYPE, "application/json").body(body.to_string())
    }

    /// Sends the request and waits for the head of the answer.
    ///
    /// # Errors
    /// Nobody answers in time, the URL or what it redirects to is not allowed.
    pub(crate) async fn send(self) -> Result<Answer, RequestError> {
        let started = Instant::now();
        let mut url = Url::parse(&self.url).map_err(RequestError::Url)?;
        let headers = self.headers.as_ref().ok_or(RequestError::Header)?;
        self.admit(&self.url).await?;
        for _ in 0..=MAX_REDIRECTS {
            let client = self.client.ready().await?;
            let mut request = client.request(self.method.clone(), url.clone()).headers(headers.clone());
            if let Timeout::Whole(whole) = self.client.options().timeout {
                request = request.timeout(whole.saturating_sub(started.elapsed()).max(LEAST));
            }
            if !self.body.is_empty() {
                request = request.body(self.body.clone());
            }
            let answer = if self.client.options().in_background {
                connected_in_background(request.send()).await.map_err(RequestError::Threads)?
            } else {
                request.send().await
            };
            let answer = Answer::new(answer?);
            match self.next(&url, &answer)? {
                Some(target) => url = target,
                None => return Ok(answer),
            }
        }
        Err(RequestError::TooManyRedirects { limit: MAX_REDIRECTS })
    }

    /// Asks the filter. The addresses of the host are looked at when the connection is made; a proxy does that without us.
    async fn admit(&self, url: &str) -> Result<(), RequestError> {
        let options = self.client.options();
        if let Some(filter) = &options.filter {
            filter.check(url)?;
            if !options.proxies.hosts().is_empty() {
                filter.addresses(url).await?;
            }
        }
        Ok(())
    }

    /// Where to go on, if the answer is a redirect that may be followed. As keystoneauth has it, any redirect keeps the method,
    /// and one without a target is an answer like others.
    fn next(&self, from: &Url, answer: &Answer) -> Result<Option<Url>, RequestError> {
        let redirects = matches!(
            answer.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::USE_PROXY
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        if self.client.options().redirects == Redirects::Returned || !redirects {
            return Ok(None);
        }
        let Some(target) = answer.headers().get(LOCATION) else { return Ok(None) };
        let target = from.join(&String::from_utf8_lossy(target.as_bytes())).map_err(RequestError::Url)?;
        if target.origin() == from.origin() {
            return Ok(Some(target));
        }
        let (from, to) = (from.origin().ascii_serialization(), target.origin().ascii_serialization());
        Err(RequestError::OtherOrigin { from, to })
    }
}
