//! All metadata definitions of one database: where handlers find and change them.

use crate::db::Db;
use crate::notifications::Notifier;

/// The metadata definitions. Cheap to clone.
#[derive(Clone)]
pub struct Metadefs {
    pub(super) db: Db,
    pub(super) notifier: Notifier,
}

impl Metadefs {
    /// Those in this database; nobody is told of changes.
    pub fn new(db: Db) -> Self {
        Self { db, notifier: Notifier::default() }
    }

    /// Changes are told to these listeners.
    #[must_use]
    pub fn with_notifier(self, notifier: Notifier) -> Self {
        Self { notifier, ..self }
    }
}
