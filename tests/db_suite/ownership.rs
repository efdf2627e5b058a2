//! Who owns an image's data, and that nobody sees it.

use super::super::glance_api::db::images::{self, ImageAndOwner};
use super::super::glance_api::db::model::{ImageUpdate, NewImage};
use super::super::glance_api::db::{Db, DbError};
use super::{add_location, create, get, location, lock_for_task, pairs, uuid};

pub(super) async fn run(db: &Db) {
    one_owner_at_a_time(db).await;
    an_update_leaves_the_owner(db).await;
    a_deletion_has_an_owner_until_it_is_taken_back(db).await;
    a_deletion_is_of_the_locations_that_were_read(db).await;
}

fn to(status: &str) -> ImageUpdate {
    ImageUpdate { status: Some(status.to_owned()), ..ImageUpdate::default() }
}

async fn with_owner(db: &Db, id: &str) -> ImageAndOwner {
    images::with_owner(db, id).await.unwrap().unwrap()
}

#[track_caller]
fn assert_conflict(outcome: Result<(), DbError>, status: &str) {
    assert!(matches!(&outcome, Err(DbError::StateConflict { current, .. }) if current == status), "{outcome:?}");
}

async fn one_owner_at_a_time(db: &Db) {
    let id = uuid();
    assert_eq!(images::with_owner(db, &id).await.unwrap(), None);
    create(db, NewImage::new(&id)).await;
    assert_eq!(with_owner(db, &id).await.owner, None);
    images::take(db, &id, to("saving"), &["queued"], "one").await.unwrap();
    assert_conflict(images::take(db, &id, to("saving"), &["queued"], "two").await, "saving");
    assert_eq!(with_owner(db, &id).await.owner.as_deref(), Some("one"));

    assert_conflict(images::give_back(db, &id, to("active"), &["saving"], "two").await, "saving");
    assert_conflict(images::give_back(db, &id, to("active"), &["queued"], "one").await, "saving");
    let before = with_owner(db, &id).await;
    assert_eq!((before.image.status.as_str(), before.owner.as_deref()), ("saving", Some("one")));

    let change = ImageUpdate { locations: Some(vec![location("l")]), ..to("active") };
    images::give_back(db, &id, change, &["saving"], "one").await.unwrap();
    let after = with_owner(db, &id).await;
    assert_eq!((after.image.status.as_str(), after.owner, after.image.locations.len()), ("active", None, 1));
    // A token that nobody knows any more is no reason to refuse.
    images::update(db, &id, to("saving"), None).await.unwrap();
    images::give_back(db, &id, to("active"), &["saving"], "one").await.unwrap();

    // A later worker takes over from one whose end nobody saw.
    images::update(db, &id, to("queued"), None).await.unwrap();
    for token in ["three", "four"] {
        images::update(db, &id, to("queued"), None).await.unwrap();
        images::take(db, &id, to("saving"), &["queued"], token).await.unwrap();
        assert_eq!(with_owner(db, &id).await.owner.as_deref(), Some(token));
    }
    assert_conflict(images::give_back(db, &id, to("active"), &["saving"], "three").await, "saving");
}

async fn an_update_leaves_the_owner(db: &Db) {
    let id = uuid();
    create(db, NewImage { properties: pairs(&[("a", Some("1"))]), ..NewImage::new(&id) }).await;
    images::take(db, &id, to("saving"), &["queued"], "one").await.unwrap();
    assert_eq!(get(db, &id).await.unwrap().properties, pairs(&[("a", Some("1"))]), "the token shows");
    let change = ImageUpdate { properties: Some(pairs(&[("b", Some("2"))])), ..ImageUpdate::default() };
    let shown = images::update(db, &id, change, None).await.unwrap();
    assert_eq!(shown.properties, pairs(&[("b", Some("2"))]));
    assert_eq!(with_owner(db, &id).await.owner.as_deref(), Some("one"));
}

async fn a_deletion_has_an_owner_until_it_is_taken_back(db: &Db) {
    let id = uuid();
    let new = NewImage {
        status: "active".to_owned(),
        properties: pairs(&[("a", Some("1"))]),
        locations: vec![location("l")],
        ..NewImage::new(&id)
    };
    let before = create(db, new).await;
    let read = before.locations.as_slice();
    assert_conflict(images::delete_and_take(db, &id, "deleted", &["queued"], read, "one").await, "active");
    assert_eq!(with_owner(db, &id).await.owner, None);
    images::delete_and_take(db, &id, "deleted", &["active"], read, "one").await.unwrap();
    let deleted = with_owner(db, &id).await;
    assert_eq!((deleted.image.deleted, deleted.owner.as_deref()), (true, Some("one")));

    images::restore(db, &id, "active", before.updated_at, Vec::new()).await.unwrap();
    let back = with_owner(db, &id).await;
    assert_eq!((back.image, back.owner), (before.clone(), None));

    // A task has ended in between, and nobody would take its lock from the image any more.
    let lock = "os_glance_import_task";
    let ended = lock_for_task(db, &id, "active", lock).await.unwrap();
    images::delete_and_take(db, &id, "deleted", &["active"], read, "two").await.unwrap();
    images::delete_property_atomic(db, &id, lock, &ended).await.unwrap();
    images::restore(db, &id, "active", before.updated_at, Vec::new()).await.unwrap();
    assert_eq!(with_owner(db, &id).await.image.properties, before.properties);
}

/// Otherwise nobody would know of the data at a location that somebody has just added.
async fn a_deletion_is_of_the_locations_that_were_read(db: &Db) {
    let changed = |outcome: Result<(), DbError>| matches!(outcome, Err(DbError::LocationsChanged { .. }));
    let id = uuid();
    let new = NewImage { status: "active".to_owned(), locations: vec![location("l")], ..NewImage::new(&id) };
    let read = create(db, new).await.locations;
    add_location(db, &id, location("m")).await;
    assert!(changed(images::delete_and_take(db, &id, "deleted", &["active"], &read, "one").await));
    assert!(changed(images::delete_without_data(db, &id, "deleted", &["active"], &[]).await));
    let kept = with_owner(db, &id).await;
    assert_eq!((kept.image.deleted, kept.owner, kept.image.locations.len()), (false, None, 2));
    images::delete_and_take(db, &id, "deleted", &["active"], &kept.image.locations, "one").await.unwrap();
    assert_eq!(with_owner(db, &id).await.owner.as_deref(), Some("one"));

    // Whoever writes data just now stays its owner.
    for locations in [vec![], vec![location("l")]] {
        let id = uuid();
        let read = create(db, NewImage { locations, ..NewImage::new(&id) }).await.locations;
        images::take(db, &id, to("saving"), &["queued"], "one").await.unwrap();
        images::delete_without_data(db, &id, "deleted", &["saving"], &read).await.unwrap();
        let deleted = with_owner(db, &id).await;
        assert_eq!((deleted.image.deleted, deleted.owner.as_deref()), (true, Some("one")));
    }
}
