//! `/v2/tasks`: what the service does after it has answered.

pub(in crate::api) mod create;
pub(in crate::api) mod delete;
pub(in crate::api) mod list;
mod schema;
pub(in crate::api) mod show;
mod view;

pub(in crate::api) use schema::{partial_schema, task_schema};

use crate::identity::Context;
use crate::task::TaskViewer;

pub(in crate::api) fn viewer(context: &Context) -> TaskViewer {
    TaskViewer { is_admin: context.is_admin, project: context.project_id.clone() }
}
