//! The domain: images, their status machine, visibility, properties, quotas, data.
