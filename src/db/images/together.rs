//! One query for several callers who each want one image.
//!
//! To receive a short query and to answer it costs a server more than to run it. So one of those who have to wait for a
//! connection *leads*: once it has one, its query is for all who have come meanwhile. Where connections are free, nobody waits and
//! each has a query of its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::columns::ID_LENGTH;
use super::get::{alone, read, read_each};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::gathering::{Lead, Told, Waiting};
use crate::db::model::ImageRecord;
use crate::db::retry::Operation;
use crate::db::session::Session;

/// Images in one query.
const MOST: usize = 32;

/// Whoever has waited for so long asks for itself: something is wrong with the database, and many who wait one after the other
/// would wait for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// The image with this id, unless it is deleted.
pub(super) async fn get(db: &Db, id: &str) -> Result<Option<ImageRecord>, DbError> {
    // An unusual id may make the query fail, for all.
    let is_usual = id.len() <= ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_usual {
        return alone(db, id).await;
    }
    let lead = match db.image_readers().join(id) {
        Ok(lead) => lead,
        Err(told) => match timeout(PATIENCE, told).await {
            Ok(Ok(Told::Found(image))) => return Ok(image.map(|image| *image)),
            Ok(Ok(Told::Lead(lead))) => lead,
            Ok(Err(_)) | Err(_) => return alone(db, id).await,
        },
    };
    match db.read(Together { id: id.to_owned(), lead: Mutex::new(Some(lead)) }).await {
        // Perhaps because of another's image.
        Err(error) if !error.is_unavailable() => alone(db, id).await,
        done => done,
    }
}

/// Reads an image, and those of all who wait.
struct Together {
    id: String,
    /// Until it has a connection.
    lead: Mutex<Option<Lead<Option<Box<ImageRecord>>>>>,
}

impl Operation for Together {
    type Output = Option<ImageRecord>;
    const NAME: &'static str = "get image";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let lead = self.lead.lock().unwrap_or_else(PoisonError::into_inner).take();
        let others = lead.as_ref().map(|lead| lead.take(MOST - 1)).unwrap_or_default();
        // Whoever comes from now on waits for the next connection.
        drop(lead);
        if others.is_empty() {
            return read(session, &self.id, false).await;
        }
        let mut ids: Vec<String> = others.iter().map(|other| other.id.clone()).collect();
        ids.push(self.id.clone());
        ids.sort_unstable();
        ids.dedup();
        let found = read_each(session, ids).await?;
        for Waiting { id, told } in others {
            let image = found.get(&id);
            // MySQL may know it by another id; a query for it alone tells.
            if image.is_some() || !session.takes_for_equal() {
                drop(told.send(Told::Found(image.cloned().map(Box::new))));
            }
        }
        match found.into_iter().find(|(id, _)| *id == self.id) {
            None if session.takes_for_equal() => read(session, &self.id, false).await,
            image => Ok(image.map(|(_, image)| image)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinHandle, yield_now};

    use super::*;
    use crate::config::{DatabaseSection, Secret};
    use crate::db::images::create;
    use crate::db::model::NewImage;

    async fn open(folder: &std::path::Path) -> Db {
        let connection = Some(Secret::from(format!("sqlite:///{}/glance.db", folder.display()).as_str()));
        let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
        db.create_schema().await.unwrap();
        db
    }

    fn waiting(db: &Db) -> usize {
        db.image_readers().waiting()
    }

    /// Holds all connections.
    async fn hold_all(db: &Db) -> Vec<Session> {
        let mut held = Vec::new();
        while let Ok(session) = timeout(Duration::from_millis(200), db.reader()).await {
            held.push(session.unwrap());
        }
        held
    }

    type Asked = JoinHandle<Result<Option<ImageRecord>, DbError>>;

    /// Asks while there is no connection: the first one leads.
    async fn ask(db: &Db, ids: &[&str]) -> Vec<Asked> {
        let mut asked = Vec::new();
        for (number, &id) in ids.iter().enumerate() {
            let (db, id) = (db.clone(), id.to_owned());
            asked.push(tokio::spawn({
                let db = db.clone();
                async move { get(&db, &id).await }
            }));
            while !db.image_readers().is_led() || waiting(&db) < number {
                yield_now().await;
            }
        }
        asked
    }

    async fn names(asked: Vec<Asked>) -> Vec<Option<String>> {
        let mut names = Vec::new();
        for one in asked {
            names.push(one.await.unwrap().unwrap().map(|image| image.properties[0].1.clone().unwrap()));
        }
        names
    }

    async fn three_images(db: &Db) {
        for id in ["a", "b", "c"] {
            let properties = vec![("p".to_owned(), Some(id.to_owned()))];
            create(db, NewImage { properties, ..NewImage::new(id) }).await.unwrap();
        }
    }

    #[tokio::test]
    async fn those_who_wait_are_served_by_one_query() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        three_images(&db).await;
        let held = hold_all(&db).await;
        let asked = ask(&db, &["a", "b", "x", "a", "b", "c"]).await;
        // Not in turn: only the one who leads has asked for a connection.
        drop(held);
        let expected = ["a", "b", "", "a", "b", "c"].map(|name| (!name.is_empty()).then(|| name.to_owned()));
        assert_eq!(names(asked).await, expected);
        assert!(!db.image_readers().is_led());
        // With connections that are free, each has its own.
        assert!(get(&db, "c").await.unwrap().is_some());
        assert!(get(&db, "x").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn another_leads_if_the_first_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        three_images(&db).await;
        let held = hold_all(&db).await;
        let mut asked = ask(&db, &["a", "b", "c", "a"]).await;
        // Of the second nothing is left but its place.
        for gone in [1, 0] {
            asked[gone].abort();
            assert!((&mut asked[gone]).await.unwrap_err().is_cancelled());
        }
        let rest = asked.split_off(2);
        while waiting(&db) > 1 {
            yield_now().await;
        }
        drop(held);
        assert_eq!(names(rest).await, ["c", "a"].map(|name| Some(name.to_owned())));
        assert!(!db.image_readers().is_led());
    }

    #[tokio::test]
    async fn more_than_fit_are_served_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        three_images(&db).await;
        let held = hold_all(&db).await;
        let asked = ask(&db, &["a", "b", "c"].repeat(3 * MOST)).await;
        drop(held);
        let expected = ["a", "b", "c"].repeat(3 * MOST).into_iter().map(|name| Some(name.to_owned()));
        assert_eq!(names(asked).await, expected.collect::<Vec<_>>());
        assert_eq!((waiting(&db), db.image_readers().is_led()), (0, false));
    }

    #[tokio::test]
    async fn who_waits_too_long_asks_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        three_images(&db).await;
        let Ok(lead) = db.image_readers().join("a") else { panic!() };
        // Somebody leads and gets nowhere.
        assert_eq!(names(ask(&db, &["b"]).await).await, [Some("b".to_owned())]);
        drop(lead);
        assert!(!db.image_readers().is_led());
    }

    #[tokio::test]
    async fn who_is_told_nothing_asks_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        three_images(&db).await;
        let Ok(lead) = db.image_readers().join("a") else { panic!() };
        let asked = ask(&db, &["b"]).await;
        while waiting(&db) < 1 {
            yield_now().await;
        }
        drop(lead.take(1));
        assert_eq!(names(asked).await, [Some("b".to_owned())]);
    }
}
