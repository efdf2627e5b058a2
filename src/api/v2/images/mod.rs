//! `/v2/images`: the records of images, and their data.

pub(in crate::api) mod create;
pub(in crate::api) mod delete;
pub(in crate::api) mod download;
pub(in crate::api) mod import;
pub(in crate::api) mod list;
mod range;
pub(in crate::api) mod show;
pub(in crate::api) mod stage;
pub(in crate::api) mod tasks;
pub(in crate::api) mod update;
pub(in crate::api) mod upload;
mod validator;
mod view;

pub(in crate::api) use view::{Shown, timestamp};
