//! Images with their properties, tags and locations.

mod atomic;
mod columns;
mod create;
mod delete;
mod get;
pub mod list;
mod ownership;
#[cfg(test)]
mod plans;
mod staging;
mod together;
mod update;
mod usage;

pub use atomic::{TaskLock, delete_property_atomic};
pub(in crate::db) use atomic::{lock, lock_and_own, unlock_and_disown};
pub use create::create;
pub use delete::{delete, delete_and_take, delete_without_data, restore};
pub use get::{get, member_status};
pub use list::list;
pub use ownership::{ImageAndOwner, announce_size, with_owner};
pub(in crate::db) use ownership::{NOTES, owners};
pub use staging::{StagingState, staging_states};
pub(in crate::db) use update::{change_and_take_from, change_owned};
pub use update::{give_back, take, update};
pub use usage::{Measure, Owner, used};
