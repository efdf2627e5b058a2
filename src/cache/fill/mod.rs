//! An image on its way into the cache: one writer, any number of readers behind it.

mod follower;
mod piece;
mod progress;
mod verdict;
mod writer;

pub(super) use follower::follow;
pub(super) use piece::{Behind, Fallback};
pub(super) use progress::{Failure, Fill, Progress};
pub(super) use verdict::Expected;
pub(super) use writer::{WriteError, write};

#[cfg(test)]
mod tests;
