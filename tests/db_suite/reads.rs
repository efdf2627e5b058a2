//! Many images that are read at the same time.

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::super::glance_api::db::model::NewImage;
use super::super::glance_api::db::{Db, images};
use super::{create, ignores_case, location, pairs, texts, uuid};

pub(super) async fn run(db: &Db) {
    finds_what_is_found_alone(db).await;
    queries_are_shared(db).await;
}

/// Whoever reads in company finds what it finds alone.
async fn finds_what_is_found_alone(db: &Db) {
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

/// Where many more read than there are connections in use for it, most need no query of their own.
async fn queries_are_shared(db: &Db) {
    const READERS: usize = 200;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(create(db, NewImage::new(uuid())).await.id);
    }
    let start = db.answers();
    assert!(images::get(db, &ids[0], false).await.unwrap().is_some());
    let alone = db.answers() - start;
    let mut counts = Vec::new();
    // All ask before the first is told. Where the machine stands still for a second, each asks by itself in the end.
    for _ in 0..10 {
        let start = db.answers();
        let wanted = || ids.iter().cycle().take(READERS);
        let found = join_all(wanted().map(|id| images::get(db, id, false))).await;
        let found: Vec<String> = found.into_iter().map(|image| image.unwrap().unwrap().id).collect();
        assert!(found.iter().eq(wanted()));
        let count = db.answers() - start;
        if count < alone * READERS as u64 / 2 {
            return;
        }
        counts.push(count);
    }
    panic!("{READERS} readers took {counts:?} queries, and one takes {alone}");
}
