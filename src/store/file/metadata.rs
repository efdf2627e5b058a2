//! `filesystem_store_metadata_file`: what consumers that mount the same directory (Nova) learn from a location.

use serde_json::{Map, Value};

const OPTION: &str = "filesystem_store_metadata_file";

/// The mount points of the file, in its order.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    mounts: Vec<Map<String, Value>>,
}

impl Metadata {
    /// Reads the file: one object or a list of them, each with the texts `id` and `mountpoint`, and nothing in it but
    /// texts, lists and objects.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| {
            format!("{OPTION}: The path for the metadata file {path} could not be accessed: {error}.")
        })?;
        Self::parse(&text).map_err(|error| {
            format!("{OPTION}: The JSON in the metadata file {path} is not valid and it can not be used: {error}.")
        })
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let list = match serde_json::from_slice(text).map_err(|error| error.to_string())? {
            Value::Array(list) => list,
            single => vec![single],
        };
        let mut mounts = Vec::new();
        for item in list {
            let Value::Object(mount) = item else { return Err("not an object".to_owned()) };
            for required in ["id", "mountpoint"] {
                if !mount.get(required).is_some_and(Value::is_string) {
                    return Err(format!("'{required}' is a required property and must be a string"));
                }
            }
            if let Some((key, _)) = mount.iter().find(|(_, value)| !is_plain(value)) {
                return Err(format!("the key {key} is neither text nor made of text"));
            }
            mounts.push(mount);
        }
        Ok(Self { mounts })
    }

    /// What the location of a file has for its metadata: the first entry whose mount point its path starts with.
    pub(super) fn of(&self, path: &str) -> Map<String, Value> {
        let holds = |mount: &&Map<String, Value>| {
            mount.get("mountpoint").and_then(Value::as_str).is_some_and(|at| path.starts_with(at))
        };
        let found = self.mounts.iter().find(holds).cloned();
        if found.is_none() && !self.mounts.is_empty() {
            tracing::error!(path, "no mount point of filesystem_store_metadata_file holds this image");
        }
        found.unwrap_or_default()
    }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(list) => list.iter().all(is_plain),
        Value::Object(map) => map.values().all(is_plain),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_holds_the_image_is_its_metadata() {
        let text = br#"[{"id": "a", "mountpoint": "/a"}, {"id": "b", "mountpoint": "/b", "x": ["y", {"z": "w"}]}]"#;
        let metadata = Metadata::parse(text).unwrap();
        assert_eq!(
            Value::Object(metadata.of("/b/1")),
            serde_json::json!({"id": "b", "mountpoint": "/b", "x": ["y", {"z": "w"}]})
        );
        assert!(metadata.of("/c/1").is_empty());
        assert!(Metadata::default().of("/a/1").is_empty());
        let single = Metadata::parse(br#"{"id": "a", "mountpoint": "/"}"#).unwrap();
        assert_eq!(single.of("/x").get("id"), Some(&Value::from("a")));
    }

    #[test]
    fn bad_files_are_refused() {
        for text in [
            "",
            "5",
            "[5]",
            "{}",
            r#"{"id": 1, "mountpoint": "/"}"#,
            r#"{"id": "a"}"#,
            r#"{"id": "a", "mountpoint": "/", "n": 1}"#,
        ] {
            Metadata::parse(text.as_bytes()).unwrap_err();
        }
        let error = Metadata::read("/does/not/exist").unwrap_err();
        assert!(error.contains("could not be accessed"), "{error}");
    }
}
