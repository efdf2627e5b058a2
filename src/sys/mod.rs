//! The only room with `unsafe`: calls into the operating system and into libraries of C for which no safe crate exists, each
//! with its reason. And what all rooms above may need: of threads [`background`] and [`priority`], of errors [`causes`].

pub(crate) mod aes;
pub(crate) mod background;
pub(crate) mod causes;
pub(crate) mod ceph;
pub(crate) mod child;
pub(crate) mod crash_point;
pub(crate) mod heap;
pub(crate) mod localtime;
pub(crate) mod md5;
pub(crate) mod nowait;
pub(crate) mod priority;
pub(crate) mod resident;
pub(crate) mod write_back;
