//! What is really in an image: push parsers over the bytes of an upload which distrust every field.
//!
//! An [`Inspector`] is fed every byte of a stream, in pieces of any size. It keeps the first 64 KiB and, for VMDK and VHDX, a few
//! bounded regions further on; once the formats have what they need, feeding it costs an addition. At the end of the stream it
//! becomes an [`Inspection`], which says which formats matched, how large the disk is, and whether the image is acceptable as
//! what it claims to be.
//!
//! The answers are those of `oslo_utils.imageutils.format_inspector` when it reads 64 KiB at a time (as the file store does), and
//! of `glance.location.ImageProxy.set_data` around it. They do not depend on how the stream is cut.

mod field;
mod format;
mod found;
mod gpt;
mod inspector;
mod iso;
mod luks;
mod qcow2;
mod simple;
mod verdict;
mod vhdx;
mod vmdk;

pub use format::Format;
pub use found::{Failure, Found, Size};
pub use inspector::{Inspection, Inspector};
pub use verdict::{Options, Rejection, Verdict, Warning};

#[cfg(test)]
mod tests;
