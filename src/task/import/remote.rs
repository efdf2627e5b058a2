//! Images of another region's Glance (upstream: `glance/async_/flows/_internal_plugins/glance_download.py`, and `_ImportMetadata` in
//! `glance/async_/flows/api_image_import.py`).
//!
//! The service is looked up in the caller's catalog and asked with the caller's token, which goes to that service alone: redirects
//! to others are refused. As upstream has it, its URL must pass the filter of `[import_filtering_opts]`.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::StatusCode;
use http::header::HeaderName;
use serde_json::Value;

use super::request::RemoteImage;
use super::source::Source;
use super::web::{CONNECT, SILENCE};
use crate::config::Config;
use crate::identity::Context;
use crate::image::schema::{DISALLOWED, ImageSchema, RESERVED};
use crate::image::{RESERVED_NAMESPACE, Status};
use crate::keystone::catalog;
use crate::keystone::outgoing::{
    Answer, ClientError, Options, Outgoing, Proxies, Redirects, RequestError, Timeout, Tls, UrlFilter,
};
use crate::schema::python::Excerpt;

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Bytes of the document about an image.
const DOCUMENT: usize = 1 << 20;

/// Characters that the columns of an image's formats hold.
const FORMAT_LENGTH: usize = 20;

/// Characters that the column of a property's name holds.
const NAME_LENGTH: usize = 255;

/// Asks other Glances.
#[derive(Clone, Debug)]
pub(in crate::task) struct Remote {
    client: Outgoing,
    /// How the names of the properties begin that are copied.
    prefixes: Arc<[String]>,
    /// Names that no custom property has.
    fields: Arc<HashSet<String>>,
}

/// What another Glance knows of an image, and its data.
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) disk_format: String,
    pub(super) container_format: String,
    /// Custom properties that are to be copied.
    pub(super) properties: Vec<(String, String)>,
}

/// There is no image. No text holds more of the service's URL than its origin.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    #[error("{} glance endpoint not found for region {}", Excerpt(.interface), Excerpt(.region))]
    Endpoint { interface: String, region: String },
    #[error("Source image status should be active instead of {}", Excerpt(.0))]
    Inactive(String),
    #[error("Size attribute of remote image {} could not be determined.", Excerpt(.0))]
    Size(String),
    #[error("the answer of the other service is not an image: {0}")]
    Document(String),
    #[error("the other service answered {0}")]
    Status(StatusCode),
    #[error("{0}")]
    Request(#[from] RequestError),
}

/// Other data came than the other service had said.
#[derive(Debug, thiserror::Error)]
#[error("Task {task_id} failed because downloaded data size {got} is different from expected {expected}")]
struct OtherSize {
    task_id: String,
    got: u64,
    expected: u64,
}

impl Remote {
    /// `filter`: what each URL must pass. Reads no file, makes no connection.
    ///
    /// # Errors
    /// The proxies of the environment cannot be used.
    pub(in crate::task) fn new(config: &Config, filter: UrlFilter) -> Result<Self, ClientError> {
        let client = Outgoing::new(Options {
            tls: Tls::default(),
            timeout: Timeout::Step { connect: CONNECT, read: SILENCE },
            redirects: Redirects::SameOrigin,
            proxies: Proxies::Environment,
            filter: Some(filter),
            in_background: true,
        })?;
        let schema = ImageSchema::new(config);
        let fields = schema.names().chain(DISALLOWED.iter().copied()).chain(RESERVED.iter().copied());
        Ok(Self {
            client,
            prefixes: config.glance_download_properties.extra_properties.clone().into(),
            fields: Arc::new(fields.map(str::to_owned).collect()),
        })
    }

    /// Asks for an image on the caller's behalf, and waits for the head of its data.
    ///
    /// # Errors
    /// There is none, or none that is active.
    pub(super) async fn open(
        &self,
        caller: &Context,
        image: &RemoteImage,
        task_id: &str,
    ) -> Result<Found, RemoteError> {
        let url = image_url(caller, image)?;
        let document = self.get(&url, caller).await?.bytes(DOCUMENT).await?;
        let document: Value =
            serde_json::from_slice(&document).map_err(|error| RemoteError::Document(error.to_string()))?;
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        let missing = |name: &str| RemoteError::Document(format!("it has no {name}"));
        let status = text("status").ok_or_else(|| missing("status"))?;
        if status != Status::Active.as_str() {
            return Err(RemoteError::Inactive(status));
        }
        let format =
            |name| text(name).filter(|text| text.chars().count() <= FORMAT_LENGTH).ok_or_else(|| missing(name));
        let (disk_format, container_format) = (format("disk_format")?, format("container_format")?);
        let size = document.get("size").and_then(Value::as_u64);
        let size = size.ok_or_else(|| RemoteError::Size(image.id.clone()))?;
        let properties = self.copied(&document);
        let answer = self.get(&format!("{url}/file"), caller).await?;
        let data = whole(answer.stream().boxed(), size, task_id.to_owned());
        Ok(Found { source: Source { size: Some(size), data }, disk_format, container_format, properties })
    }

    async fn get(&self, url: &str, caller: &Context) -> Result<Answer, RemoteError> {
        let mut request = self.client.get(url);
        if let Some(token) = &caller.token {
            request = request.header(AUTH_TOKEN, token.expose());
        }
        let answer = request.send().await?;
        if answer.status() == StatusCode::OK { Ok(answer) } else { Err(RemoteError::Status(answer.status())) }
    }

    /// The properties whose names begin as the configuration wants, but what the service itself sets.
    fn copied(&self, document: &Value) -> Vec<(String, String)> {
        let is_wanted = |name: &str| {
            self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
                && !name.starts_with(RESERVED_NAMESPACE)
                && !self.fields.contains(name)
                && name.chars().count() <= NAME_LENGTH
        };
        let fields = document.as_object().into_iter().flatten();
        let named = fields.filter(|(name, _)| is_wanted(name));
        named.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    }
}

fn image_url(caller: &Context, image: &RemoteImage) -> Result<String, RemoteError> {
    let catalog = caller.service_catalog.as_deref();
    let found = catalog.and_then(|all| catalog::endpoint_in_region(all, "image", &image.interface, &image.region));
    let endpoint = found
        .ok_or_else(|| RemoteError::Endpoint { interface: image.interface.clone(), region: image.region.clone() })?;
    Ok(format!("{endpoint}/v2/images/{}", image.id))
}

/// The data, with an error where it has another length than `size`.
fn whole(
    data: BoxStream<'static, io::Result<Bytes>>,
    size: u64,
    task_id: String,
) -> BoxStream<'static, io::Result<Bytes>> {
    let state = Some((data, 0));
    stream::unfold(state, move |state| {
        let task_id = task_id.clone();
        async move {
            let (mut data, mut got) = state?;
            let other = |got| io::Error::other(OtherSize { task_id, got, expected: size });
            match data.next().await {
                Some(Ok(piece)) => {
                    got += piece.len() as u64;
                    if got > size { Some((Err(other(got)), None)) } else { Some((Ok(piece), Some((data, got)))) }
                }
                Some(Err(error)) => Some((Err(error), None)),
                None if got < size => Some((Err(other(got)), None)),
                None => None,
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests;
