//! The only room with `unsafe`: calls into the operating system for which no safe crate exists, each with its reason.

pub mod localtime;
pub mod nowait;
pub mod write_back;
