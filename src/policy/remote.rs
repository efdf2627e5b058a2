//! `http:` and `https:` checks: a server decides (upstream: `oslo_policy/_external.py`).

use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::form_urlencoded;

use super::credentials;
use super::target::Target;
use crate::config::OsloPolicySection;
use crate::identity::Context;
use crate::keystone::outgoing::{ClientError, Options, Outgoing, RequestError, Timeout, Tls};

/// Asks servers, over connections that are made when the first rule needs one.
#[derive(Debug)]
pub(super) struct Remote {
    options: Options,
    as_json: bool,
    client: OnceCell<Outgoing>,
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
        let timeout = Duration::try_from_secs_f64(options.remote_timeout).unwrap_or(Duration::from_secs(60));
        Self {
            options: Options { tls, timeout: Timeout::Whole(timeout), ..Options::default() },
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
    ) -> Result<bool, RequestError> {
        let client = self.client.get_or_try_init(|| self.connect()).await?;
        let (content_type, body) = self.payload(rule, target, context);
        let answer = client.post(url).header(CONTENT_TYPE, content_type).body(body).send().await?;
        // Whatever the status is: upstream does not look at it.
        Ok(answer.bytes(MAX_ANSWER).await?.trim_ascii_quotes() == b"True")
    }

    /// Reads the files of the options.
    async fn connect(&self) -> Result<Outgoing, ClientError> {
        let options = self.options.clone();
        let made = tokio::task::spawn_blocking(move || Outgoing::new(options)).await;
        made.map_err(ClientError::Interrupted)?
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
