//! Whether data in the staging area is still waited for.

use sea_query::{Expr, ExprTrait, Query};

use super::atomic::ATOMIC_PROPERTIES;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::reserved;
use crate::db::retry::UnitOfWork;
use crate::db::row::Columns;
use crate::db::session::Session;
use crate::db::sql::{live, padded};

/// An image that is not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagingState {
    pub id: String,
    /// Data is on its way into the staging area or lies there, or a task has the image for itself.
    pub is_awaited: bool,
}

/// Those of the images that are not deleted. `ids`: some hundreds at most.
pub async fn staging_states(db: &Db, ids: Vec<String>) -> Result<Vec<StagingState>, DbError> {
    if ids.is_empty() { Ok(Vec::new()) } else { db.read(States { ids: padded(ids) }).await }
}

struct States {
    ids: Vec<String>,
}

impl UnitOfWork for States {
    type Output = Vec<StagingState>;
    const NAME: &'static str = "look at images with staged data";

    async fn run(&self, session: &mut Session) -> Result<Vec<StagingState>, DbError> {
        let ids = || self.ids.iter().map(String::as_str);
        let locks = Query::select()
            .column("image_id")
            .from("image_properties")
            .and_where(Expr::col("image_id").is_in(ids()))
            .and_where(reserved::is_named(session.dialect(), ATOMIC_PROPERTIES))
            .and_where(live("image_properties"))
            .take();
        let locked = session.rows(&locks, |row| Columns::of(row).text()).await?;
        let images = Query::select()
            .columns(["id", "status"])
            .from("images")
            .and_where(Expr::col("id").is_in(ids()))
            .and_where(live("images"))
            .take();
        session
            .rows(&images, |row| {
                let mut columns = Columns::of(row);
                let (id, status) = (columns.text()?, columns.text()?);
                let is_awaited = matches!(status.as_str(), "uploading" | "importing") || locked.contains(&id);
                Ok(StagingState { id, is_awaited })
            })
            .await
    }
}
