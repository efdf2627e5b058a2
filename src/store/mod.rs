//! Where image data lies: one trait, a driver for each kind of store, the registry of those that are configured.

mod absent;
mod background;
mod buffer;
mod context;
pub(crate) mod demand;
mod digest;
mod driver;
mod drivers;
mod error;
mod file;
mod file_identity;
mod http;
mod location;
mod open_file;
mod pool;
mod rbd;
mod reader;
mod registry;
mod strand;
mod writer;
mod zeros;

#[cfg(test)]
mod conformance;

pub(crate) use background::run_in_background;
pub use context::{Priority, StoreContext};
pub use digest::{Algorithm, DigestState, Digests, Hashes};
pub use driver::{ObjectIdentity, Store, Stored, Writer};
pub use drivers::{is_filtered, is_read_only, kinds};
pub use error::{Capability, StoreError};
pub use file_identity::FileIdentity;
pub(crate) use file_identity::Removal;
pub use location::Location;
pub use open_file::OpenFile;
pub use reader::{FileRegion, Piece, Reader};
pub(crate) use registry::tasks_folder;
pub use registry::{LocationRef, STAGING_STORE, StoreEntry, Stores, TASKS_STORE};
