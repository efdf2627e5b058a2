//! `/v2/info`: what this cloud offers.

pub(in crate::api) mod import;
pub(in crate::api) mod stores;
pub(in crate::api) mod usage;

pub(in crate::api) use stores::StoreView;
