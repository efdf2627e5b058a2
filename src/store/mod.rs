//! Where image data lies: one trait, a driver for each kind of store, the registry of those that are configured.

mod reader;

pub use reader::{FileRegion, Reader};
