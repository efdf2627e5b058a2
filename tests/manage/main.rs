//! `glance-manage` beside upstream's: the same arguments on equal databases, the same answers, the same tables and rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod cache;
mod commands;
mod harness;
mod interruptions;
mod purge;
mod restored;
mod upgrades;

#[path = "../common/mod.rs"]
mod common;
