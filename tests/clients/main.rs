//! The real command line clients and the SDK, with a real Keystone, against upstream's service and against ours: both take
//! every step, and what the clients print is the same. Each test has its usual kind of database, so that all three are used;
//! `GLANCE_COMPARE_DATABASE` chooses one for all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod commands;
mod images;
mod outcomes;
mod sdk;
mod side;
mod tempest;

#[path = "../common/mod.rs"]
mod common;
