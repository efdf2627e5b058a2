//! All metadata definitions of one database: where handlers find and change them.

use crate::db::Db;

/// The metadata definitions. Cheap to clone.
#[derive(Clone)]
pub struct Metadefs {
    pub(super) db: Db,
}

impl Metadefs {
    /// Those in this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}
