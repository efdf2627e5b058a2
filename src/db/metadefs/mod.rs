//! Metadata definitions: namespaces with their objects, properties, tags and associations of resource types (upstream:
//! `glance/db/sqlalchemy/metadef_api/`). Rows are deleted for good, not marked.

mod associations;
mod contents;
mod items;
mod load;
mod model;
mod namespaces;
mod page;

pub use associations::{associate, dissociate, resource_types};
pub use contents::{associations, contents, objects, properties};
pub use items::{add_item, add_tags, clear, find_item, remove_item, tags, update_item};
pub use load::{LoadOutcome, Merge, all, load, unload};
pub use model::{
    Association, Contents, Item, ItemKind, NamespaceColumn, NamespaceFields, NamespaceQuery, NamespaceRecord,
    NewAssociation, NewItem, NewNamespace, ResourceType, TagColumn, TagQuery,
};
pub use namespaces::{create, delete, get, list, update};
