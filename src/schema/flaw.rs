//! One way in which a value fails its schema, and which of several to tell (upstream: `jsonschema/exceptions.py`).

use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;
use std::fmt;

use serde_json::Value;

use super::python::{pretty, quote};
use super::types::is_any_type;

/// A step from a value, or a schema, into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step<'a> {
    Index(usize),
    Key(&'a str),
}

/// Borrowed from the value and the schema.
#[derive(Debug)]
pub(super) struct Flaw<'a> {
    pub(super) message: String,
    /// `None` for a schema that is `false`.
    pub(super) keyword: Option<&'a str>,
    pub(super) instance: &'a Value,
    pub(super) schema: &'a Value,
    /// From the value that is checked to the one that is wrong.
    pub(super) path: VecDeque<Step<'a>>,
    /// From the schema to the keyword.
    pub(super) schema_path: VecDeque<Step<'a>>,
    /// For `anyOf` and `oneOf`: what was wrong with each choice.
    pub(super) context: Vec<Self>,
}

/// The flaw to tell: the one nearest to the top; of siblings, that with the greatest path.
pub(super) fn best(flaws: Vec<Flaw<'_>>) -> Option<Flaw<'_>> {
    let mut best = flaws.into_iter().reduce(|best, next| if compare(&next, &best).is_gt() { next } else { best })?;
    // Of choices, the flaw that is least like the others tells most.
    while !best.context.is_empty() {
        let mut context = std::mem::take(&mut best.context);
        context.sort_by(compare);
        if let [first, second, ..] = context.as_slice()
            && compare(first, second).is_eq()
        {
            break;
        }
        best = context.swap_remove(0);
    }
    Some(best)
}

/// Upstream's key for relevance.
fn compare(one: &Flaw<'_>, two: &Flaw<'_>) -> Ordering {
    let is_weak = |flaw: &Flaw<'_>| matches!(flaw.keyword, Some("anyOf" | "oneOf"));
    let depth = |flaw: &Flaw<'_>| Reverse(flaw.path.len());
    depth(one)
        .cmp(&depth(two))
        .then_with(|| one.path.cmp(&two.path))
        .then_with(|| is_weak(two).cmp(&is_weak(one)))
        .then_with(|| two.has_right_type().cmp(&one.has_right_type()))
}

impl Flaw<'_> {
    fn has_right_type(&self) -> bool {
        self.schema.get("type").is_some_and(|types| is_any_type(self.instance, types))
    }
}

impl fmt::Display for Flaw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = self.keyword.map_or_else(|| "None".to_owned(), quote);
        let to_keyword = self.schema_path.len().saturating_sub(1);
        write!(
            f,
            "{}\n\nFailed validating {keyword} in schema{}:\n    {}\n\nOn instance{}:\n    {}",
            self.message,
            index(self.schema_path.iter().take(to_keyword)),
            indented(self.schema),
            index(self.path.iter()),
            indented(self.instance),
        )
    }
}

fn index<'a>(steps: impl Iterator<Item = &'a Step<'a>>) -> String {
    let brackets = steps.map(|step| match step {
        Step::Index(index) => format!("[{index}]"),
        Step::Key(key) => format!("[{}]", quote(key)),
    });
    brackets.collect()
}

fn indented(value: &Value) -> String {
    pretty::format(value).replace('\n', "\n    ")
}
