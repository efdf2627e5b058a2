//! The rules that are in force where no policy file says otherwise (upstream: `glance/policies/`, release 33.0.0).

mod base;
mod cache;
mod images;
mod metadefs;
mod tasks;

const ADMIN: &str = "rule:context_is_admin";
const METADEF_ADMIN: &str = "rule:metadef_admin";
const DEFAULT: &str = "rule:default";
const SERVICE: &str = "rule:service_api";
const METADEF_DEFAULT: &str = "rule:metadef_default";
const CACHE_ADMIN: &str = "rule:manage_image_cache";
const ADMIN_OR_MEMBER: &str = "rule:context_is_admin or (role:member and project_id:%(project_id)s)";
const ADMIN_OR_READER: &str = "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
const ADMIN_OR_NAMESPACE_READER: &str =
    "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))";
const ADMIN_OR_IMAGE_DOWNLOADER: &str = "rule:context_is_admin or (role:member and (project_id:%(project_id)s or project_id:%(member_id)s or \
     'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";
const ADMIN_OR_IMAGE_READER: &str = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s or \
     'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";
const ADMIN_OR_READER_OR_MEMBER_PROJECT: &str =
    "rule:context_is_admin or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)";

/// A rule with the check that is in force unless a policy file overrides it.
#[derive(Clone, Copy, Debug)]
pub struct RuleDefault {
    /// What policy files, other rules and the API call it.
    pub name: &'static str,
    /// The check in oslo.policy's language; empty allows everyone.
    pub check: &'static str,
    /// The token scopes (`project`, `domain`, `system`) that may ask at all; `None` for any.
    pub scopes: Option<&'static [&'static str]>,
    /// Method and path of the requests that the rule guards.
    pub operations: &'static [(&'static str, &'static str)],
    /// For operators, in sample files.
    pub description: &'static str,
    /// The check before secure defaults; it is allowed beside the present one with `enforce_new_defaults = false`.
    pub legacy: Option<Legacy>,
    /// The release in which an override of the rule began to be pointless.
    pub leaving_since: Option<&'static str>,
}

/// What a rule was before.
#[derive(Clone, Copy, Debug)]
pub struct Legacy {
    /// The former check.
    pub check: &'static str,
    /// The release that replaced it.
    pub since: &'static str,
}

/// Every rule that Glance registers, in upstream's order of files.
pub fn all() -> impl Iterator<Item = &'static RuleDefault> {
    [base::RULES, images::RULES, tasks::RULES, metadefs::RULES, cache::RULES].into_iter().flatten()
}

/// A rule for tokens of any scope.
const fn any_scope(name: &'static str, check: &'static str, description: &'static str) -> RuleDefault {
    RuleDefault { name, check, scopes: None, operations: &[], description, legacy: None, leaving_since: None }
}

/// A rule for project-scoped tokens.
const fn project(name: &'static str, check: &'static str, description: &'static str) -> RuleDefault {
    RuleDefault { scopes: Some(&["project"]), ..any_scope(name, check, description) }
}

impl RuleDefault {
    const fn at(self, operations: &'static [(&'static str, &'static str)]) -> Self {
        Self { operations, ..self }
    }

    const fn formerly(self, check: &'static str, since: &'static str) -> Self {
        Self { legacy: Some(Legacy { check, since }), ..self }
    }

    const fn leaving(self, since: &'static str) -> Self {
        Self { leaving_since: Some(since), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::policy::language::parse;

    #[test]
    fn names_are_unique_and_checks_are_understood() {
        let mut names = HashSet::new();
        for rule in all() {
            assert!(names.insert(rule.name), "{} twice", rule.name);
            for check in [Some(rule.check), rule.legacy.map(|legacy| legacy.check)].into_iter().flatten() {
                assert!(parse(check).is_ok(), "{}: {check}", rule.name);
            }
        }
        assert_eq!(names.len(), 67);
    }
}
