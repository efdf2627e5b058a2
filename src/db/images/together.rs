//! One query for several callers who each want one image.
//!
//! To receive a short query and to answer it costs a server more than to run it. So where somebody waits for a connection to read an
//! image, those who come after do not: whoever gets a connection next asks for all of them. As long as connections are free, nobody
//! waits and each has a query of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::columns::ID_LENGTH;
use super::get::{alone, known_as, read, read_each};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::gathering::{ImageReaders, Lead, Told, Waiting};
use crate::db::model::ImageRecord;
use crate::db::retry::Operation;
use crate::db::session::Session;

/// Whoever has waited for so long gets in line for a connection itself: something is wrong with the database.
const PATIENCE: Duration = Duration::from_secs(1);

/// The image with this id, unless it is deleted.
pub(super) async fn get(db: &Db, id: &str) -> Result<Option<ImageRecord>, DbError> {
    // An unusual id may make the query fail, for all.
    let is_usual = id.len() <= ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_usual {
        return alone(db, id).await;
    }
    let readers = db.image_readers();
    let lead = match readers.join(id) {
        Ok(lead) => Some(lead),
        Err(receiver) => match timeout(PATIENCE, receiver).await {
            Ok(Ok(Told::Found(image))) => return Ok(image.map(|image| *image)),
            Ok(Ok(Told::Lead(lead))) => Some(lead),
            Ok(Err(_)) => return alone(db, id).await,
            Err(_) => None,
        },
    };
    let together = Together { id: id.to_owned(), readers: Arc::clone(readers), lead: Mutex::new(lead) };
    match db.read(together).await {
        // Perhaps because of another's image.
        Err(error) if !error.is_unavailable() => alone(db, id).await,
        done => done,
    }
}

/// Reads an image, and those of others who wait. Each run takes those who wait then; if it fails, they ask alone.
struct Together {
    id: String,
    readers: Arc<ImageReaders>,
    /// Until it is known whether there is a connection.
    lead: Mutex<Option<Lead<Option<Box<ImageRecord>>>>>,
}

impl Operation for Together {
    type Output = Option<ImageRecord>;
    const NAME: &'static str = "get image";

    fn left_queue(&self) {
        drop(self.lead.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let others = self.readers.take();
        if others.is_empty() {
            return read(session, &self.id, false).await;
        }
        let mut ids: Vec<String> = others.iter().map(|other| other.id.clone()).collect();
        ids.push(self.id.clone());
        ids.sort_unstable();
        ids.dedup();
        let mut found = read_each(session, ids.clone()).await?;
        let is_exact = !session.takes_for_equal() || found.keys().all(|id| ids.binary_search(id).is_ok());
        for Waiting { id, told } in others {
            let image = found.get(&id);
            // Told nothing, it asks for itself.
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
    use tokio::sync::oneshot::Receiver;
    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::Instant;

    use super::*;
    use crate::config::{DatabaseSection, Secret};
    use crate::db::images::create;
    use crate::db::model::NewImage;

    /// A database with three images.
    async fn open(folder: &std::path::Path) -> Db {
        let connection = Some(Secret::from(format!("sqlite:///{}/glance.db", folder.display()).as_str()));
        let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
        db.create_schema().await.unwrap();
        for id in ["a", "b", "c"] {
            let properties = vec![("p".to_owned(), Some(id.to_owned()))];
            create(&db, NewImage { properties, ..NewImage::new(id) }).await.unwrap();
        }
        db
    }

    fn name(image: Option<ImageRecord>) -> Option<String> {
        image.map(|image| image.properties[0].1.clone().unwrap())
    }

    type Receives = Receiver<Told<Option<Box<ImageRecord>>>>;

    fn wait(db: &Db, id: &str) -> Receives {
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
        let readers = Arc::clone(db.image_readers());
        let together = Together { id: "a".to_owned(), readers, lead: Mutex::new(Some(lead)) };
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

    async fn until(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(30));
            yield_now().await;
        }
    }

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

    /// Holds all connections.
    async fn hold_all(db: &Db) -> Vec<Session> {
        let mut held = Vec::new();
        while let Ok(session) = timeout(Duration::from_millis(500), db.reader()).await {
            held.push(session.unwrap());
        }
        held
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
