//! One query for several callers who each want one image.
//!
//! To receive a short query and to answer it costs a server more than to run it. So where somebody waits for a connection to read an
//! image, those who come after do not: whoever gets a connection next asks for all of them. As long as connections are free, nobody
//! waits and each has a query of its own.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot::Receiver;
use tokio::time::timeout;

use super::columns::ID_LENGTH;
use super::get::{alone, known_as, read, read_each};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::gathering::{ImageReaders, Lead, Told, Waiting};
use crate::db::model::ImageRecord;
use crate::db::retry::UnitOfWork;
use crate::db::session::Session;

/// Whoever has waited for so long for another's query gets in line for a connection itself: something is wrong with the database.
const PATIENCE: Duration = Duration::from_secs(1);

/// `None`: there is no such image.
type Found = Option<Box<ImageRecord>>;

/// The image with this id, unless it is deleted.
pub(super) async fn get(db: &Db, id: &str) -> Result<Option<ImageRecord>, DbError> {
    // An unusual id may make the query fail, for all.
    let is_usual = id.len() <= ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_usual {
        return alone(db, id).await;
    }
    let (lead, receiver) = match db.image_readers().join(id) {
        Ok(lead) => (Some(lead), None),
        Err(mut receiver) => match timeout(PATIENCE, &mut receiver).await {
            Ok(Ok(Told::Found(image))) => return Ok(image.map(|image| *image)),
            Ok(Ok(Told::Lead(lead))) => (Some(lead), None),
            Ok(Err(_)) => return alone(db, id).await,
            Err(_) => (None, Some(receiver)),
        },
    };
    let together = Arc::new(Together::new(db, id, lead));
    let mut reading = pin!(db.read(Arc::clone(&together)));
    let done = tokio::select! {
        biased;
        done = &mut reading => done,
        // A query of its own that has begun meanwhile goes on without it, for those whom it has taken along.
        found = together.found_by_another(receiver) => return Ok(found),
    };
    match done {
        // Perhaps because of another's image.
        Err(error) if !error.is_unavailable() && together.has_others.load(Ordering::SeqCst) => alone(db, id).await,
        done => done,
    }
}

/// Reads an image, and those of others who wait. Each run takes those who wait then; if it fails, they have to ask for themselves.
struct Together {
    id: String,
    readers: Arc<ImageReaders>,
    position: Mutex<Position>,
    /// Whether the last query was for other images, too.
    has_others: AtomicBool,
}

/// Where a reader is on its way to a connection.
struct Position {
    /// False once it is sure of one, or cannot have one.
    is_in_line: bool,
    /// `None`: it is in line without leading, since it has waited for too long for somebody who does, or it is in line no longer.
    lead: Option<Lead<Found>>,
}

impl Together {
    fn new(db: &Db, id: &str, lead: Option<Lead<Found>>) -> Self {
        let (readers, position) = (Arc::clone(db.image_readers()), Mutex::new(Position { is_in_line: true, lead }));
        Self { id: id.to_owned(), readers, position, has_others: AtomicBool::new(false) }
    }

    /// While it is in line itself: what another finds who gets a connection before and takes it along. Has no end where none does.
    async fn found_by_another(&self, receiver: Option<Receiver<Told<Found>>>) -> Option<ImageRecord> {
        if let Some(receiver) = receiver {
            match receiver.await {
                Ok(Told::Found(image)) => return image.map(|image| *image),
                Ok(Told::Lead(lead)) => self.lead(lead),
                // The other one has failed.
                Err(_) => {}
            }
        }
        pending().await
    }

    /// Leads as long as it is in line.
    fn lead(&self, lead: Lead<Found>) {
        let mut position = self.position();
        if position.is_in_line {
            position.lead = Some(lead);
        }
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnitOfWork for Arc<Together> {
    type Output = Option<ImageRecord>;
    const NAME: &'static str = "get image";

    fn left_queue(&self) {
        let mut position = self.position();
        position.is_in_line = false;
        let lead = position.lead.take();
        drop(position);
        // Another leads now.
        drop(lead);
    }

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let others = self.readers.take();
        self.has_others.store(false, Ordering::SeqCst);
        if others.is_empty() {
            return read(session, &self.id, false).await;
        }
        let mut ids: Vec<String> = others.iter().map(|other| other.id.clone()).collect();
        ids.push(self.id.clone());
        ids.sort_unstable();
        ids.dedup();
        self.has_others.store(ids.len() > 1, Ordering::SeqCst);
        let mut found = read_each(session, &ids).await?;
        let is_exact = !session.takes_for_equal() || found.keys().all(|id| ids.binary_search(id).is_ok());
        for Waiting { id, told } in others {
            let image = found.get(&id);
            // Told nothing, the other one asks for itself.
            if image.is_some() || (is_exact && known_as(session, &found, &id).is_none()) {
                drop(told.send(Told::Found(image.cloned().map(Box::new))));
            }
        }
        match found.remove(&self.id) {
            None if !is_exact || known_as(session, &found, &self.id).is_some() => read(session, &self.id, false).await,
            image => Ok(image),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;
    use crate::db::images::create;
    use crate::db::model::NewImage;
    use crate::db::testing::{self, hold_all, until};

    /// A database with three images.
    async fn open(folder: &std::path::Path) -> Db {
        let db = testing::open(folder).await;
        for id in ["a", "b", "c"] {
            let properties = vec![("p".to_owned(), Some(id.to_owned()))];
            create(&db, NewImage { properties, ..NewImage::new(id) }).await.unwrap();
        }
        db
    }

    fn name(image: Option<ImageRecord>) -> Option<String> {
        image.map(|image| image.properties[0].1.clone().unwrap())
    }

    fn wait(db: &Db, id: &str) -> Receiver<Told<Found>> {
        match db.image_readers().join(id) {
            Ok(_) => panic!("{id} leads"),
            Err(receiver) => receiver,
        }
    }

    #[tokio::test]
    async fn who_reads_takes_the_others_along() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let Ok(lead) = db.image_readers().join("a") else { panic!() };
        let others = ["x", "a", "b", "b"].map(|id| wait(&db, id));
        let together = Arc::new(Together::new(&db, "a", Some(lead)));
        together.left_queue();
        // One of those who wait has the lead now, and is in line for a connection.
        assert_eq!((db.image_readers().leads(), db.image_readers().waiting()), (1, 3));
        let image = together.run(&mut db.reader().await.unwrap()).await.unwrap();
        assert_eq!(name(image).as_deref(), Some("a"));
        let [mut none, mut first, mut second, mut leads] = others;
        assert!(matches!(leads.try_recv(), Ok(Told::Lead(_))));
        assert!(matches!(none.try_recv(), Ok(Told::Found(None))));
        for (receiver, expected) in [(&mut first, "a"), (&mut second, "b")] {
            let Ok(Told::Found(image)) = receiver.try_recv() else { panic!("{expected}") };
            assert_eq!(name(image.map(|image| *image)).as_deref(), Some(expected));
        }
        drop(leads);
        assert_eq!(db.image_readers().leads(), 0);
    }

    type Asked = JoinHandle<Result<Option<ImageRecord>, DbError>>;

    /// Asks for each image; all wait but the first.
    async fn ask(db: &Db, ids: &[&str]) -> Vec<Asked> {
        let mut asked = Vec::new();
        for &id in ids {
            let before = db.image_readers().leads() + db.image_readers().waiting();
            let (own, id) = (db.clone(), id.to_owned());
            asked.push(tokio::spawn(async move { get(&own, &id).await }));
            until(|| db.image_readers().leads() + db.image_readers().waiting() > before).await;
        }
        asked
    }

    async fn names(asked: Vec<Asked>) -> Vec<Option<String>> {
        let mut names = Vec::new();
        for one in asked {
            names.push(name(one.await.unwrap().unwrap()));
        }
        names
    }

    #[tokio::test]
    async fn those_who_wait_are_served() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let held = hold_all(&db).await;
        let mut asked = ask(&db, &["a", "gone", "b", "x", "a", "b", "c"]).await;
        let gone = asked.remove(1);
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        drop(held);
        let expected = ["a", "b", "", "a", "b", "c"].map(|name| (!name.is_empty()).then(|| name.to_owned()));
        assert_eq!(names(asked).await, expected);
        assert_eq!((db.image_readers().leads(), db.image_readers().waiting()), (0, 0));
        assert!(get(&db, "c").await.unwrap().is_some());
        assert!(get(&db, "x").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn another_leads_if_the_first_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let held = hold_all(&db).await;
        let mut asked = ask(&db, &["a", "b"]).await;
        let first = asked.remove(0);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        until(|| db.image_readers().waiting() == 0).await;
        drop(held);
        assert_eq!(names(asked).await, [Some("b".to_owned())]);
        assert_eq!(db.image_readers().leads(), 0);
    }

    #[tokio::test]
    async fn who_waits_too_long_gets_in_line() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let Ok(lead) = db.image_readers().join("a") else { panic!() };
        let start = Instant::now();
        // Whoever leads gets nowhere.
        assert_eq!(names(ask(&db, &["b"]).await).await, [Some("b".to_owned())]);
        assert!(start.elapsed() >= PATIENCE);
        drop(lead);
        assert_eq!(db.image_readers().leads(), 0);
    }

    /// No connection is free, so it waits on.
    #[tokio::test]
    async fn who_got_in_line_itself_is_still_taken_along_and_may_lead() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let readers = db.image_readers();
        let _held = hold_all(&db).await;
        let Ok(lead) = readers.join("a") else { panic!() };
        let mut asked = ask(&db, &["b", "c"]).await;
        assert!(timeout(PATIENCE + Duration::from_millis(500), &mut asked[1]).await.is_err());
        // To whoever came last.
        drop(lead);
        assert_eq!((readers.leads(), readers.waiting()), (1, 1));
        let taken = readers.take();
        assert_eq!(taken.len(), 1);
        for Waiting { told, .. } in taken {
            assert!(told.send(Told::Found(None)).is_ok());
        }
        let leads = asked.pop().unwrap();
        assert_eq!(names(asked).await, [None]);
        assert_eq!(readers.leads(), 1);
        leads.abort();
        until(|| readers.leads() == 0).await;
    }

    /// Else what fails by itself would be asked for twice.
    #[tokio::test]
    async fn a_query_that_fails_is_known_for_one_of_others_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let Ok(lead) = db.image_readers().join("a") else { panic!() };
        let together = Arc::new(Together::new(&db, "a", Some(lead)));
        db.writer().await.unwrap().plain("DROP TABLE image_tags").await.unwrap();
        for (others, has_others) in [(&["a", "b"][..], true), (&["a"], false), (&[], false)] {
            let waiting: Vec<_> = others.iter().map(|id| wait(&db, id)).collect();
            together.run(&mut db.reader().await.unwrap()).await.unwrap_err();
            assert_eq!(together.has_others.load(Ordering::SeqCst), has_others, "{others:?}");
            drop(waiting);
        }
    }

    #[tokio::test]
    async fn who_is_told_nothing_asks_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let Ok(lead) = db.image_readers().join("a") else { panic!() };
        let asked = ask(&db, &["b"]).await;
        // They were taken by one who failed.
        assert_eq!(db.image_readers().take().len(), 1);
        assert_eq!(names(asked).await, [Some("b".to_owned())]);
        drop(lead);
    }
}
