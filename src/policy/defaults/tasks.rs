//! Tasks (upstream: `glance/policies/tasks.py`).

use super::{ADMIN, DEFAULT, RuleDefault, project};

pub(super) static RULES: &[RuleDefault] = &[
    project("get_task", DEFAULT, "Not consulted by the API any more (kept for old policy files).")
        .at(&[("GET", "/v2/tasks/{task_id}")])
        .formerly(DEFAULT, "X"),
    project("get_tasks", DEFAULT, "Not consulted by the API any more (kept for old policy files).")
        .at(&[("GET", "/v2/tasks")])
        .formerly(DEFAULT, "X"),
    project("add_task", DEFAULT, "Not consulted by the API any more (kept for old policy files).")
        .at(&[("POST", "/v2/tasks")])
        .formerly(DEFAULT, "X"),
    project("modify_task", DEFAULT, "Has never guarded a route; deprecated for removal.")
        .at(&[("DELETE", "/v2/tasks/{task_id}")])
        .leaving("W"),
    project("tasks_api_access", ADMIN, "Gate of the whole tasks API.").at(&[
        ("GET", "/v2/tasks/{task_id}"),
        ("GET", "/v2/tasks"),
        ("POST", "/v2/tasks"),
        ("DELETE", "/v2/tasks/{task_id}"),
    ]),
];
