//! The domain: metadata definitions. They describe which properties the resources of a cloud may have and what these mean, for
//! people and programs that set them (upstream: `Metadef…` in `glance/domain/__init__.py` and `glance/db/__init__.py`).

mod documents;
mod error;
mod events;
mod files;
mod form;
mod items;
mod metadefs;
mod models;
mod namespaces;
mod resource_types;
pub(crate) mod schemas;
mod text;

pub use crate::db::metadefs::{ItemKind, LoadOutcome, Merge};
pub(crate) use documents::{BadDocument, Document};
pub use error::{Error, Kind};
pub use files::{FileError, find_files};
pub use items::{Object, Property, Tag};
pub use metadefs::Metadefs;
pub use namespaces::{Contents, Namespace};
pub use resource_types::{Association, ResourceType};

/// What a list is asked for.
pub mod listing {
    pub use crate::db::images::list::{Direction, Viewer};
    pub use crate::db::metadefs::{NamespaceColumn, NamespaceQuery, TagColumn, TagQuery};
}
