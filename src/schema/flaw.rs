//! One way in which a value fails its schema, and which of several to tell (upstream: `jsonschema/exceptions.py`).

use std::cmp::{Ordering, Reverse};
use std::fmt;

use serde_json::Value;

use super::python::{or_none, pretty, quote, subscripts};
use super::types::is_any_type;

/// A step from a value, or a schema, into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step<'a> {
    Index(usize),
    Key(&'a str),
}

/// What is wrong where, without words. Borrowed from the value and the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    /// `None` for a schema that is `false`.
    pub(super) keyword: Option<&'a str>,
    pub(super) instance: &'a Value,
    pub(super) schema: &'a Value,
}

#[derive(Debug)]
pub(super) struct Flaw<'a> {
    message: String,
    spot: Spot<'a>,
    /// From the value that is checked to the one that is wrong.
    path: Vec<Step<'a>>,
    /// From the schema to the keyword.
    schema_path: Vec<Step<'a>>,
    /// For `anyOf` and `oneOf`: what was wrong with the choices.
    context: Vec<Self>,
}

/// The flaws that count, of all that a value has; there can be as many as the value has parts.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// Of a whole value the one nearest to the top; of siblings, that with the greatest path.
    Greatest(Option<Flaw<'a>>),
    /// Of choices, the two that are least like the others.
    Least(Vec<Flaw<'a>>),
}

impl<'a> Found<'a> {
    /// Keeps a flaw if it counts. Only then `message` is asked for.
    pub(super) fn take(
        &mut self,
        spot: Spot<'a>,
        path: &[Step<'a>],
        schema_path: &[Step<'a>],
        message: impl FnOnce() -> String,
        context: Vec<Flaw<'a>>,
    ) {
        let new = || Flaw { message: message(), spot, path: path.to_vec(), schema_path: schema_path.to_vec(), context };
        let compared = |known: &Flaw<'a>| compare((spot, path), (known.spot, &known.path));
        match self {
            Self::Greatest(known) => {
                if known.as_ref().is_none_or(|known| compared(known).is_gt()) {
                    *known = Some(new());
                }
            }
            Self::Least(known) => {
                let place = known.partition_point(|known| compared(known).is_ge());
                if place < 2 {
                    known.insert(place, new());
                    known.truncate(2);
                }
            }
        }
    }

    /// The flaws kept, the greatest or the least first.
    pub(super) fn into_flaws(self) -> Vec<Flaw<'a>> {
        match self {
            Self::Greatest(flaw) => flaw.into_iter().collect(),
            Self::Least(flaws) => flaws,
        }
    }

    /// The flaw to tell.
    pub(super) fn best(self) -> Option<Flaw<'a>> {
        let mut best = self.into_flaws().into_iter().next()?;
        while !best.context.is_empty() {
            let mut context = std::mem::take(&mut best.context);
            if let [first, second, ..] = context.as_slice()
                && compare((first.spot, &first.path), (second.spot, &second.path)).is_eq()
            {
                break;
            }
            best = context.swap_remove(0);
        }
        Some(best)
    }
}

/// Upstream's key for relevance.
fn compare(one: (Spot<'_>, &[Step<'_>]), two: (Spot<'_>, &[Step<'_>])) -> Ordering {
    let by_path = Reverse(one.1.len()).cmp(&Reverse(two.1.len())).then_with(|| one.1.cmp(two.1));
    let by_keyword = || two.0.is_weak().cmp(&one.0.is_weak());
    let by_type = || two.0.has_right_type().cmp(&one.0.has_right_type());
    by_path.then_with(by_keyword).then_with(by_type)
}

impl Spot<'_> {
    fn is_weak(&self) -> bool {
        matches!(self.keyword, Some("anyOf" | "oneOf"))
    }

    fn has_right_type(&self) -> bool {
        self.schema.get("type").is_some_and(|types| is_any_type(self.instance, types))
    }
}

impl fmt::Display for Flaw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = self.spot.keyword.map(quote);
        let keyword = or_none(keyword.as_deref());
        let to_keyword = self.schema_path.len().saturating_sub(1);
        write!(
            f,
            "{}\n\nFailed validating {keyword} in schema{}:\n    {}\n\nOn instance{}:\n    {}",
            self.message,
            index(self.schema_path.iter().take(to_keyword)),
            indented(&pretty::format(self.spot.schema)),
            index(self.path.iter()),
            indented(&pretty::excerpt(self.spot.instance)),
        )
    }
}

fn index<'a>(steps: impl Iterator<Item = &'a Step<'a>>) -> String {
    subscripts(steps.map(|step| match step {
        Step::Index(index) => Ok(*index),
        Step::Key(key) => Err(*key),
    }))
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}
