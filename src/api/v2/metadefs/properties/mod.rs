//! `/v2/metadefs/namespaces/{namespace}/properties`: properties that belong to no object.

pub(in crate::api) mod add;
pub(in crate::api) mod list;
pub(in crate::api) mod remove;
pub(in crate::api) mod show;
pub(in crate::api) mod update;
