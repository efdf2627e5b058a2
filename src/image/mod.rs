//! The domain: images, their status machine, visibility, properties, quotas, data.

pub mod patch;
pub mod schema;
