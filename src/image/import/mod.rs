//! Importing: data from the staging area, the web or another store becomes that of an image, at a task's request.
//!
//! A task that imports has the image for itself: a property of the image names it, and its id owns the image's data. Both come with
//! the task's row, in one transaction, and go with it. An entry of the intent log says so on this machine, so that recovery ends the
//! import of a worker that died; another host does when the task's row was not renewed for a while.

mod hold;
mod lease;
mod making;
mod place;
mod placeholders;
mod pour;
mod reclaim;
mod steps;
mod stores;
mod task;

pub(crate) use crate::db::reserved::{FAILED, IMPORTING, LOCK};
pub(crate) use hold::{Hold, Plan, Transformed};
pub(crate) use lease::LEASE;
pub(super) use lease::Reclaims;
pub(crate) use making::{Findings, Making};
pub(crate) use place::{HashFault, Placement, hashed};
pub(crate) use pour::{Fault, Imported};
pub(crate) use stores::without as without_stores;
pub use task::{TaskKind, TaskStatus};
