//! Rules that other rules are made of (upstream: `glance/policies/base.py`).

use super::{ADMIN, RuleDefault, any_scope};

pub(super) static RULES: &[RuleDefault] = &[
    any_scope("default", "", "Fallback for rules that are named nowhere; empty means allowed.")
        .formerly(ADMIN, "Ussuri"),
    any_scope(
        "context_is_admin",
        "role:admin",
        "Decides whether the caller counts as an administrator everywhere else.",
    ),
    any_scope("service_api", "role:service or role:admin", "Marks a caller as another OpenStack service."),
];
