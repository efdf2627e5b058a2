//! The only room with `unsafe`: calls into the operating system for which no safe crate exists, each with its reason.

pub mod file;
pub mod localtime;
pub mod nowait;
