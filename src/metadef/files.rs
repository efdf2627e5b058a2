//! Definitions in files: a JSON document for each namespace, as the packages of upstream's server bring them (upstream:
//! `glance/db/sqlalchemy/metadata.py`).

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::Error;
use super::items::as_stored;
use super::metadefs::Metadefs;
use super::namespaces::documents;
use crate::db::metadefs::{
    self as rows, Item, LoadOutcome, Merge, NamespaceFields, NewAssociation, NewItem, NewNamespace,
};
use crate::schema::python::json::to_bytes;

/// Bytes of a file; upstream's largest has a tenth of a megabyte.
const FILE_MAX: u64 = 16 << 20;

/// Files of definitions can not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("Json schema files not found in {}. Aborting.", .0.display())]
    NoFiles(PathBuf),
    #[error("Failed to parse json file {} while populating metadata due to: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error(transparent)]
    Definitions(#[from] Error),
}

/// The files with definitions: the one at `path`, or all in the directory there whose names end in `.json`, by name.
///
/// # Errors
/// There is no such place, or no such file in it.
pub async fn find_files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    if tokio::fs::metadata(path).await.map_err(failed)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = tokio::fs::read_dir(path).await.map_err(failed)?;
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let file = entry.path();
        let is_json = entry.file_name().to_string_lossy().ends_with(".json");
        if is_json && tokio::fs::metadata(&file).await.is_ok_and(|found| found.is_file()) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(FileError::NoFiles(path.to_owned()));
    }
    files.sort();
    Ok(files)
}

async fn read(path: &Path) -> Result<NewNamespace, FileError> {
    let malformed = |why: String| FileError::Malformed { path: path.to_owned(), why };
    let size = tokio::fs::metadata(path).await.map_err(|error| malformed(error.to_string()))?.len();
    if size > FILE_MAX {
        return Err(malformed(format!("it has {size} bytes, at most {FILE_MAX} are allowed")));
    }
    let text = tokio::fs::read(path).await.map_err(|error| malformed(error.to_string()))?;
    match serde_json::from_slice(&text) {
        Ok(Value::Object(document)) => namespace(&document).map_err(|why| malformed(why.to_owned())),
        Ok(_) => Err(malformed("it is no object".to_owned())),
        Err(error) => Err(malformed(error.to_string())),
    }
}

const NAMELESS: &str = "something in it has no name";

/// What is stored of a file. Upstream takes no notice of which properties of an object are required.
fn namespace(document: &Map<String, Value>) -> Result<NewNamespace, &'static str> {
    let maybe = |of: &Map<String, Value>, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let name = |of: &Map<String, Value>| maybe(of, "name").ok_or(NAMELESS);
    let fields = NamespaceFields {
        namespace: maybe(document, "namespace").ok_or("it names no namespace")?,
        display_name: maybe(document, "display_name"),
        description: maybe(document, "description"),
        visibility: maybe(document, "visibility"),
        protected: document.get("protected").and_then(Value::as_bool),
        owner: document.get("owner").map_or(Some("admin"), Value::as_str).map(str::to_owned),
    };
    let association = |one: &Map<String, Value>| -> Result<_, &'static str> {
        let (prefix, properties_target) = (maybe(one, "prefix"), maybe(one, "properties_target"));
        Ok(NewAssociation { name: name(one)?, prefix, properties_target })
    };
    let object = |one: &Map<String, Value>| -> Result<_, &'static str> {
        let json_schema = Some(as_stored(one.get("properties").unwrap_or(&Value::Null)));
        Ok(NewItem { description: maybe(one, "description"), json_schema, ..NewItem::named(name(one)?) })
    };
    let properties = document.get("properties").and_then(Value::as_object).into_iter().flatten();
    Ok(NewNamespace {
        fields,
        associations: documents(document, "resource_type_associations").map(association).collect::<Result<_, _>>()?,
        objects: documents(document, "objects").map(object).collect::<Result<_, _>>()?,
        tags: documents(document, "tags").map(|tag| name(tag).map(NewItem::named)).collect::<Result<_, _>>()?,
        properties: properties
            .map(|(name, schema)| NewItem { json_schema: Some(as_stored(schema)), ..NewItem::named(name) })
            .collect(),
    })
}

impl Metadefs {
    /// Stores the namespace of a file with all that is in it. The result has its name.
    ///
    /// # Errors
    /// [`FileError::Malformed`], [`FileError::Definitions`].
    pub async fn load(&self, path: &Path, merge: Merge) -> Result<(String, LoadOutcome), FileError> {
        let new = read(path).await?;
        let name = new.fields.namespace.clone();
        let outcome = rows::load(&self.db, new, merge).await.map_err(Error::from)?;
        Ok((name, outcome))
    }

    /// Deletes all definitions. The result names the tables that were emptied.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn unload(&self) -> Result<[&'static str; 6], Error> {
        Ok(rows::unload(&self.db).await?)
    }

    /// Writes a file for each namespace into a directory. `written` hears of each: the name in the file's name, the file, and whether
    /// one was there before.
    ///
    /// # Errors
    /// A file can not be written; what was written before stays.
    pub async fn export(&self, directory: &Path, mut written: impl FnMut(&str, &Path, bool)) -> Result<(), FileError> {
        let mut used = HashSet::new();
        for namespace in rows::all(&self.db).await.map_err(Error::from)? {
            let contents = rows::contents(&self.db, namespace.id).await.map_err(Error::from)?;
            let fields = &namespace.fields;
            let mut name = plain(fields.display_name.as_deref().unwrap_or(&fields.namespace));
            if name.is_empty() || !used.insert(name.clone()) {
                // Upstream writes over the file of another namespace with this name.
                name = format!("{name}{}", namespace.id);
                used.insert(name.clone());
            }
            let path = directory.join(format!("{name}.json"));
            let failed = |source| FileError::Io { path: path.clone(), source };
            let was_there = tokio::fs::try_exists(&path).await.map_err(failed)?;
            let text = to_bytes(&document(fields, &contents)).map_err(|error| failed(error.into()))?;
            // Whoever reads it meanwhile sees the old one or the new one.
            let draft = directory.join(format!(".{name}.json.new"));
            tokio::fs::write(&draft, &text).await.map_err(failed)?;
            tokio::fs::rename(&draft, &path).await.map_err(failed)?;
            written(&name, &path, was_there);
        }
        Ok(())
    }
}

/// Letters and digits alone, as upstream names files.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn document(fields: &NamespaceFields, contents: &rows::Contents) -> Value {
    let schema = |item: &Item| {
        let stored = item.json_schema.as_deref().map(serde_json::from_str::<Value>);
        stored.and_then(Result::ok).unwrap_or_default()
    };
    let associations: Vec<Value> = contents
        .associations
        .iter()
        .map(|one| json!({"name": one.name, "prefix": one.prefix, "properties_target": one.properties_target}))
        .collect();
    let objects: Vec<Value> = contents
        .objects
        .iter()
        .map(|one| json!({"name": one.name, "description": one.description, "properties": schema(one)}))
        .collect();
    let properties: Map<String, Value> =
        contents.properties.iter().map(|one| (one.name.clone(), schema(one))).collect();
    json!({
        "namespace": fields.namespace,
        "display_name": fields.display_name,
        "description": fields.description,
        "visibility": fields.visibility,
        "protected": fields.protected,
        "resource_type_associations": associations,
        "properties": properties,
        "objects": objects,
        // The oldest first, as they were loaded.
        "tags": contents.tags.iter().rev().map(|tag| json!({"name": tag.name})).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_defaults_of_their_own() {
        let file = json!({
            "namespace": "n",
            "objects": [{"name": "o", "required": ["p"]}],
            "properties": {"p": {"title": "P", "x": 1}},
            "tags": [{"name": "t"}],
        });
        let new = namespace(file.as_object().unwrap()).unwrap();
        assert_eq!((new.fields.owner.as_deref(), new.fields.visibility.as_deref()), (Some("admin"), None));
        assert_eq!((new.objects[0].json_schema.as_deref(), new.objects[0].required.as_deref()), (Some("null"), None));
        assert_eq!(new.properties[0].json_schema.as_deref(), Some(r#"{"title": "P", "x": 1}"#));
        for (bad, why) in [
            (json!({}), "it names no namespace"),
            (json!({"namespace": "n", "tags": [{}]}), "something in it has no name"),
        ] {
            assert_eq!(namespace(bad.as_object().unwrap()).unwrap_err(), why);
        }
    }

    #[test]
    fn names_of_files_are_plain() {
        for (name, file) in [("CIM - Processor Setting", "CIMProcessorSetting"), ("a_b/../c é", "abcé"), ("/", "")] {
            assert_eq!(plain(name), file);
        }
    }
}
