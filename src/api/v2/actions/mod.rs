//! `/v2/images/{id}/actions`: what administrators do with an image beside changing its record.

pub(in crate::api) mod deactivate;
pub(in crate::api) mod reactivate;
