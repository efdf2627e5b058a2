//! Images whose deletion is taken back while they are purged.

use std::thread;

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::{ImageRecord, LocationRecord, NewImage};
use glance_api::db::{Db, DbError, images, members};
use tokio::runtime::Runtime;

use crate::common::database::Kind;
use crate::harness::Place;

const CHILDREN: [&str; 4] = ["image_properties", "image_tags", "image_locations", "image_members"];
const PURGE: [&str; 4] = ["db", "purge_images_table", "--max_rows", "-1"];

/// A database with one image, which was deleted long ago.
struct Scene<'a> {
    place: &'a Place,
    database: &'a str,
    runtime: Runtime,
    db: Db,
    /// As it was before that.
    image: ImageRecord,
}

impl<'a> Scene<'a> {
    fn new(place: &'a Place, database: &'a str) -> Self {
        place.make(database, None);
        assert_eq!(place.ours(database, &["db", "sync"]).status, 0);
        let runtime = Runtime::new().unwrap();
        let connection = Some(Secret::from(place.url(database).as_str()));
        let section = DatabaseSection { connection, ..DatabaseSection::default() };
        let (db, image) = runtime.block_on(async {
            let db = Db::connect(&section).await.unwrap();
            let location = LocationRecord {
                id: None,
                url: "file:///l".to_owned(),
                status: "active".to_owned(),
                metadata: serde_json::Map::new(),
            };
            let new = NewImage {
                status: "active".to_owned(),
                properties: vec![("p".to_owned(), Some("v".to_owned()))],
                tags: vec!["t".to_owned()],
                locations: vec![location],
                ..NewImage::new("image")
            };
            images::create(&db, new).await.unwrap();
            members::add(&db, "image", "m", "pending").await.unwrap();
            let image = images::get(&db, "image", false).await.unwrap().unwrap();
            images::delete(&db, "image", "deleted", None).await.unwrap();
            (db, image)
        });
        for table in CHILDREN.into_iter().chain(["images"]) {
            place.run_in(database, &format!("UPDATE {table} SET deleted_at = '2020-01-01 00:00:00'"));
        }
        Self { place, database, runtime, db, image }
    }

    fn restore(&self) -> Result<(), DbError> {
        let updated_at = self.image.updated_at;
        self.runtime.block_on(images::restore(&self.db, "image", "active", updated_at, Vec::new()))
    }

    fn shown(&self) -> Option<ImageRecord> {
        self.runtime.block_on(images::get(&self.db, "image", true)).unwrap()
    }

    /// How many rows there are that no transaction has for itself.
    fn free(&self, table: &str) -> usize {
        self.place.run_in(self.database, &format!("SELECT 1 FROM {table} FOR UPDATE SKIP LOCKED")).lines().count()
    }

    fn purge(&self) {
        let said = self.place.ours(self.database, &PURGE);
        assert_eq!(said.status, 0, "{said:?}");
    }
}

/// The purge waits before it has removed anything, and leaves the image with all that it had.
fn first_comes_the_restoration(place: &Place) {
    let scene = Scene::new(place, "restored");
    let server = place.the_server();
    let gate = server.hold_up(scene.database, "AFTER UPDATE ON images", "NEW.id = 'image'");
    thread::scope(|scope| {
        let restoration = scope.spawn(|| scene.restore());
        server.wait_for_waiting(1);
        let purge = scope.spawn(|| scene.purge());
        server.wait_for_waiting(2);
        assert_eq!(CHILDREN.map(|table| scene.free(table)), [1; 4]);
        drop(gate);
        restoration.join().unwrap().unwrap();
        purge.join().unwrap();
    });
    assert_eq!(scene.shown().as_ref(), Some(&scene.image));
    for table in CHILDREN {
        assert_eq!(scene.free(table), 1, "{table}");
    }
}

/// Nobody can have the image back of which something is gone already.
fn first_comes_the_purge(place: &Place) {
    let scene = Scene::new(place, "purged_first");
    let server = place.the_server();
    let gate = server.hold_up(scene.database, "AFTER DELETE ON image_properties", "OLD.image_id = 'image'");
    thread::scope(|scope| {
        let purge = scope.spawn(|| scene.purge());
        server.wait_for_waiting(1);
        assert_eq!(scene.free("images"), 0);
        let restoration = scope.spawn(|| scene.restore());
        server.wait_for_waiting(2);
        drop(gate);
        purge.join().unwrap();
        let restored = restoration.join().unwrap();
        assert!(matches!(restored, Err(DbError::NotFound { .. })), "{restored:?}");
    });
    assert_eq!(scene.shown(), None);
}

#[test]
fn what_comes_back_is_whole_or_gone() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let place = Place::server(kind);
        first_comes_the_restoration(&place);
        first_comes_the_purge(&place);
    }
}
