//! JSON Schema (draft 2020-12) as far as upstream's schemas go, with the words of Python's jsonschema.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::flaw::{self, Flaw, Step};
use super::keywords;
use super::python::repr;

/// Steps into a value or through references. serde_json reads no deeper values; a schema that refers to itself ends here.
const DEPTH_MAX: usize = 128;

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
pub struct Schema {
    name: String,
    raw: Value,
    /// By their text. A pattern that can not be used is missing, and nothing matches it.
    patterns: HashMap<String, Regex>,
}

impl Schema {
    /// `name` is what error texts call it. Use [`Schema::check`] on one that others wrote.
    pub fn new(name: &str, raw: Value) -> Self {
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
    pub fn check(&self) -> Result<(), String> {
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
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// # Errors
    /// The flaw that matters most.
    pub fn validate(&self, value: &Value) -> Result<(), Mismatch> {
        match flaw::best(self.flaws(value, &self.raw, 0)) {
            None => Ok(()),
            Some(flaw) => Err(Mismatch { schema: self.name.clone(), reason: flaw.to_string() }),
        }
    }

    /// All flaws of a value, in the order of the schema's keywords.
    pub(super) fn flaws<'a>(&'a self, instance: &'a Value, schema: &'a Value, depth: usize) -> Vec<Flaw<'a>> {
        let members = match schema {
            Value::Object(members) if depth < DEPTH_MAX => members,
            Value::Bool(true) => return Vec::new(),
            _ => {
                let message = format!("False schema does not allow {}", repr(instance));
                return vec![new(message, None, instance, schema)];
            }
        };
        let mut all = Vec::new();
        for (keyword, value) in members {
            let found = keywords::apply(self, keyword, value, instance, schema, depth);
            all.extend(found.into_iter().map(|mut flaw| {
                if keyword != "$ref" {
                    flaw.schema_path.push_front(Step::Key(keyword));
                }
                flaw
            }));
        }
        all
    }

    /// The flaws of a part of a value, with the steps that lead to it.
    pub(super) fn descend<'a>(
        &'a self,
        instance: &'a Value,
        schema: &'a Value,
        depth: usize,
        step: Option<Step<'a>>,
        schema_step: Option<Step<'a>>,
    ) -> Vec<Flaw<'a>> {
        let mut flaws = self.flaws(instance, schema, depth + 1);
        for flaw in &mut flaws {
            step.into_iter().for_each(|step| flaw.path.push_front(step));
            schema_step.into_iter().for_each(|step| flaw.schema_path.push_front(step));
        }
        flaws
    }

    /// `re.search`
    pub(super) fn matches(&self, pattern: &str, text: &str) -> bool {
        self.patterns.get(pattern).is_some_and(|regex| regex.is_match(text))
    }
}

/// A flaw right here.
pub(super) fn new<'a>(message: String, keyword: Option<&'a str>, instance: &'a Value, schema: &'a Value) -> Flaw<'a> {
    Flaw { message, keyword, instance, schema, path: [].into(), schema_path: [].into(), context: Vec::new() }
}
