//! What every kind of database must do. Run by the unit tests on SQLite and by `db_servers` on the servers.
//!
//! The cases share a database, so each keeps to ids, owners and properties of its own.

mod cache;
mod changes;
mod lists;
mod members;
mod metadefs;
mod odd;
mod ownership;
mod reads;
mod tasks;

use std::time::Duration;

use super::glance_api::db::model::{ImageRecord, ImageUpdate, LocationRecord, NewImage};
use super::glance_api::db::tasks::{TaskLock, create_locked};
use super::glance_api::db::{Db, DbError, Dialect, images};
use serde_json::json;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Runs all cases; panics at the first that fails.
pub(super) async fn run(db: &Db) {
    round_trip(db).await;
    ids(db).await;
    changes::run(db).await;
    reads::run(db).await;
    members::run(db).await;
    metadefs::run(db).await;
    lists::run(db).await;
    odd::run(db).await;
    ownership::run(db).await;
    tasks::run(db).await;
    cache::run(db).await;
}

pub(super) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub(super) async fn create(db: &Db, image: NewImage) -> ImageRecord {
    images::create(db, image).await.unwrap()
}

pub(super) async fn get(db: &Db, id: &str) -> Option<ImageRecord> {
    images::get(db, id, false).await.unwrap()
}

/// By its default collation.
pub(super) fn ignores_case(db: &Db) -> bool {
    db.dialect() == Dialect::MySql
}

pub(super) fn pairs(list: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
}

pub(super) fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

/// Gives an image one more location.
pub(super) async fn add_location(db: &Db, id: &str, location: LocationRecord) {
    let mut locations = get(db, id).await.unwrap().locations;
    locations.push(location);
    let change = ImageUpdate { locations: Some(locations), ..ImageUpdate::default() };
    images::update(db, id, change, None).await.unwrap();
}

/// Registers a task that has the image for itself, in this status: the property gets the task's id, which is returned.
pub(super) async fn lock_for_task(
    db: &Db,
    image: &str,
    status: &str,
    property: &'static str,
) -> Result<String, DbError> {
    let task = tasks::new("locking", Some(image));
    let id = task.id.clone();
    let lock = TaskLock { image: image.to_owned(), property, status: status.to_owned(), takes_over: true };
    create_locked(db, task, lock).await.map(|()| id)
}

pub(super) fn location(url: &str) -> LocationRecord {
    let serde_json::Value::Object(metadata) = json!({"store": "fast", "n": {"ü": [1, null, true]}}) else { panic!() };
    LocationRecord::active(url.to_owned(), metadata)
}

fn now() -> PrimitiveDateTime {
    let now = OffsetDateTime::now_utc();
    PrimitiveDateTime::new(now.date(), now.time())
}

async fn round_trip(db: &Db) {
    let id = uuid();
    let new = NewImage {
        name: Some("näme ' \" \\ % _ ; -- 名".to_owned()),
        size: Some(5_000_000_000),
        virtual_size: Some(i64::MAX),
        status: "active".to_owned(),
        visibility: "community".to_owned(),
        disk_format: Some("qcow2".to_owned()),
        container_format: Some("bare".to_owned()),
        checksum: Some("0123456789abcdef0123456789abcdef".to_owned()),
        os_hash_algo: Some("sha512".to_owned()),
        os_hash_value: Some("0".repeat(128)),
        owner: Some("owner-1".to_owned()),
        min_disk: i32::MAX,
        min_ram: 1,
        protected: true,
        os_hidden: true,
        properties: pairs(&[("zeta", Some("1")), ("alpha", Some("")), ("none", None), ("名", Some("näme"))]),
        tags: texts(&["b", "a", "b", "tag with blank"]),
        locations: vec![location("file:///a"), LocationRecord { status: "pending_delete".to_owned(), ..location("x") }],
        ..NewImage::new(&id)
    };
    let made = create(db, new.clone()).await;
    assert_eq!(get(db, &id).await.as_ref(), Some(&made));
    // MySQL keeps whole seconds, and may round up.
    let age = (now() - made.created_at).as_seconds_f64();
    assert!(age > -1.0 && age < 10.0, "{age}");
    let [stored] = made.locations.as_slice() else { panic!("{:?}", made.locations) };
    assert!(stored.id.is_some());
    let expected = ImageRecord {
        id,
        name: new.name,
        size: new.size,
        virtual_size: new.virtual_size,
        status: new.status,
        visibility: new.visibility,
        disk_format: new.disk_format,
        container_format: new.container_format,
        checksum: new.checksum,
        os_hash_algo: new.os_hash_algo,
        os_hash_value: new.os_hash_value,
        owner: new.owner,
        min_disk: new.min_disk,
        min_ram: new.min_ram,
        protected: true,
        os_hidden: true,
        created_at: made.created_at,
        updated_at: made.updated_at,
        deleted_at: None,
        deleted: false,
        properties: new.properties,
        tags: texts(&["b", "a", "tag with blank"]),
        locations: vec![LocationRecord { id: stored.id, ..location("file:///a") }],
    };
    assert_eq!(made, expected);

    let id = uuid();
    let time = time::macros::datetime!(2020-02-29 23:59:59);
    let bare = create(
        db,
        NewImage {
            owner: Some(String::new()),
            created_at: Some(time),
            updated_at: Some(time + Duration::from_secs(1)),
            ..NewImage::new(&id)
        },
    )
    .await;
    assert_eq!(get(db, &id).await.as_ref(), Some(&bare));
    assert_eq!((bare.status.as_str(), bare.visibility.as_str()), ("queued", "shared"));
    assert_eq!((bare.owner, bare.name, bare.size), (None, None, None));
    assert_eq!((bare.created_at, bare.updated_at), (time, time + Duration::from_secs(1)));

    // Without anything that has to be read back, the answer is made of what was given.
    for properties in [pairs(&[("zeta", Some("1")), ("alpha", Some("")), ("名", Some("{näme, \"NULL\"}"))]), Vec::new()]
    {
        let id = uuid();
        let tags = texts(&["b", "a", "b", "tag, with {comma}"]);
        let made = create(db, NewImage { properties: properties.clone(), tags, ..NewImage::new(&id) }).await;
        assert_eq!((&made.properties, &made.tags), (&properties, &texts(&["b", "a", "tag, with {comma}"])));
        assert_eq!(get(db, &id).await, Some(made));
        let again = NewImage { properties, ..NewImage::new(&id) };
        let again = images::create(db, again).await;
        assert!(matches!(&again, Err(DbError::Duplicate { what: "image", .. })), "{again:?}");
    }
    let twice = NewImage { properties: pairs(&[("a", Some("1")), ("a", Some("2"))]), ..NewImage::new(uuid()) };
    let twice = images::create(db, twice).await;
    assert!(matches!(twice, Err(DbError::Duplicate { what, .. }) if what != "image"));
}

async fn ids(db: &Db) {
    let id = uuid().to_uppercase();
    create(db, NewImage { name: Some("first".to_owned()), ..NewImage::new(&id) }).await;
    let again = images::create(db, NewImage::new(&id)).await;
    assert!(matches!(&again, Err(DbError::Duplicate { what: "image", key }) if *key == id), "{again:?}");
    for other in [format!("{id} "), format!(" {id}"), String::new(), id[..35].to_owned()] {
        assert_eq!(get(db, &other).await, None, "{other:?}");
    }
    let other = get(db, &id.to_lowercase()).await.map(|image| image.id);
    assert_eq!(other, ignores_case(db).then(|| id.clone()), "the id is always the one that the image got");
    images::delete(db, &id, "deleted", None).await.unwrap();
    assert_eq!(get(db, &id).await, None);
    let gone = images::get(db, &id, true).await.unwrap().unwrap();
    assert!(gone.deleted && gone.deleted_at.is_some());
    let again = images::create(db, NewImage::new(&id)).await;
    assert!(matches!(again, Err(DbError::Duplicate { .. })), "{again:?}");
    let long = images::create(db, NewImage::new("x".repeat(37))).await;
    assert!(long.is_err());

    let id = uuid();
    let twice = NewImage { properties: pairs(&[("a", Some("1")), ("A", Some("2"))]), ..NewImage::new(&id) };
    match images::create(db, twice).await {
        Ok(image) => assert!(image.properties.len() == 2 && !ignores_case(db)),
        Err(DbError::Duplicate { what, .. }) => assert!(what != "image" && ignores_case(db)),
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(get(db, &id).await.is_none(), ignores_case(db), "all of it or nothing");
}
