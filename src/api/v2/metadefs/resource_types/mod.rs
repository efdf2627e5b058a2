//! `/v2/metadefs/resource_types` and `/v2/metadefs/namespaces/{namespace}/resource_types`: which resources definitions are meant for.

pub(in crate::api) mod associate;
pub(in crate::api) mod associations;
pub(in crate::api) mod dissociate;
pub(in crate::api) mod list;
