//! Deleting an image.

use sea_query::{Expr, ExprTrait};

use super::ID_LENGTH;
use super::update::claim;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::retry::Operation;
use crate::db::session::Session;
use crate::db::sql::{live, soft_delete};

/// Marks the image and all that hangs on it as deleted, if its status is one of `from` (any, if `None`), and gives it
/// the status: `deleted`, or `pending_delete` while its data is still to be erased. Locations that are not deleted yet
/// take it too (`image_destroy` in `glance/db/sqlalchemy/api.py`).
///
/// # Errors
/// [`DbError::NotFound`], also for an image that is deleted already; [`DbError::StateConflict`].
pub async fn delete(db: &Db, id: &str, status: &str, from: Option<&[&str]>) -> Result<(), DbError> {
    if id.len() > ID_LENGTH {
        return Err(DbError::no_image(id));
    }
    let from = from.map(|states| states.iter().map(|&state| state.to_owned()).collect());
    db.write(Delete { id: id.to_owned(), status: status.to_owned(), from }).await
}

/// Status of an image, and of its locations, whose data the scrubber is to remove.
const PENDING_DELETE: &str = "pending_delete";

struct Delete {
    id: String,
    status: String,
    from: Option<Vec<String>>,
}

impl Operation for Delete {
    type Output = ();
    const NAME: &'static str = "delete image";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let now = clock::now();
        let mut image = soft_delete("images", now);
        image.value("status", self.status.as_str());
        claim(session, &self.id, self.from.as_deref(), Some(&self.status), image).await?;
        for table in ["image_locations", "image_properties", "image_members", "image_tags"] {
            let mut update = soft_delete(table, now);
            if table == "image_locations" {
                // The scrubber looks for the locations that wait for it.
                let waits = self.status == PENDING_DELETE;
                update.value("status", if waits { PENDING_DELETE } else { "deleted" });
            }
            update.and_where(Expr::col("image_id").eq(self.id.as_str())).and_where(live(table));
            session.execute(&update).await?;
        }
        Ok(())
    }
}
