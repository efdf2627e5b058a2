//! An image on its way into the cache: one writer, any number of readers behind it.

mod expected;
mod follower;
mod progress;
mod reader;
mod writer;

pub(super) use expected::Expected;
pub(super) use follower::{Followed, follow};
pub(super) use progress::{Failure, Fill, PATIENCE, Progress};
pub(super) use reader::{Fallback, FillReader};
pub(super) use writer::{Room, WriteError, write};

#[cfg(test)]
mod tests;
