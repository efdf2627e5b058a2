//! Tasks: work that goes on after the request that began it has been answered.
//!
//! [`Tasks`] registers, lists and shows them, [`Pool`] runs some of them at a time, and a worker renews the row of each task that it
//! has, so that others see when it has died.

mod error;
mod hashing;
mod headway;
mod import;
mod lease;
mod legacy;
mod location;
mod model;
mod pool;
mod tasks;

/// What a list is asked for.
pub(crate) use crate::db::tasks::{TaskQuery, TaskViewer};
pub(crate) use error::Error;
pub(crate) use import::{ImportRequest, Method};
pub(crate) use lease::RENEWAL;
pub(crate) use location::AddedLocation;
pub(crate) use model::{Task, TaskKind, TaskStatus};
#[cfg(test)]
pub(crate) use pool::HELD;
pub(crate) use pool::Pool;
pub(crate) use tasks::{Asker, Tasks};
