use std::borrow::Cow;

use serde_json::{Map, Value};

/// What a rule is asked about: an image, a task, the caller's own project.
pub trait Target: Sync {
    /// The value of `%(key)s`, shown as Python's `str()` shows it: `True`, `None`, digits. `None` where there is no such key: a
    /// check of it refuses. Keys with dots are asked for as they are written.
    fn get(&self, key: &str) -> Option<Cow<'_, str>>;

    /// All keys and values, for an `http:` check's server.
    fn document(&self) -> Map<String, Value>;
}

/// Nothing in particular.
impl Target for () {
    fn get(&self, _key: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }
}
