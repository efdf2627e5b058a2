//! `/v2/metadefs/namespaces/{namespace}/tags`: words that may be put on resources.

pub(in crate::api) mod add;
pub(in crate::api) mod add_many;
pub(in crate::api) mod list;
pub(in crate::api) mod remove;
pub(in crate::api) mod show;
pub(in crate::api) mod update;
