//! What a client may ask for.

use serde_json::Value;
use uuid::Uuid;

use crate::image::{Image, Status};
use crate::schema::python::{Excerpt, excerpts};
use crate::task::Error;

/// Which of a service's endpoints is meant, and the one that is meant where nothing is said.
const INTERFACE: &str = "glance_service_interface";
const PUBLIC: &str = "public";

/// The document of an import, checked as far as that goes without an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportRequest {
    pub method: Method,
    /// The ids that the document names.
    pub stores: Option<Vec<String>>,
    pub all_stores: bool,
    pub needs_all: bool,
    /// As the client sent it, for the task's record.
    pub document: Value,
}

/// Where the data comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// From the staging area.
    GlanceDirect,
    /// From the web; without a URL nothing passes the filter.
    WebDownload { uri: Option<String> },
    /// From a store that has the image's data.
    CopyImage,
    /// From the Glance of another region.
    GlanceDownload(RemoteImage),
}

/// An image of another region's Glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteImage {
    /// As the service catalog calls it, in any case.
    pub region: String,
    pub id: String,
    /// `public`, `internal` or `admin`.
    pub interface: String,
}

impl ImportRequest {
    /// Reads the document. `enabled`: the methods that the configuration offers.
    ///
    /// # Errors
    /// [`Error::Invalid`], in upstream's words.
    pub fn parse(mut document: Value, enabled: &[String]) -> Result<Self, Error> {
        let invalid = |text: &str| Error::Invalid(text.to_owned());
        let method = document.get("method").ok_or_else(|| invalid("Import request requires a 'method' field."))?;
        let name = method.get("name").ok_or_else(|| invalid("Import request requires a 'name' field."))?;
        let unknown = || {
            Error::Invalid(format!(
                "Unknown import method name '{}'.",
                excerpts([crate::schema::python::display(name)])
            ))
        };
        let name = name.as_str().filter(|name| enabled.iter().any(|known| known == name)).ok_or_else(unknown)?;
        let flag = |key: &str, default: bool| match document.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Error::Invalid(format!("'{key}' must be boolean value only"))),
        };
        let needs_all = flag("all_stores_must_succeed", true)?;
        let all_stores = flag("all_stores", false)?;
        let uri = method.get("uri").and_then(Value::as_str).map(str::to_owned);
        let method = match name {
            "glance-direct" => Method::GlanceDirect,
            "web-download" => Method::WebDownload { uri },
            "copy-image" => Method::CopyImage,
            "glance-download" => Method::GlanceDownload(remote_image(method)),
            _ => return Err(unknown()),
        };
        let stores = match document.get("stores") {
            None => None,
            Some(Value::Array(ids)) => {
                let id = |id: &Value| crate::schema::python::display(id).into_owned();
                Some(ids.iter().map(id).collect())
            }
            Some(_) => return Err(invalid("'stores' must be a list of store identifiers")),
        };
        if let (Method::GlanceDownload(_), Some(fields)) =
            (&method, document.get_mut("method").and_then(Value::as_object_mut))
        {
            // As upstream writes it into the task's record.
            fields.entry(INTERFACE).or_insert_with(|| PUBLIC.into());
        }
        Ok(Self { method, stores, all_stores, needs_all, document })
    }

    /// Whether the image is in a state for it.
    ///
    /// # Errors
    /// [`Error::Conflict`], in upstream's words.
    pub fn check(&self, image: &Image) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::Conflict(text.to_owned()));
        let method = self.method.name();
        let is_copy = self.method == Method::CopyImage;
        match (&self.method, image.status) {
            (method, Status::Active) if *method != Method::CopyImage => {
                return refuse("Image with status active cannot be target for import");
            }
            (Method::CopyImage, status) if status != Status::Active => {
                return refuse("Only images with status active can be targeted for copying");
            }
            (Method::WebDownload { .. } | Method::GlanceDownload(_), status) if status != Status::Queued => {
                return refuse(&format!("Image needs to be in 'queued' state to use '{method}' method"));
            }
            (Method::GlanceDirect, status) if status != Status::Uploading => {
                return refuse("Image needs to be staged before 'glance-direct' method can be used");
            }
            _ => {}
        }
        debug_assert!(is_copy == (image.status == Status::Active));
        let is_set = |format: &Option<String>| format.as_deref().is_some_and(|format| !format.is_empty());
        for (name, is_set) in
            [("container_format", is_set(&image.container_format)), ("disk_format", is_set(&image.disk_format))]
        {
            if !is_set {
                return Err(Error::Conflict(format!("'{name}' needs to be set before import")));
            }
        }
        match &self.method {
            Method::GlanceDownload(_) => self.check_remote(),
            _ => Ok(()),
        }
    }

    /// Whether it says which image of which region it means.
    fn check_remote(&self) -> Result<(), Error> {
        let given = |name: &str| self.document.get("method").and_then(|method| method.get(name));
        for name in ["glance_region", "glance_image_id"] {
            if given(name).is_none() {
                return Err(Error::Invalid(format!("'{name}' needs to be set for glance-download import method")));
            }
        }
        match &self.method {
            Method::GlanceDownload(image) if Uuid::try_parse(&image.id).is_err() => {
                Err(Error::Invalid(format!("Remote image id does not look like a UUID: {}", Excerpt(&image.id))))
            }
            _ => Ok(()),
        }
    }
}

impl Method {
    /// Whether the data comes from another service.
    pub(super) fn is_download(&self) -> bool {
        matches!(self, Self::WebDownload { .. } | Self::GlanceDownload(_))
    }

    /// As clients call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::GlanceDirect => "glance-direct",
            Self::WebDownload { .. } => "web-download",
            Self::CopyImage => "copy-image",
            Self::GlanceDownload(_) => "glance-download",
        }
    }
}

/// Which image a document means; what it does not say is empty, and refused when the image is looked at.
fn remote_image(method: &Value) -> RemoteImage {
    let text = |name: &str| method.get(name).map(|value| crate::schema::python::display(value).into_owned());
    RemoteImage {
        region: text("glance_region").unwrap_or_default(),
        id: text("glance_image_id").unwrap_or_default(),
        interface: text(INTERFACE).unwrap_or_else(|| PUBLIC.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_refused_in_upstreams_words() {
        let enabled = ["glance-direct", "web-download"].map(str::to_owned);
        for (document, expected) in [
            (json!({}), "Import request requires a 'method' field."),
            (json!([]), "Import request requires a 'method' field."),
            (json!({"method": {}}), "Import request requires a 'name' field."),
            (json!({"method": "x"}), "Import request requires a 'name' field."),
            (json!({"method": {"name": "x"}}), "Unknown import method name 'x'."),
            (json!({"method": {"name": "copy-image"}}), "Unknown import method name 'copy-image'."),
            (json!({"method": {"name": null}}), "Unknown import method name 'None'."),
            (
                json!({"method": {"name": "glance-direct"}, "all_stores_must_succeed": "yes", "all_stores": 1}),
                "'all_stores_must_succeed' must be boolean value only",
            ),
            (json!({"method": {"name": "glance-direct"}, "all_stores": 1}), "'all_stores' must be boolean value only"),
        ] {
            let error = ImportRequest::parse(document.clone(), &enabled).unwrap_err();
            assert_eq!(error.to_string(), expected, "{document}");
        }
        let document = json!({"method": {"name": "web-download", "uri": "http://x"}, "stores": ["a"], "more": 1});
        let request = ImportRequest::parse(document.clone(), &enabled).unwrap();
        let expected = ImportRequest {
            method: Method::WebDownload { uri: Some("http://x".to_owned()) },
            stores: Some(vec!["a".to_owned()]),
            all_stores: false,
            needs_all: true,
            document,
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn another_regions_image_is_named_whole() {
        let request =
            |method: Value| ImportRequest::parse(json!({"method": method}), &["glance-download".to_owned()]).unwrap();
        let id = "0d0d0d0d-0000-4000-8000-000000000001";
        for (method, expected) in [
            (json!({"name": "glance-download"}), "'glance_region' needs to be set for glance-download import method"),
            (
                json!({"name": "glance-download", "glance_region": null}),
                "'glance_image_id' needs to be set for glance-download import method",
            ),
            (
                json!({"name": "glance-download", "glance_region": "R", "glance_image_id": [1]}),
                "Remote image id does not look like a UUID: [1]",
            ),
        ] {
            assert_eq!(request(method).check_remote().unwrap_err().to_string(), expected);
        }
        let given = json!({"name": "glance-download", "glance_region": "R", "glance_image_id": id});
        let asked = request(given);
        asked.check_remote().unwrap();
        assert_eq!(asked.document["method"]["glance_service_interface"], "public", "as the task's record says it");
        let image = RemoteImage { region: "R".to_owned(), id: id.to_owned(), interface: "public".to_owned() };
        assert_eq!(asked.method, Method::GlanceDownload(image));
    }
}
