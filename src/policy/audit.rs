//! What operators are told about their rules when these are loaded (upstream: `Enforcer.check_rules` and its warnings).

use std::collections::{HashMap, HashSet};

use super::defaults::all as default_rules;
use super::files::{RuleText, SourceRule};
use super::language::Check;

/// Warns of overrides that change nothing.
pub(super) fn overrides(sources: &[SourceRule]) {
    for source in sources {
        let Some(default) = default_rules().find(|default| default.name == source.name) else { continue };
        if matches!(&source.text, RuleText::Text(text) if text == default.check) {
            tracing::warn!(rule = default.name, "policy rule is the same as the default and can be left out");
        }
        if let Some(release) = default.leaving_since {
            tracing::warn!(
                rule = default.name,
                release,
                "policy rule is deprecated for removal, its value may be ignored"
            );
        }
    }
}

/// Warns of rules that cannot mean what their author thought.
pub(super) fn references<'a>(rules: impl Iterator<Item = (&'a str, &'a Check)>, by_name: &HashMap<String, usize>) {
    let rules: Vec<_> = rules.collect();
    let references: Vec<_> = rules.iter().map(|(_, check)| referred(check)).collect();
    let places = |names: &[&str]| names.iter().filter_map(|name| by_name.get(*name).copied()).collect::<Vec<_>>();
    let edges: Vec<_> = references.iter().map(|names| places(names)).collect();
    for (place, (rule, check)) in rules.iter().enumerate() {
        for name in references.get(place).into_iter().flatten().filter(|name| !by_name.contains_key(**name)) {
            tracing::warn!(rule, missing = name, "policy rule references a rule that is not defined");
        }
        if reaches_itself(place, &edges) {
            tracing::warn!(rule, "policy rule is part of a cyclical reference");
        }
        check.visit(&mut |check| {
            if let Check::Unknown(word) = check {
                tracing::warn!(rule, word, "word in policy rule is no check and refuses everyone");
            }
            if let Some(problem) = check.problem() {
                tracing::error!(rule, %problem, "check in policy rule fails each request that reaches it");
            }
        });
    }
}

fn referred(check: &Check) -> Vec<&str> {
    let mut names = Vec::new();
    collect(check, &mut names);
    names
}

fn collect<'a>(check: &'a Check, names: &mut Vec<&'a str>) {
    match check {
        Check::Rule { name, .. } => names.push(name),
        Check::Not(inner) => collect(inner, names),
        Check::All(checks) | Check::Any(checks) => checks.iter().for_each(|check| collect(check, names)),
        _ => {}
    }
}

fn reaches_itself(start: usize, edges: &[Vec<usize>]) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(place) = open.pop() {
        for &next in edges.get(place).into_iter().flatten() {
            if next == start {
                return true;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found() {
        let edges = [vec![1], vec![2], vec![1], vec![3], vec![]];
        let found: Vec<_> = (0..edges.len()).filter(|&place| reaches_itself(place, &edges)).collect();
        assert_eq!(found, [1, 2, 3]);
    }
}
