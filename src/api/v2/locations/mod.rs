//! `/v2/images/{id}/locations`: places where data lies already, told by other services.

pub(in crate::api) mod add;
pub(in crate::api) mod list;
