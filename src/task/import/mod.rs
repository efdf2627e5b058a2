//! Importing data into an image that is there (upstream: `import_image` in `glance/api/v2/images.py` and
//! `glance/async_/flows/api_image_import.py`).
//!
//! [`begin`] decides whether an import may begin and registers its task, [`flow`] is the task: the data comes from a [`source`], passes the
//! [`plugins`] and goes into all stores at once.

mod begin;
mod failed;
mod flow;
mod plugins;
mod progress;
mod remote;
mod reporting;
mod request;
mod source;
mod transform;
mod web;

pub(super) use begin::forget_progress;
pub(super) use plugins::{Conversion, Decompression, Interrupt, Percent, PluginError, Watched, aside};
pub(crate) use plugins::{Plugins, UnknownPlugin};
pub(super) use progress::Progress;
pub(super) use remote::Remote;
pub(super) use reporting::Subject;
pub(crate) use request::{ImportRequest, Method};
pub(super) use source::Source;
pub(super) use transform::open as file_source;
pub(super) use web::{FetchError, Web};
