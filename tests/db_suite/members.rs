//! Members of images.

use tokio::task::JoinSet;

use super::super::glance_api::db::model::NewImage;
use super::super::glance_api::db::{Db, DbError, images, members};
use super::{create, uuid};

pub(super) async fn run(db: &Db) {
    life_of_a_membership(db).await;
    one_rival_wins(db).await;
}

async fn life_of_a_membership(db: &Db) {
    let id = uuid();
    create(db, NewImage::new(&id)).await;
    let (a, b) = (uuid(), uuid());
    let first = members::add(db, &id, &a, "pending").await.unwrap();
    assert_eq!(
        (first.image_id.as_str(), first.member.as_str(), first.status.as_str()),
        (id.as_str(), a.as_str(), "pending")
    );
    assert!(!first.can_share);
    members::add(db, &id, &b, "pending").await.unwrap();
    let again = members::add(db, &id, &a, "pending").await;
    assert!(matches!(again, Err(DbError::Duplicate { what: "member", .. })), "{again:?}");
    let nowhere = members::add(db, &uuid(), &a, "pending").await;
    assert!(matches!(nowhere, Err(DbError::NotFound { what: "image", .. })), "{nowhere:?}");

    assert_eq!(images::member_status(db, &id, &a).await.unwrap().as_deref(), Some("pending"));
    let accepted = members::update(db, &id, &a, "accepted").await.unwrap();
    assert_eq!((accepted.status.as_str(), accepted.created_at), ("accepted", first.created_at));
    assert_eq!(images::member_status(db, &id, &a).await.unwrap().as_deref(), Some("accepted"));
    assert_eq!(members::find(db, &id, &a).await.unwrap(), Some(accepted));
    let names: Vec<String> = members::list(db, &id).await.unwrap().into_iter().map(|member| member.member).collect();
    assert_eq!(names, [a.clone(), b.clone()]);
    assert_eq!(members::count(db, &id).await.unwrap(), 2);

    members::delete(db, &id, &a).await.unwrap();
    for failed in [members::delete(db, &id, &a).await, members::update(db, &id, &a, "accepted").await.map(drop)] {
        assert!(matches!(failed, Err(DbError::NotFound { what: "member", .. })), "{failed:?}");
    }
    assert_eq!(members::find(db, &id, &a).await.unwrap(), None);
    assert_eq!(images::member_status(db, &id, &a).await.unwrap(), None);
    assert_eq!(members::count(db, &id).await.unwrap(), 1);
    let back = members::add(db, &id, &a, "pending").await.unwrap();
    assert_eq!((back.status.as_str(), back.created_at), ("pending", first.created_at));
    members::delete(db, &id, &a).await.unwrap();
    members::add(db, &id, &a, "pending").await.unwrap();

    images::delete(db, &id, "deleted", None).await.unwrap();
    assert_eq!(members::list(db, &id).await.unwrap(), []);
}

async fn one_rival_wins(db: &Db) {
    let (id, project) = (uuid(), uuid());
    create(db, NewImage::new(&id)).await;
    let mut rivals = JoinSet::new();
    for _ in 0..6 {
        let (db, id, project) = (db.clone(), id.clone(), project.clone());
        rivals.spawn(async move { members::add(&db, &id, &project, "pending").await });
    }
    let results = rivals.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(members::count(db, &id).await.unwrap(), 1);
}
