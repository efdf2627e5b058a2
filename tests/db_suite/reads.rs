//! Many images that are read at the same time.

use tokio::task::JoinSet;

use super::super::glance_api::db::model::NewImage;
use super::super::glance_api::db::{Db, images};
use super::{create, ignores_case, location, pairs, texts, uuid};

/// Whoever reads in company finds what it finds alone.
pub(super) async fn run(db: &Db) {
    let mut ids = vec![uuid()];
    for number in 0..12 {
        let mut new = NewImage::new(uuid());
        let value = number.to_string();
        new.properties = pairs(&[("number", Some(value.as_str())), ("none", None)][..number % 3]);
        new.tags = texts(&["a", "b"][..number % 2]);
        new.locations = (0..number % 4).map(|at| location(&format!("{number}-{at}"))).collect();
        ids.push(create(db, new).await.id);
    }
    let deleted = create(db, NewImage::new(uuid())).await.id;
    images::delete(db, &deleted, "deleted", None).await.unwrap();
    ids.push(deleted);
    // MySQL finds the image that is written otherwise, the other databases do not.
    ids.extend([ids[1].to_uppercase(), "no id".to_owned(), String::new()]);

    let mut expected = Vec::new();
    for id in &ids {
        expected.push(images::get(db, id, false).await.unwrap());
    }
    assert_eq!(expected.iter().flatten().count(), if ignores_case(db) { 13 } else { 12 });
    let mut work = JoinSet::new();
    for (id, expected) in ids.iter().zip(expected).cycle().take(20 * ids.len()) {
        let (db, id, expected) = (db.clone(), id.clone(), expected.clone());
        work.spawn(async move { assert_eq!(images::get(&db, &id, false).await.unwrap(), expected, "{id}") });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
}
