//! What the words of a path mean to an auditor: `audit_map_file` (upstream: `OpenStackAuditApi` in
//! `keystonemiddleware/audit/_api.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use http::Method;

use super::AuditMapError;
use crate::config;
use crate::http::ini::Ini;

pub(super) const UNKNOWN: &str = "unknown";

/// The file's sections. Names are in lower case, as Python's `configparser` has them; values are as they stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AuditMap {
    /// Words of paths that stand for a list of resources, and what one of these is called.
    path_keywords: BTreeMap<String, String>,
    /// Actions by the last word of a path, with or without `/method` behind it.
    custom_actions: BTreeMap<String, String>,
    /// CADF's types by the types of the service catalog.
    service_endpoints: BTreeMap<String, String>,
    /// The type of the service in the catalog, where the address of the request is none that the catalog has.
    pub(super) target_endpoint_type: Option<String>,
}

impl AuditMap {
    /// Asks the file system.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that means nothing.
    pub(super) fn read(path: &Path) -> Result<Self, AuditMapError> {
        let text = fs::read(path).and_then(config::ini::text).map_err(AuditMapError::Read)?;
        Self::parse(&text)
    }

    pub(super) fn parse(text: &str) -> Result<Self, AuditMapError> {
        let ini = Ini::parse(text, Path::new(""))?;
        let lower = |options: BTreeMap<String, String>| -> BTreeMap<String, String> {
            options.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect()
        };
        let section = |name: &str| ini.find(&[name.to_owned()]).map(|(_, own)| lower(own)).unwrap_or_default();
        Ok(Self {
            path_keywords: section("path_keywords"),
            custom_actions: section("custom_actions"),
            service_endpoints: section("service_endpoints"),
            target_endpoint_type: lower(ini.defaults().clone()).remove("target_endpoint_type"),
        })
    }

    /// CADF's action for a request. `path`: percent-encoded.
    ///
    /// Upstream also looks into the body of a request whose path ends with `action`, which no route of this service does.
    pub(super) fn action(&self, method: &Method, path: &str) -> String {
        let word = without_json(path.strip_suffix('/').unwrap_or(path).rsplit('/').next().unwrap_or_default());
        let with_method = format!("{word}/{}", method.as_str().to_lowercase());
        if let Some(custom) = self.custom_actions.get(&with_method).or_else(|| self.custom_actions.get(word)) {
            return custom.clone();
        }
        let is_known = self.path_keywords.contains_key(word);
        let action = match *method {
            Method::POST if is_known || word == "action" => "create",
            Method::GET if is_known => "read/list",
            Method::GET | Method::HEAD => "read",
            Method::POST | Method::PUT | Method::PATCH => "update",
            Method::DELETE => "delete",
            _ => UNKNOWN,
        };
        action.to_owned()
    }

    /// CADF's type of the service that the catalog calls so.
    pub(super) fn service_type(&self, endpoint_type: &str) -> &str {
        self.service_endpoints.get(endpoint_type).map_or(UNKNOWN, String::as_str)
    }

    /// CADF's type of what a path names, below that of its service.
    pub(super) fn type_uri(&self, service_type: &str, path: &str) -> String {
        let mut uri = service_type.to_owned();
        let mut before = None;
        for word in path.split('/').map(without_json) {
            let name = if self.path_keywords.contains_key(word) {
                Some(word)
            } else {
                before.and_then(|before| self.path_keywords.get(before)).map(String::as_str)
            };
            if let Some(name) = name {
                uri.push('/');
                uri.push_str(name);
            }
            before = Some(word);
        }
        uri
    }
}

fn without_json(word: &str) -> &str {
    word.strip_suffix(".json").unwrap_or(word)
}
