//! Indexes of our own, which upstream's tables do not have. Nothing needs them; with them, the time of a list does not depend on
//! how many images there are, nor on how many were deleted and not purged.
//!
//! Upstream's index of `created_at` holds deleted images too, and a list walks over those that are newest. Upstream and its
//! migrations do not mind further indexes.

use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;

/// Without a lock that would keep others from writing. Of the images, one column each after what is compared for equality: `id`
/// as well, to tell apart what was created in the same moment, would make PostgreSQL prefer upstream's smaller index.
const POSTGRES: &[&str] = &[
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS glance_api_images_created ON images (created_at) WHERE deleted = false",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS glance_api_images_updated ON images (updated_at) WHERE deleted = false",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS glance_api_images_visibility ON images (visibility, created_at) \
     WHERE deleted = false",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS glance_api_images_owner ON images (owner, created_at) WHERE deleted = false",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS glance_api_image_members ON image_members (member, image_id) \
     WHERE deleted = false",
    "ANALYZE images",
    "ANALYZE image_members",
];

/// MySQL has no partial indexes, and makes all of these without keeping others from writing.
const MYSQL: &[&str] = &[
    "CREATE INDEX glance_api_images_created ON images (deleted, created_at, id)",
    "CREATE INDEX glance_api_images_updated ON images (deleted, updated_at, id)",
    "CREATE INDEX glance_api_images_visibility ON images (deleted, visibility, created_at, id)",
    "CREATE INDEX glance_api_images_owner ON images (deleted, owner, created_at, id)",
    "CREATE INDEX glance_api_image_members ON image_members (member, deleted, image_id)",
];

impl Db {
    /// Makes the indexes that are not there yet. Takes as long as the database needs to read its images once for each. On
    /// SQLite there is nothing to do: its lists find their way without.
    ///
    /// # Errors
    /// The first failure; what was made before stays.
    pub async fn create_indexes(&self) -> Result<(), DbError> {
        let statements = match self.dialect() {
            Dialect::Sqlite => &[],
            Dialect::Postgres => POSTGRES,
            Dialect::MySql => MYSQL,
        };
        let mut session = self.writer().await?;
        for statement in statements {
            match session.plain(*statement).await {
                Err(error) if error.is_known_index() => {}
                done => done?,
            }
        }
        Ok(())
    }
}
