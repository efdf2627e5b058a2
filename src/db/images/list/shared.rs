//! One query for several callers who want the same list.
//!
//! Dashboards, schedulers and scripts of one project ask for the same page, often at once. As long as one of them is in line for a
//! connection, the others wait for its answer instead of getting in line, too. While connections are free, nobody waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot::Receiver;
use tokio::time::{Instant, timeout_at};

use super::{ListQuery, Page};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::in_line::{First, SharedList};
use crate::db::model::ImageRecord;
use crate::db::retry::UnitOfWork;
use crate::db::session::Session;

/// Whoever has waited for so long for another's answer gets in line itself: something is wrong with the database.
const PATIENCE: Duration = Duration::from_secs(1);

/// The images of a page; `None` if one of them may have changed meanwhile.
pub(super) async fn list(db: &Db, query: &Arc<ListQuery>) -> Result<Option<Vec<ImageRecord>>, DbError> {
    let page = Page { query: Arc::clone(query), is_one_state: false };
    let end = Instant::now() + PATIENCE;
    loop {
        let mut receiver = match db.list_readers().ask(query) {
            Ok(first) => return db.read(Shared { page, first: Mutex::new(first) }).await,
            Err(receiver) => receiver,
        };
        match timeout_at(end, &mut receiver).await {
            Ok(Ok(images)) => return Ok(images.map(Arc::unwrap_or_clone)),
            // The first has failed, or is gone: one of those who waited for it is the next first.
            Ok(Err(_)) => {}
            Err(_) => return wait_in_line(db, page, receiver).await,
        }
    }
}

/// For what another one finds, or for a connection of its own.
async fn wait_in_line(
    db: &Db,
    page: Page,
    receiver: Receiver<SharedList>,
) -> Result<Option<Vec<ImageRecord>>, DbError> {
    tokio::select! {
        Ok(images) = receiver => Ok(images.map(Arc::unwrap_or_clone)),
        done = db.read(page) => done,
    }
}

/// Finds a page for all who wait for it. If it fails, they ask again.
struct Shared {
    page: Page,
    first: Mutex<First<ListQuery, SharedList>>,
}

impl Shared {
    fn first(&self) -> MutexGuard<'_, First<ListQuery, SharedList>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnitOfWork for Shared {
    type Output = Option<Vec<ImageRecord>>;
    const NAME: &'static str = Page::NAME;

    fn left_queue(&self) {
        self.first().leave();
    }

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let images = self.page.run(session).await?.map(Arc::new);
        let others = self.first().take_others();
        for other in others {
            // It may be gone by now.
            drop(other.send(images.clone()));
        }
        Ok(images.map(Arc::unwrap_or_clone))
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;
    use crate::db::images::create;
    use crate::db::images::list::{Viewer, list};
    use crate::db::model::NewImage;
    use crate::db::testing::{self, hold_all, until};

    /// A database with two images.
    async fn open(folder: &std::path::Path) -> Db {
        let db = testing::open(folder).await;
        for id in ["a", "b"] {
            create(&db, NewImage { properties: vec![("p".to_owned(), None)], ..NewImage::new(id) }).await.unwrap();
        }
        db
    }

    fn query(limit: u64) -> ListQuery {
        ListQuery::new(Viewer { is_admin: true, project: None }, limit)
    }

    type Asked = JoinHandle<Result<Vec<ImageRecord>, DbError>>;

    fn ask(db: &Db, limit: u64) -> Asked {
        let db = db.clone();
        tokio::spawn(async move { list(&db, &query(limit)).await })
    }

    /// All connections, held, and one who is in line for the list of two.
    async fn hold_all_and_ask(db: &Db) -> (Vec<Session>, Asked) {
        let held = hold_all(db).await;
        let first = ask(db, 2);
        until(|| db.list_readers().others(&query(2)) == Some(0)).await;
        (held, first)
    }

    async fn count(asked: Asked) -> usize {
        let images = asked.await.unwrap().unwrap();
        assert!(images.iter().all(|image| image.properties.len() == 1));
        images.len()
    }

    #[tokio::test]
    async fn who_wants_the_same_list_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let (held, first) = hold_all_and_ask(&db).await;
        let (same, other, gone) = (ask(&db, 2), ask(&db, 1), ask(&db, 2));
        until(|| db.list_readers().others(&query(2)) == Some(2)).await;
        until(|| db.list_readers().others(&query(1)) == Some(0)).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        let before = db.answers();
        drop(held);
        assert_eq!((count(first).await, count(same).await, count(other).await), (2, 2, 1));
        // Two lists, of two queries each.
        assert_eq!(db.answers() - before, 4);
        assert_eq!((db.list_readers().others(&query(2)), db.list_readers().others(&query(1))), (None, None));
    }

    #[tokio::test]
    async fn one_of_those_who_waited_for_one_that_goes_away_asks_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let (held, first) = hold_all_and_ask(&db).await;
        let others = [ask(&db, 2), ask(&db, 2), ask(&db, 2)];
        until(|| db.list_readers().others(&query(2)) == Some(3)).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        until(|| db.list_readers().others(&query(2)) == Some(2)).await;
        let before = db.answers();
        drop(held);
        for other in others {
            assert_eq!(count(other).await, 2);
        }
        // One list, of two queries.
        assert_eq!(db.answers() - before, 2);
    }

    #[tokio::test]
    async fn who_waits_too_long_gets_in_line() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let first = db.list_readers().ask(&Arc::new(query(2))).ok().unwrap();
        let start = Instant::now();
        assert_eq!(count(ask(&db, 2)).await, 2);
        assert!(start.elapsed() >= PATIENCE);
        drop(first);
    }
}
