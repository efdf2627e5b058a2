//! Whether a check holds for a caller and a target (upstream: `oslo_policy/_checks.py`).

use super::credentials::{self, Credential};
use super::language::{BadCheck, Check};
use super::subject::Subject;
use super::target::Target;
use super::template::{BadFormat, Template};
use crate::identity::Context;

/// One question.
pub(super) struct Question<'a> {
    pub(super) checks: &'a dyn Checks,
    pub(super) target: &'a dyn Target,
    pub(super) context: &'a Context,
    /// What servers have already said, by the id of the check.
    pub(super) answers: &'a [(usize, bool)],
}

/// The checks of all rules.
pub(super) trait Checks: Sync {
    /// That of a rule that another one refers to.
    fn check_at(&self, index: usize) -> Option<&Check>;
}

/// Why there is no answer (yet).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Upstream would fail the request here. So the whole question fails: within a `not`, a mere refusal would allow.
    Failure(Failure),
    /// A server must be asked first.
    Ask { id: usize, url: String },
}

/// What made a question unanswerable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Check(#[from] BadCheck),
    #[error("rules refer to each other in a circle, or are nested too deeply")]
    Circle,
    #[error("a credential has nothing within it")]
    Path,
    #[error("the URL of a remote check lacks a value of the target")]
    Url,
}

impl From<BadFormat> for Stop {
    fn from(bad: BadFormat) -> Self {
        Self::Failure(BadCheck::from(bad).into())
    }
}

/// Checks within each other, across rules. Python's own limit is near.
const MAX_DEPTH: usize = 400;

impl Question<'_> {
    pub(super) fn holds(&self, check: &Check) -> Result<bool, Stop> {
        self.evaluate(check, 0)
    }

    fn evaluate(&self, check: &Check, depth: usize) -> Result<bool, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Failure(Failure::Circle));
        }
        let depth = depth + 1;
        match check {
            Check::Always => Ok(true),
            Check::Never | Check::Unknown(_) => Ok(false),
            Check::Not(inner) => self.evaluate(inner, depth).map(|holds| !holds),
            Check::All(checks) => {
                for check in checks {
                    if !self.evaluate(check, depth)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Check::Any(checks) => {
                for check in checks {
                    if self.evaluate(check, depth)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Check::Rule { index, .. } => match index.and_then(|index| self.checks.check_at(index)) {
                Some(check) => self.evaluate(check, depth),
                None => Ok(false),
            },
            Check::Role(name) => self.has_role(name),
            Check::Equal { subject, value } => self.equals(subject, value),
            Check::Remote { url, id } => self.remote(url, *id),
        }
    }

    fn has_role(&self, name: &Template) -> Result<bool, Stop> {
        let Some(name) = name.fill(self.target)? else { return Ok(false) };
        Ok(self.context.roles.iter().any(|role| same_but_case(role, &name)))
    }

    fn equals(&self, subject: &Subject, value: &Template) -> Result<bool, Stop> {
        let Some(value) = value.fill(self.target)? else { return Ok(false) };
        let (name, within) = match subject {
            Subject::Literal(literal) => return Ok(*literal == value),
            Subject::Path(path) => match path.split_first() {
                Some(split) => split,
                None => return Ok(false),
            },
            Subject::Unreadable => return Err(Stop::Failure(BadCheck::Subject.into())),
        };
        match credentials::find(self.context, name) {
            None => Ok(false),
            Some(Credential::List([])) => Ok(false),
            Some(_) if !within.is_empty() => Err(Stop::Failure(Failure::Path)),
            Some(Credential::Text(text)) => Ok(text == value),
            Some(Credential::List(texts)) => Ok(texts.iter().any(|text| *text == value)),
        }
    }

    fn remote(&self, url: &Template, id: usize) -> Result<bool, Stop> {
        if let Some((_, answer)) = self.answers.iter().find(|(asked, _)| *asked == id) {
            return Ok(*answer);
        }
        match url.fill(self.target)? {
            Some(url) => Err(Stop::Ask { id, url: url.into_owned() }),
            None => Err(Stop::Failure(Failure::Url)),
        }
    }
}

/// Python compares `lower()` with `lower()`.
fn same_but_case(one: &str, other: &str) -> bool {
    one == other
        || if one.is_ascii() && other.is_ascii() {
            one.eq_ignore_ascii_case(other)
        } else {
            one.to_lowercase() == other.to_lowercase()
        }
}
