//! Values that do not fit, and callers that do not wait.

use std::time::{Duration, Instant};

use super::super::glance_api::db::images::list::{Column, Condition, ListQuery, Viewer};
use super::super::glance_api::db::model::{ImageUpdate, NewImage};
use super::super::glance_api::db::{Db, DbError, images, members, tags, tasks};
use super::{create, get, pairs, uuid};

pub(super) async fn run(db: &Db) {
    strange_text(db).await;
    impatient_callers(db).await;
    more_values_than_a_statement_has(db).await;
}

/// That a statement has too many values is said at once: nothing is wrong with the connection.
async fn more_values_than_a_statement_has(db: &Db) {
    let start = Instant::now();
    let refused = tasks::renew(db, vec!["task".to_owned(); 65_536]).await;
    assert!(matches!(refused, Err(DbError::Statement(_))), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(tasks::renew(db, vec!["task".to_owned()]).await.unwrap(), [""; 0]);
}

/// Some databases take these and some refuse; none may panic, hang, or be left unusable, and what is taken comes back.
async fn strange_text(db: &Db) {
    let long = "x".repeat(70_000);
    for text in
        ["nul\0byte", "\0", "four byte 🦀", "\u{feff}bom", "line\r\nend", " blanks ", &long, "'; DROP TABLE images; --"]
    {
        let id = uuid();
        let new = NewImage {
            name: Some(text.to_owned()),
            owner: Some(text.to_owned()),
            properties: pairs(&[("p", Some(text)), (text, Some("v"))]),
            tags: vec![text.to_owned()],
            ..NewImage::new(&id)
        };
        match images::create(db, new.clone()).await {
            Ok(made) => {
                assert_eq!(made.name, new.name);
                assert_eq!(made.properties, new.properties);
                assert_eq!(made.tags, new.tags);
            }
            Err(error) if is_refused(&error, text) => assert_eq!(get(db, &id).await, None),
            Err(error) => panic!("{error:?}"),
        }
        let id = uuid();
        create(db, NewImage::new(&id)).await;
        let mut query = ListQuery::new(Viewer { is_admin: false, project: Some(text.to_owned()) }, 10);
        query.conditions.push(Condition::Equal(Column::Name, text.to_owned()));
        query.tags.push(text.to_owned());
        let change = ImageUpdate { name: Some(Some(text.to_owned())), ..ImageUpdate::default() };
        for result in [
            images::list(db, &query).await.map(drop),
            images::get(db, text, false).await.map(drop),
            images::update(db, &id, change, None).await.map(drop),
            members::add(db, &id, text, "pending").await.map(drop),
            tags::create(db, &id, text).await,
        ] {
            assert!(result.as_ref().map_or_else(|error| is_refused(error, text), |()| true), "{result:?}");
        }
    }
    let wrong = images::update(
        db,
        &uuid(),
        ImageUpdate { visibility: Some("everyone".to_owned()), ..ImageUpdate::default() },
        None,
    )
    .await;
    assert!(wrong.is_err());
}

/// Whether a database may say this of the text.
fn is_refused(error: &DbError, text: &str) -> bool {
    let is_odd = text.contains(|c| c == '\0' || c > '\u{ffff}');
    matches!(error, DbError::Characters(_)) && is_odd || matches!(error, DbError::Length(_)) && !is_odd
}

/// A caller that goes away at any moment leaves whole changes and no lock.
async fn impatient_callers(db: &Db) {
    let id = uuid();
    create(db, NewImage::new(&id)).await;
    let start = Instant::now();
    for n in 0..60u32 {
        let change = ImageUpdate {
            name: Some(Some(n.to_string())),
            properties: Some(pairs(&[("n", Some(&n.to_string()))])),
            ..ImageUpdate::default()
        };
        let patience = Duration::from_micros(u64::from(n) * 40);
        let _ = tokio::time::timeout(patience, images::update(db, &id, change, None)).await;
        let query = ListQuery::new(Viewer { is_admin: true, project: None }, 100);
        let _ = tokio::time::timeout(patience, images::list(db, &query)).await;
        let _ = tokio::time::timeout(patience, images::get(db, &id, false)).await;
        let image = get(db, &id).await.unwrap();
        let name = image.name.clone();
        assert!(image.properties.is_empty() && name.is_none() || image.properties == [("n".to_owned(), name)]);
    }
    images::update(db, &id, ImageUpdate { name: Some(Some("last".to_owned())), ..ImageUpdate::default() }, None)
        .await
        .unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
