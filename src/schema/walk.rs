//! The way through a value and its schema side by side.

use serde_json::Value;

use super::flaw::{Found, Spot, Step};
use super::keywords;
use super::python::repr;
use super::validator::Schema;

/// Steps into a value or through references. serde_json reads no deeper values; a schema that refers to itself ends here.
const DEPTH_MAX: usize = 128;

/// Where the walk is, and what it has found so far.
pub(super) struct Walk<'a> {
    pub(super) schema: &'a Schema,
    path: Vec<Step<'a>>,
    schema_path: Vec<Step<'a>>,
    depth: usize,
    found: Found<'a>,
    /// Flaws found, kept or not.
    count: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(schema: &'a Schema, found: Found<'a>) -> Self {
        Self { schema, path: Vec::new(), schema_path: Vec::new(), depth: 0, found, count: 0 }
    }

    /// A walk from here for the choices of `anyOf` and `oneOf`, whose flaws are compared with each other alone.
    pub(super) fn among_choices(&self) -> Self {
        Self { depth: self.depth, ..Self::new(self.schema, Found::Least(Vec::new())) }
    }

    pub(super) fn into_found(self) -> Found<'a> {
        self.found
    }

    /// Looks for all flaws of a value, in the order of the schema's keywords.
    pub(super) fn look(&mut self, instance: &'a Value, schema: &'a Value) {
        let members = match schema {
            Value::Object(members) if self.depth < DEPTH_MAX => members,
            Value::Bool(true) => return,
            _ => {
                let spot = Spot { keyword: None, instance, schema };
                return self.tell(spot, || format!("False schema does not allow {}", repr(instance)));
            }
        };
        for (keyword, value) in members {
            let is_step = keyword != "$ref";
            if is_step {
                self.schema_path.push(Step::Key(keyword));
            }
            keywords::apply(self, Spot { keyword: Some(keyword), instance, schema }, value);
            if is_step {
                self.schema_path.pop();
            }
        }
    }

    /// Looks at a part of a value, or at the same value with a part of the schema. True if nothing is wrong.
    pub(super) fn descend(
        &mut self,
        instance: &'a Value,
        schema: &'a Value,
        step: Option<Step<'a>>,
        schema_step: Option<Step<'a>>,
    ) -> bool {
        let (before, length, schema_length) = (self.count, self.path.len(), self.schema_path.len());
        self.path.extend(step);
        self.schema_path.extend(schema_step);
        self.depth += 1;
        self.look(instance, schema);
        self.depth -= 1;
        self.path.truncate(length);
        self.schema_path.truncate(schema_length);
        self.count == before
    }

    /// Something is wrong right here.
    pub(super) fn tell(&mut self, spot: Spot<'a>, message: impl FnOnce() -> String) {
        self.count += 1;
        self.found.take(spot, &self.path, &self.schema_path, message, Vec::new());
    }

    /// None of several choices fits: `choices` walked through them.
    pub(super) fn tell_choices(&mut self, spot: Spot<'a>, message: impl FnOnce() -> String, choices: Self) {
        self.count += 1;
        self.found.take(spot, &self.path, &self.schema_path, message, choices.found.into_flaws());
    }
}
