//! `/v2/schemas`: what the documents of the API look like.

mod member;
pub(in crate::api) mod metadefs;
pub(in crate::api) mod show;
