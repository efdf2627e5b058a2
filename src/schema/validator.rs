//! JSON Schema (draft 2020-12) as far as upstream's schemas go, with the words of Python's jsonschema.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::flaw::Found;
use super::keywords;
use super::walk::Walk;

/// A value that fails its schema, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Provided object does not match schema '{schema}': {reason}")]
pub struct Mismatch {
    /// Name of the schema.
    pub schema: String,
    pub reason: String,
}

/// A schema ready for use.
#[derive(Debug)]
pub(crate) struct Schema {
    name: String,
    raw: Value,
    /// By their text. A pattern that can not be used is missing, and nothing matches it.
    patterns: HashMap<String, Regex>,
}

impl Schema {
    /// `name` is what error texts call it. Use [`Schema::check`] on one that others wrote.
    pub(crate) fn new(name: &str, raw: Value) -> Self {
        let mut patterns = HashMap::new();
        keywords::visit(&raw, &mut |keyword, value| {
            for pattern in keywords::patterns(keyword, value) {
                if let Ok(regex) = Regex::new(pattern) {
                    patterns.insert(pattern.to_owned(), regex);
                }
            }
        });
        Self { name: name.to_owned(), raw, patterns }
    }

    /// Whether all of the schema is understood.
    ///
    /// # Errors
    /// What is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut problem = None;
        keywords::visit(&self.raw, &mut |keyword, value| {
            let unusable = keywords::patterns(keyword, value).find(|pattern| !self.patterns.contains_key(*pattern));
            if let Some(pattern) = unusable {
                problem.get_or_insert_with(|| format!("pattern {pattern} can not be used"));
            } else if let Some(what) = keywords::problem(keyword, value) {
                problem.get_or_insert(what);
            }
        });
        problem.map_or(Ok(()), Err)
    }

    /// As it was given.
    pub(crate) fn raw(&self) -> &Value {
        &self.raw
    }

    /// Takes time and memory in proportion to the value.
    ///
    /// # Errors
    /// The flaw that matters most.
    pub(crate) fn validate(&self, value: &Value) -> Result<(), Mismatch> {
        let mut walk = Walk::new(self, Found::Greatest(None));
        walk.look(value, &self.raw);
        match walk.into_found().best() {
            None => Ok(()),
            Some(flaw) => Err(Mismatch { schema: self.name.clone(), reason: flaw.to_string() }),
        }
    }

    /// `re.search`
    pub(super) fn matches(&self, pattern: &str, text: &str) -> bool {
        self.patterns.get(pattern).is_some_and(|regex| regex.is_match(text))
    }
}
