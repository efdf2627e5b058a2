//! The image cache, in front of a web server that counts how often it is read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod cloud;
mod disks;
mod fills;
mod hits;
mod origin;
mod races;

#[path = "../common/mod.rs"]
mod common;
