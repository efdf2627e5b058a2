//! Tasks: what the service does after it has answered, such as imports (`tasks` and `task_info`).
//!
//! The row of a task that is not done is also the lease of the worker that has it: the worker renews `updated_at` as long as it lives.

mod change;
mod create;
mod get;
mod list;
mod model;
mod take_over;

pub use super::images::TaskLock;
pub use change::{ImageStep, TaskStep, remove_expired, renew, report, take_step};
pub use create::{Failure, create, create_failed, create_locked};
pub use get::{Lease, get, get_current, leases, of_image};
pub use list::{TaskQuery, list};
pub use model::{NewTask, TaskRecord, TaskViewer};
pub use take_over::{TakeOver, take_over};

use super::error::DbError;

fn missing(id: &str) -> DbError {
    DbError::NotFound { what: "task", key: id.to_owned() }
}
