//! `/v2/metadefs/namespaces`: namespaces, with all that is in them.

pub(in crate::api) mod clear;
pub(in crate::api) mod create;
pub(in crate::api) mod delete;
pub(in crate::api) mod list;
pub(in crate::api) mod show;
pub(in crate::api) mod update;
