//! Images with their properties, tags and locations.

mod atomic;
mod children;
mod create;
mod delete;
mod get;
pub mod list;
mod ownership;
#[cfg(test)]
mod plans;
mod update;
mod usage;

pub use atomic::{delete_property_atomic, set_property_atomic};
pub use create::create;
pub use delete::{delete, delete_and_take, restore};
pub use get::{get, member_status};
pub use list::list;
pub use ownership::{OWNER_PROPERTY, Standing, standing};
pub use update::{give_back, take, update};
pub use usage::{count, staging_used, storage_used, uploading_count};

pub(super) use children::{insert_locations, insert_tags, is_deleted, metadata_text};
pub(super) use get::read;

use sea_query::{Alias, Expr, ExprTrait};

use super::error::DbError;
use super::model::ImageRecord;
use super::row::Columns;

/// Properties that only [`set_property_atomic`] and [`delete_property_atomic`] change (`IMAGE_ATOMIC_PROPS` in
/// `glance/db/__init__.py`): an update with an old copy of the image must not undo a lock that it does not know of.
pub const ATOMIC_PROPERTIES: &[&str] = &["os_glance_import_task"];

/// Longest id that the column holds. A longer one names nothing; asking the database might find a cut-off one.
pub(super) const ID_LENGTH: usize = 36;

/// The columns of an image, in the order in which [`record`] reads them.
const COLUMNS: [&str; 20] = [
    "id",
    "name",
    "size",
    "virtual_size",
    "status",
    "visibility",
    "disk_format",
    "container_format",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "owner",
    "min_disk",
    "min_ram",
    "protected",
    "os_hidden",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
];

fn record(columns: &mut Columns<'_>) -> Result<ImageRecord, DbError> {
    let id = columns.text()?;
    let name = columns.maybe_text()?;
    let size = columns.maybe_integer()?;
    let virtual_size = columns.maybe_integer()?;
    let status = columns.text()?;
    let visibility = columns.text()?;
    let disk_format = columns.maybe_text()?;
    let container_format = columns.maybe_text()?;
    let checksum = columns.maybe_text()?;
    let os_hash_algo = columns.maybe_text()?;
    let os_hash_value = columns.maybe_text()?;
    let owner = columns.maybe_text()?;
    let min_disk = small(columns.integer()?);
    let min_ram = small(columns.integer()?);
    let protected = columns.flag()?;
    let os_hidden = columns.flag()?;
    let created_at = columns.time()?;
    // The column may be NULL, though nothing writes that.
    let updated_at = columns.maybe_time()?.unwrap_or(created_at);
    Ok(ImageRecord {
        id,
        name,
        size,
        virtual_size,
        status,
        visibility,
        disk_format,
        container_format,
        checksum,
        os_hash_algo,
        os_hash_value,
        owner,
        min_disk,
        min_ram,
        protected,
        os_hidden,
        created_at,
        updated_at,
        deleted_at: columns.maybe_time()?,
        deleted: columns.flag()?,
        properties: Vec::new(),
        tags: Vec::new(),
        locations: Vec::new(),
    })
}

/// SQLite's integers are wider than the columns of other databases; nothing legal is.
fn small(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// A value of `images.visibility`, which has a type of its own on PostgreSQL.
fn visibility(value: &str) -> Expr {
    Expr::val(value).as_enum(Alias::new("image_visibility"))
}

/// No owner is NULL, never an empty text.
fn owner(value: Option<String>) -> Option<String> {
    value.filter(|owner| !owner.is_empty())
}
