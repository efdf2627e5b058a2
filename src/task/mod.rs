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
pub use crate::db::tasks::{TaskQuery, TaskViewer};
pub use error::Error;
pub use import::{ImportRequest, Method, Plugins, Prepared, UnknownPlugin};
pub use lease::RENEWAL;
pub use location::AddedLocation;
pub use model::{Task, TaskKind, TaskStatus};
#[cfg(test)]
pub(crate) use pool::HELD;
pub use pool::Pool;
pub use tasks::{Asker, Tasks};
