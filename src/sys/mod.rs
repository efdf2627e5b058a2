//! The only room with `unsafe`: calls into the operating system and into libraries of C for which no safe crate exists, each
//! with its reason.

pub mod aes;
pub mod ceph;
pub mod heap;
pub mod localtime;
pub mod md5;
pub mod nowait;
pub mod resident;
pub mod write_back;
