//! `http:` and `https:` checks: a server decides (upstream: `oslo_policy/_external.py`).

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::form_urlencoded;

use super::{Target, credentials};
use crate::config::OsloPolicySection;
use crate::identity::Context;
use crate::keystone::outgoing::{self, ClientError, Tls, TransportError};

/// Asks servers, over connections that are made when the first rule needs one.
#[derive(Debug)]
pub(super) struct Remote {
    tls: Tls,
    timeout: Duration,
    as_json: bool,
    client: OnceCell<reqwest::Client>,
}

/// A server that should decide did not. The URL is left out: it may hold credentials.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Http(#[from] TransportError),
    #[error("{0}")]
    Interrupted(#[source] tokio::task::JoinError),
    #[error("the answer has more than {MAX_ANSWER} bytes")]
    Size,
}

/// `True` in quotes is all that matters.
const MAX_ANSWER: usize = 64 << 10;

impl Remote {
    pub(super) fn new(options: &OsloPolicySection) -> Self {
        let tls = Tls {
            ca_file: options.remote_ssl_ca_crt_file.clone().filter(|_| options.remote_ssl_verify_server_crt),
            cert_file: options.remote_ssl_client_crt_file.clone(),
            key_file: options.remote_ssl_client_key_file.clone(),
            insecure: !options.remote_ssl_verify_server_crt,
        };
        Self {
            tls,
            timeout: Duration::try_from_secs_f64(options.remote_timeout).unwrap_or(Duration::from_secs(60)),
            as_json: options.remote_content_type == "application/json",
            client: OnceCell::new(),
        }
    }

    /// What the server says about `rule`.
    pub(super) async fn ask(
        &self,
        url: &str,
        rule: &str,
        target: &dyn Target,
        context: &Context,
    ) -> Result<bool, RemoteError> {
        let client = self.client.get_or_try_init(|| self.connect()).await?;
        let (content_type, body) = self.payload(rule, target, context);
        let request = client.post(url).timeout(self.timeout).header(CONTENT_TYPE, content_type).body(body);
        let mut response = request.send().await.map_err(TransportError::from)?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(TransportError::from)? {
            if answer.len() + chunk.len() > MAX_ANSWER {
                return Err(RemoteError::Size);
            }
            answer.extend_from_slice(&chunk);
        }
        // Whatever the status is: upstream does not look at it.
        Ok(answer.trim_ascii_quotes() == b"True")
    }

    async fn connect(&self) -> Result<reqwest::Client, RemoteError> {
        let tls = self.tls.clone();
        let made = tokio::task::spawn_blocking(move || outgoing::client(&tls)).await;
        Ok(made.map_err(RemoteError::Interrupted)??)
    }

    fn payload(&self, rule: &str, target: &dyn Target, context: &Context) -> (HeaderValue, String) {
        let target = Value::Object(target.document());
        let credentials = credentials::document(context);
        if self.as_json {
            let body = json!({"rule": rule, "target": target, "credentials": credentials});
            return (HeaderValue::from_static("application/json"), body.to_string());
        }
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("rule", &Value::from(rule).to_string())
            .append_pair("target", &target.to_string())
            .append_pair("credentials", &credentials.to_string())
            .finish();
        (HeaderValue::from_static("application/x-www-form-urlencoded"), body)
    }
}

trait TrimQuotes {
    fn trim_ascii_quotes(&self) -> &[u8];
}

impl TrimQuotes for Vec<u8> {
    fn trim_ascii_quotes(&self) -> &[u8] {
        let mut text = self.as_slice();
        while let Some(rest) = text.strip_prefix(b"\"") {
            text = rest;
        }
        while let Some(rest) = text.strip_suffix(b"\"") {
            text = rest;
        }
        text
    }
}
