//! The rows of the tasks that this worker has, renewed while it lives.

use std::time::Duration;

use tokio::time::Instant;

use super::tasks::Tasks;
use crate::db::DbError;
use crate::db::tasks as rows;
use crate::image;

/// How often a worker renews the rows of its tasks.
pub(crate) const RENEWAL: Duration = Duration::from_secs(15);

impl Tasks {
    /// Renews the rows of all tasks that this worker has, running or waiting, and gives up those that others have ended. While this
    /// fails, the [pool](super::Pool) gives up what runs before other hosts may take it over.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn renew_leases(&self) -> Result<(), DbError> {
        let asked_at = Instant::now();
        let held = self.pool.ids();
        let kept = held.iter().cloned().chain(self.images.under_way_for_others()).collect();
        let unfinished = rows::renew(&self.db, kept).await?;
        // First, so that none of these begins.
        for id in held.iter().filter(|id| !unfinished.contains(id)) {
            // It may just have ended by itself; then nobody is told.
            self.pool.give_up(id);
        }
        self.pool.renewed(asked_at);
        Ok(())
    }

    /// Ends the imports of other hosts' workers that have died.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn reclaim_from_others(&self) -> Result<(), image::Error> {
        self.images.reclaim_from_others(&self.pool.ids()).await
    }

    /// Marks the tasks as deleted whose time is over.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn remove_expired(&self) -> Result<(), DbError> {
        let removed = rows::remove_expired(&self.db).await?;
        if removed > 0 {
            tracing::debug!(tasks = removed, "expired tasks removed");
        }
        Ok(())
    }
}
