//! Ceph's block devices, by librados and librbd.
//!
//! The libraries are looked for when a store needs them (`library`), so that the service runs without them. Their handles
//! are closed by dropping: an [`Image`] keeps its [`CephPool`], which keeps its [`Cluster`], so the order is always right.
//! Everything blocks unless it says otherwise, dropping included; only reads and writes of data do not (`completion`).
//!
//! Errors are those of the libraries, which speak in errno: `raw_os_error` tells them apart.
#![expect(unsafe_code, reason = "librados and librbd are libraries of C, for which no crate exists that is maintained")]

mod completion;
mod library;
mod rados;
mod rbd;

pub(crate) use completion::Pending;
pub(crate) use library::end_process_with_threads;
pub(crate) use rados::{CephPool, Client, Cluster};
pub(crate) use rbd::Image;

use std::ffi::{CString, c_int};
use std::io;

/// The errno of a negative answer.
fn check(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::from_raw_os_error(answer.saturating_neg())) } else { Ok(answer) }
}

fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(io::Error::from)
}
