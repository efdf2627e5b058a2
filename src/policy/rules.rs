//! All rules in force together, ready to be asked.

use std::collections::HashMap;
use std::sync::Arc;

use super::audit;
use super::credentials::{self, Caller};
use super::defaults::{RuleDefault, all as default_rules};
use super::error::PolicyError;
use super::evaluate::{Checks, Question, Stop};
use super::files::{RuleText, SourceRule};
use super::language::{self, Check};
use super::remote::Remote;
use super::target::Target;
use crate::config::OsloPolicySection;
use crate::identity::Context;

/// The rules of the policy files and, where they are silent, Glance's own. Never changed once made.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    by_name: HashMap<String, usize>,
    /// What stands in for rules that nobody defined (`policy_default_rule`).
    fallback: Option<usize>,
    remote: Arc<Remote>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    check: Check,
    /// What Glance registers under this name; others exist only in policy files.
    default: Option<&'static RuleDefault>,
}

impl Rules {
    /// `sources`: the rules of the policy files in the order in which they apply; a later one replaces an earlier one.
    pub(super) fn new(sources: Vec<SourceRule>, options: &OsloPolicySection, remote: Arc<Remote>) -> Self {
        let mut rules = Self { rules: Vec::new(), by_name: HashMap::new(), fallback: None, remote };
        audit::overrides(&sources);
        for source in sources {
            let check = read(&source);
            let default = default_rules().find(|default| default.name == source.name);
            rules.insert(Rule { name: source.name, check, default });
        }
        for default in default_rules() {
            if !rules.by_name.contains_key(default.name) {
                let check = default_check(default, options.enforce_new_defaults);
                rules.insert(Rule { name: default.name.to_owned(), check, default: Some(default) });
            }
        }
        rules.resolve(&options.policy_default_rule);
        audit::references(rules.rules.iter().map(|rule| (rule.name.as_str(), &rule.check)), &rules.by_name);
        rules
    }

    /// Whether the policy allows what `rule` stands for.
    ///
    /// # Errors
    /// The question has no answer: Glance registers no such rule, the rule cannot be evaluated, or a server that should decide
    /// does not. Upstream answers 500 then.
    pub async fn check(&self, rule: &str, target: &dyn Target, context: &Context) -> Result<bool, PolicyError> {
        match self.find(rule).filter(|found| found.default.is_some()) {
            Some(found) if has_scope(found, rule, context) => self.decide(found, rule, target, context).await,
            Some(_) => Ok(false),
            None => Err(PolicyError::Unregistered { rule: rule.to_owned() }),
        }
    }

    /// As [`Rules::check`], for a rule that another one refers to, which operators may have made up: oslo.policy asks for the scope of the
    /// outermost rule alone. Where no file defines the rule, the default rule stands in; where that is missing too, nobody is allowed.
    ///
    /// # Errors
    /// As [`Rules::check`].
    pub async fn check_reference(
        &self,
        rule: &str,
        target: &dyn Target,
        context: &Context,
    ) -> Result<bool, PolicyError> {
        match self.find(rule).or_else(|| self.rules.get(self.fallback?)) {
            Some(found) => self.decide(found, rule, target, context).await,
            None => Ok(false),
        }
    }

    /// Whether the rule `context_is_admin` holds for the caller.
    ///
    /// # Errors
    /// As [`Rules::check`].
    pub async fn is_admin(&self, context: &Context) -> Result<bool, PolicyError> {
        self.check("context_is_admin", &Caller(context), context).await
    }

    fn find(&self, name: &str) -> Option<&Rule> {
        self.rules.get(*self.by_name.get(name)?)
    }

    async fn decide(
        &self,
        rule: &Rule,
        asked: &str,
        target: &dyn Target,
        context: &Context,
    ) -> Result<bool, PolicyError> {
        let mut answers = Vec::new();
        loop {
            let question = Question { checks: self, target, context, answers: &answers };
            match question.holds(&rule.check) {
                Ok(allowed) => return Ok(allowed),
                Err(Stop::Failure(source)) => {
                    return Err(PolicyError::Evaluation { rule: asked.to_owned(), source });
                }
                // Boxed, as it is rare and much larger than the rest of this future.
                Err(Stop::Ask { id, url }) => match Box::pin(self.remote.ask(&url, asked, target, context)).await {
                    Ok(answer) => answers.push((id, answer)),
                    Err(source) => return Err(PolicyError::Remote { rule: asked.to_owned(), source }),
                },
            }
        }
    }

    fn insert(&mut self, rule: Rule) {
        match self.by_name.get(&rule.name).and_then(|index| self.rules.get_mut(*index)) {
            Some(earlier) => *earlier = rule,
            None => {
                self.by_name.insert(rule.name.clone(), self.rules.len());
                self.rules.push(rule);
            }
        }
    }

    /// Turns names of rules into their places, and numbers the remote checks.
    fn resolve(&mut self, default_rule: &str) {
        self.fallback = self.by_name.get(default_rule).copied();
        let mut remotes = 0;
        for rule in &mut self.rules {
            rule.check.visit_mut(&mut |check| match check {
                Check::Rule { name, index } => *index = self.by_name.get(name.as_str()).copied().or(self.fallback),
                Check::Remote { id, .. } => {
                    *id = remotes;
                    remotes += 1;
                }
                _ => {}
            });
        }
    }
}

impl Checks for Rules {
    fn check_at(&self, index: usize) -> Option<&Check> {
        self.rules.get(index).map(|rule| &rule.check)
    }
}

/// Whether the caller's scope is one that the rule is for. `asked` is the name it was found by, or stands in for.
fn has_scope(rule: &Rule, asked: &str, context: &Context) -> bool {
    let scopes = rule.default.filter(|default| default.name == asked).and_then(|default| default.scopes);
    scopes.is_none_or(|scopes| scopes.contains(&credentials::scope(context)))
}

fn read(source: &SourceRule) -> Check {
    let check = match &source.text {
        RuleText::Text(text) => language::parse(text),
        RuleText::List(list) => Ok(language::parse_list(list)),
    };
    check.unwrap_or_else(|error| {
        tracing::error!(rule = source.name, %error, "failed to understand policy rule, it refuses everyone");
        Check::Never
    })
}

/// The check of a rule that no file overrides.
fn default_check(default: &RuleDefault, enforce_new_defaults: bool) -> Check {
    let parse = |text| language::parse(text).unwrap_or(Check::Never);
    let check = parse(default.check);
    match default.legacy {
        Some(legacy) if !enforce_new_defaults && legacy.check != default.check => {
            Check::Any(vec![check, parse(legacy.check)])
        }
        _ => check,
    }
}
