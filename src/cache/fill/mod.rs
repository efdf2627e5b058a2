//! An image on its way into the cache: one writer, any number of readers behind it.

mod expected;
mod follower;
mod prefix;
mod progress;
mod reader;
mod rest;
mod writer;

pub(super) use expected::Expected;
pub(super) use follower::{Bounds, Followed, follow};
pub(super) use progress::{Fill, PATIENCE, Progress};
pub(super) use reader::FillReader;
pub(super) use rest::Fallback;
pub(super) use writer::{Room, WriteError, write, write_on};

#[cfg(test)]
mod tests;
