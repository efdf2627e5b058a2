//! The service catalog that belongs to a token, for who has the token.

use http::HeaderName;
use http::header::ACCEPT;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::error::KeystoneError;
use super::outgoing::Outgoing;
use super::{answer, discovery};
use crate::config::Secret;

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// What was asked for, for messages.
const WHAT: &str = "the service catalog of a token";

/// Asks the Keystone at `url` for the catalog of a token, which itself is all that is shown to it.
///
/// # Errors
/// Keystone is not there, does not know the token, or answers nonsense.
pub(crate) async fn catalog_of_token(client: &Outgoing, url: &Url, token: &Secret) -> Result<Value, KeystoneError> {
    let url = discovery::below(&discovery::v3(client, url, true).await?, &["auth", "catalog"]);
    let request = client.get(url.as_str()).header(ACCEPT, "application/json").header(X_AUTH_TOKEN, token.expose());
    let answer = answer::successful(request.send().await?, WHAT)?;
    let (document, _) = answer::json::<Document>(answer, WHAT).await?;
    Ok(document.catalog)
}

#[derive(Deserialize)]
struct Document {
    catalog: Value,
}
