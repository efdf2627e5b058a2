//! Requests that another host has to answer, because it has the staged data (upstream: `_proxy_request_to_host` in
//! `glance/api/v2/images.py`).
//!
//! The answers where the other host refuses or cannot be reached are those that upstream's code means to give. Its client (a Session of
//! keystoneauth) raises errors of its own in these cases, which nothing there catches, so that upstream answers 500.

use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::Value;

use super::header::IMAGE_STORE;
use super::{Call, Error, Response, domain_errors};
use crate::config::Config;
use crate::image::{HOSTS, Image};
use crate::keystone::outgoing::{ClientError, Options, Outgoing, RequestError, Timeout};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// A request has it that another host has sent on. Upstream knows nothing of it, and sends a request round and round whose URL leads back:
/// one that was recorded when a host had another name, or that of a load balancer.
const SENT_ON: HeaderName = HeaderName::from_static("x-glance-sent-on");

/// As long as upstream waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Other hosts that serve the same images.
pub(super) struct Peers {
    client: Outgoing,
    /// Where others reach this host.
    self_url: Option<String>,
}

/// Nobody has answered for another host.
#[derive(Debug)]
pub(super) enum NotForwarded {
    /// It cannot be reached.
    Unreachable(Error),
    /// It has refused.
    Refused(Error),
}

impl From<NotForwarded> for Error {
    fn from(error: NotForwarded) -> Self {
        match error {
            NotForwarded::Unreachable(error) | NotForwarded::Refused(error) => error,
        }
    }
}

impl Peers {
    /// # Errors
    /// The proxies of the environment cannot be used.
    pub(super) fn new(config: &Config) -> Result<Self, ClientError> {
        let client = Outgoing::new(Options { timeout: Timeout::Whole(PATIENCE), ..Options::default() })?;
        Ok(Self { client, self_url: config.default.self_url() })
    }

    /// The URL of the host that has to answer for this image; `None`: this one.
    pub(super) fn host_of<'i>(&self, image: &'i Image) -> Option<&'i str> {
        let hosts = HOSTS.iter().filter_map(|name| image.property(name));
        hosts.filter(|host| !host.is_empty()).find(|host| self.self_url.as_deref() != Some(host))
    }

    /// Whether another host has sent the request on, because this one is to have the staged data.
    pub(super) fn is_sent_on(call: &Call<'_>) -> bool {
        call.headers.contains_key(SENT_ON)
    }

    /// Sends the request on, with the caller's token and the store that a header names, which upstream forgets, and gives the client's
    /// `answer` the request id of the other host, whose log tells what became of it. `path`: with its leading slash. What another host has
    /// sent on goes no further.
    ///
    /// # Errors
    /// [`NotForwarded`], with the answer for the client.
    pub(super) async fn forward(
        &self,
        call: &Call<'_>,
        method: Method,
        host: &str,
        path: &str,
        document: Option<&Value>,
        mut answer: Response,
    ) -> Result<Response, NotForwarded> {
        if Self::is_sent_on(call) {
            tracing::error!(host, %method, path, "a request for staged data came from another host and is not sent on again");
            return Err(NotForwarded::Unreachable(domain_errors::of_forwarding_round()));
        }
        tracing::info!(host, %method, path, "a request is sent on to the host that has the staged data");
        let request = self.client.request(method, format!("{host}{path}"));
        let mut request = request.header(SENT_ON, "true");
        if let Some(token) = &call.context.token {
            request = request.header(AUTH_TOKEN, token.expose());
        }
        for store in call.headers.get_all(IMAGE_STORE) {
            request = request.header(IMAGE_STORE, store);
        }
        if let Some(document) = document {
            request = request.json(document);
        }
        let answered = request.send().await.map_err(unreachable)?;
        let (status, request_id) = (answered.status(), answered.headers().get(REQUEST_ID).cloned());
        tracing::debug!(host, %status, ?request_id, "the other host has answered");
        if status.is_success() {
            answer.headers_mut().extend(request_id.map(|id| (REQUEST_ID, id)));
            return Ok(answer);
        }
        let mut refusal = domain_errors::of_forwarded(status);
        refusal.headers.extend(request_id.map(|id| (REQUEST_ID, id)));
        Err(NotForwarded::Refused(refusal))
    }
}

fn unreachable(error: RequestError) -> NotForwarded {
    tracing::error!(%error, "the host that has the staged data cannot be reached");
    NotForwarded::Unreachable(domain_errors::of_forwarding(error))
}
