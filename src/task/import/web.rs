//! Data from the web.
//!
//! Each URL, those of redirects included, passes the filter of `[import_filtering_opts]`, and connections are made only to the addresses
//! that it has approved. A transfer that breaks goes on where it broke, if the server says that the data is still the same.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE,
};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tokio::time::sleep;
use tracing::info;
use url::Url;

use super::source::Source;
use crate::keystone::outgoing::{
    Answer, ClientError, Options, Outgoing, Proxies, Redirects, RequestError, Timeout, Tls, UrlFilter,
};

/// Requests made for one download: the first and what it is redirected to; Python's urllib follows as many.
const MAX_REQUESTS: usize = 11;

/// Upstream waits for ever; a server that says nothing for this long is given up.
pub(super) const CONNECT: Duration = Duration::from_secs(30);
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// How often a transfer is taken up again without a byte in between. Nothing else ends one whose server stalls: it fails after the first
/// silence, these attempts, and the pauses before them (15.5 s together). An attempt takes [`SILENCE`] where the server does not answer,
/// or does so at once and stalls again: a good 6 minutes in all. It takes twice as long where each head comes just in time: a good 11 minutes
/// in all, beside the time for the first head. A server that sends a byte now and then is waited for as long as the image is there.
const ATTEMPTS: u32 = 5;
/// Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What is encoded in the target of a redirect, together with all that is not ASCII; Python's urllib does the same.
const NOT_IN_URLS: AsciiSet = CONTROLS.add(b' ');

/// Fetches data.
#[derive(Clone, Debug)]
pub(in crate::task) struct Web {
    client: Outgoing,
    first_pause: Duration,
}

/// Nothing comes. No text holds more of a URL than its origin.
#[derive(Debug, thiserror::Error)]
pub(in crate::task) enum FetchError {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("the server redirects to nowhere")]
    Redirect,
    #[error("more than {} redirects", MAX_REQUESTS - 1)]
    TooManyRedirects,
}

/// A transfer that broke and cannot go on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the transfer broke after {got} bytes: {cause}")]
    Lost { got: u64, cause: String },
    #[error("the transfer broke after {got} bytes, and by then the server had other data: {what}")]
    Changed { got: u64, what: &'static str },
}

impl Web {
    /// `filter`: what each URL must pass. Reads no file, makes no connection.
    ///
    /// # Errors
    /// The proxies of the environment cannot be used.
    pub(in crate::task) fn new(filter: UrlFilter) -> Result<Self, ClientError> {
        Ok(Self { client: Outgoing::new(options(filter))?, first_pause: FIRST_PAUSE })
    }

    /// Asks for the data and waits for the head of the answer.
    ///
    /// # Errors
    /// Nothing comes.
    pub(in crate::task) async fn open(&self, url: &str) -> Result<Source, FetchError> {
        let (url, answer) = self.follow(url).await?;
        let size = length(answer.headers());
        let transfer = Transfer {
            web: self.clone(),
            url,
            same: Same::of(answer.headers()),
            size,
            got: 0,
            attempts: 0,
            body: answer.stream().boxed(),
        };
        let data = stream::unfold(Some(transfer), |transfer| async {
            let mut transfer = transfer?;
            match transfer.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(transfer))),
                Ok(None) => None,
                Err(error) => Some((Err(io::Error::other(error)), None)),
            }
        });
        Ok(Source { size, data: data.boxed() })
    }

    async fn follow(&self, url: &str) -> Result<(String, Answer), FetchError> {
        let mut url = url.to_owned();
        for _ in 0..MAX_REQUESTS {
            let request = self.client.request(Method::GET, url.as_str()).header(ACCEPT_ENCODING, "identity");
            let answer = request.send().await?;
            let status = answer.status();
            // As urllib has it, but a part that nobody asked for, or nothing, is no image.
            if status.is_success() && !matches!(status.as_u16(), 204..=206) {
                return Ok((url, answer));
            }
            let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirects {
                return Err(FetchError::Status(status));
            }
            let target = answer.headers().get(LOCATION).map(|target| percent_encode(target.as_bytes(), &NOT_IN_URLS));
            url = target.and_then(|target| redirected(&url, &target.to_string())).ok_or(FetchError::Redirect)?;
        }
        Err(FetchError::TooManyRedirects)
    }
}

fn options(filter: UrlFilter) -> Options {
    Options {
        tls: Tls::default(),
        timeout: Timeout::Step { connect: CONNECT, read: SILENCE },
        redirects: Redirects::Returned,
        proxies: Proxies::Environment,
        filter: Some(filter),
        in_background: true,
    }
}

/// Where a redirect leads. A host stays as the server writes it: the filter refuses addresses in disguise.
fn redirected(from: &str, target: &str) -> Option<String> {
    let from = Url::parse(from).ok()?;
    if Url::parse(target).is_ok() {
        return Some(target.to_owned());
    }
    let joined = from.join(target).ok()?;
    Some(if target.starts_with("//") { format!("{}:{target}", from.scheme()) } else { joined.into() })
}

/// Data on its way.
struct Transfer {
    web: Web,
    /// Where the data came from in the end.
    url: String,
    same: Option<Same>,
    /// Bytes in all, where the server has said so.
    size: Option<u64>,
    got: u64,
    /// How often it was taken up again since the last byte.
    attempts: u32,
    body: BoxStream<'static, io::Result<Bytes>>,
}

impl Transfer {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let cause = match self.body.next().await {
                Some(Ok(piece)) => {
                    self.got += piece.len() as u64;
                    self.attempts = 0;
                    return Ok(Some(piece));
                }
                None if self.size.is_none_or(|size| self.got >= size) => return Ok(None),
                None => "the server ended it early".to_owned(),
                Some(Err(error)) => error.to_string(),
            };
            self.take_up(cause).await?;
        }
    }

    /// Asks for the rest of the data.
    async fn take_up(&mut self, mut cause: String) -> Result<(), Broken> {
        let got = self.got;
        while let Some(same) = self.same.as_ref().filter(|_| self.attempts < ATTEMPTS) {
            sleep(self.web.first_pause * 2_u32.saturating_pow(self.attempts)).await;
            self.attempts += 1;
            info!(bytes = got, cause, "a download broke off and is taken up again");
            let request = self.web.client.request(Method::GET, self.url.as_str());
            let request = request
                .header(ACCEPT_ENCODING, "identity")
                .header(RANGE, format!("bytes={got}-"))
                .header(IF_RANGE, same.text());
            match request.send().await {
                Err(error) => cause = error.to_string(),
                Ok(answer) if answer.status().is_server_error() => {
                    cause = format!("the server answered {}", answer.status());
                }
                Ok(answer) if answer.status() != StatusCode::PARTIAL_CONTENT => {
                    return Err(Broken::Changed { got, what: "it does not send the rest alone" });
                }
                Ok(answer) if !same.holds_of(answer.headers()) => {
                    return Err(Broken::Changed { got, what: "it has another version" });
                }
                Ok(answer) => {
                    let size = size_of_part_from(answer.headers(), got, self.size);
                    let size = size.ok_or(Broken::Changed { got, what: "it sends another part" })?;
                    // A server may send less than it was asked for, and then gets asked for the rest.
                    self.size = Some(size);
                    self.body = answer.stream().boxed();
                    return Ok(());
                }
            }
        }
        Err(Broken::Lost { got, cause })
    }
}

/// By what a server tells that data is still the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Same {
    ETag(String),
    LastModified(String),
}

impl Same {
    /// A weak tag says that data is alike, which is not enough to join two halves. A time of change says that where there is no tag, and
    /// only when the second is over that it names: until then the data may change and the time stay (RFC 9110, sections 8.8.2 and 13.1.5).
    fn of(headers: &HeaderMap) -> Option<Self> {
        match text(headers, ETAG) {
            Some(tag) => (!tag.starts_with("W/")).then(|| Self::ETag(tag.to_owned())),
            None => text(headers, LAST_MODIFIED)
                .filter(|changed| text(headers, DATE) != Some(*changed))
                .map(|changed| Self::LastModified(changed.to_owned())),
        }
    }

    /// Whether a later answer says nothing else.
    fn holds_of(&self, headers: &HeaderMap) -> bool {
        let now = match self {
            Self::ETag(_) => text(headers, ETAG),
            Self::LastModified(_) => text(headers, LAST_MODIFIED),
        };
        now.is_none_or(|now| now == self.text())
    }

    fn text(&self) -> &str {
        match self {
            Self::ETag(text) | Self::LastModified(text) => text,
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH)?.trim().parse().ok()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Bytes of the whole data, of which a partial answer brings a part from `start` on. `size`: what was known before, and may be all that
/// tells. None where it brings another part, or one of data of another size or of one that nobody tells: its end would be nowhere.
fn size_of_part_from(headers: &HeaderMap, start: u64, size: Option<u64>) -> Option<u64> {
    let (range, whole) = text(headers, CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    if first.parse() != Ok(start) {
        return None;
    }
    let told = if whole == "*" { size? } else { whole.parse().ok()? };
    (size.is_none_or(|size| size == told) && told >= start).then_some(told)
}

#[cfg(test)]
pub(super) mod tests;
