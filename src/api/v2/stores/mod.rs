//! `/v2/stores`: the copies of an image in single stores.

pub(in crate::api) mod delete;
