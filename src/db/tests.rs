//! The suite for all databases, on SQLite, and what is SQLite's own.

use std::time::Duration;

use time::macros::datetime;

use crate::config::Secret;
use crate::db::images::list::{ListQuery, Viewer};
use crate::db::model::{ImageRecord, ImageUpdate, LocationRecord, NewImage};
use crate::db::testing::open;
use crate::db::{Db, DbError, LocationCipher, children, images, members};

extern crate self as glance_api;

mod odd;
#[path = "../../tests/db_suite/mod.rs"]
mod suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_does_what_every_database_must() {
    let folder = tempfile::tempdir().unwrap();
    suite::run(&open(folder.path()).await).await;
}

#[tokio::test]
async fn urls_of_locations_are_encrypted_where_there_is_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let plain = open(folder.path()).await;
    let with = |key: &str| plain.clone().with_cipher(LocationCipher::new(&Secret::from(key)));
    let (sealing, other) = (with("0123456789abcdef"), with("fedcba9876543210"));
    let location = |url: &str| LocationRecord::active(url.to_owned(), serde_json::Map::new());
    let id = suite::uuid();
    images::create(&plain, NewImage { locations: vec![location("file:///before")], ..NewImage::new(&id) })
        .await
        .unwrap();
    suite::add_location(&sealing, &id, location("file:///after")).await;
    async fn read(db: &Db, id: &str) -> Result<Vec<LocationRecord>, DbError> {
        Ok(images::get(db, id, false).await?.unwrap().locations)
    }
    let urls = |locations: &[LocationRecord]| locations.iter().map(|known| known.url.clone()).collect::<Vec<_>>();

    let seen = read(&plain, &id).await.unwrap();
    assert!(seen[0].url == "file:///before" && !seen[1].url.contains(':'), "{seen:?}");
    let mut known = read(&sealing, &id).await.unwrap();
    assert_eq!(urls(&known), ["file:///before", "file:///after"]);
    let foreign = read(&other, &id).await.unwrap();
    assert_eq!(urls(&foreign), [seen[0].url.as_str(), seen[1].url.as_str()], "what cannot be opened stays as it is");
    let query = ListQuery::new(Viewer { is_admin: true, project: None }, 10);
    assert_eq!(images::list(&sealing, &query).await.unwrap()[0].locations, known);

    known[0].url = "file:///later".to_owned();
    let change = ImageUpdate { locations: Some(known), ..ImageUpdate::default() };
    images::update(&sealing, &id, change, None).await.unwrap();
    assert!(!read(&plain, &id).await.unwrap()[0].url.contains(':'));
    assert_eq!(urls(&read(&sealing, &id).await.unwrap()), ["file:///later", "file:///after"]);
}

/// More than a statement may have parameters.
#[tokio::test]
async fn thirty_three_thousand_locations_and_properties_can_be_kept_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let mut new = NewImage::new(suite::uuid());
    new.locations.extend((0..33_000).map(|number| suite::location(&format!("x://{number}"))));
    new.properties.extend((0..33_000).map(|number| (format!("p{number}"), Some(String::new()))));
    let mut made = images::create(&db, new).await.unwrap();

    let kept = (made.locations.split_off(1), made.properties.split_off(1));
    let change = async |locations: Vec<LocationRecord>, properties: Vec<(String, Option<String>)>| {
        let change = ImageUpdate { locations: Some(locations), properties: Some(properties), ..ImageUpdate::default() };
        let after = images::update(&db, &made.id, change, None).await.unwrap();
        (after.locations, after.properties)
    };
    assert_eq!(change(kept.0.clone(), kept.1.clone()).await, kept);
    let one = (kept.0[..1].to_vec(), kept.1[..1].to_vec());
    assert_eq!(change(one.0.clone(), one.1.clone()).await, one);
}

#[tokio::test]
async fn a_change_of_locations_leaves_what_cannot_be_read_as_it_is() {
    use sea_query::Query;
    let folder = tempfile::tempdir().unwrap();
    let plain = open(folder.path()).await;
    let with = |key: &str| plain.clone().with_cipher(LocationCipher::new(&Secret::from(key)));
    let (before, now) = (with("0123456789abcdef"), with("fedcba9876543210"));
    let mut new = NewImage::new(suite::uuid());
    new.locations.extend(["x://first", "x://second", "x://third"].map(suite::location));
    let id = images::create(&before, new).await.unwrap().id;
    plain
        .writer()
        .await
        .unwrap()
        .plain("UPDATE image_locations SET meta_data = '(dp0'; UPDATE image_locations SET status = 'lost' WHERE id = 3")
        .await
        .unwrap();
    let stored = async || {
        let columns = ["value", "meta_data", "status"];
        let query =
            Query::select().columns(columns).from("image_locations").order_by("id", sea_query::Order::Asc).take();
        let read = |row: &dyn crate::db::row::Row| Ok([0, 1, 2].map(|column| row.text(column).unwrap().unwrap()));
        plain.reader().await.unwrap().rows(&query, read).await.unwrap()
    };
    let rows = stored().await;
    assert_eq!(rows.len(), 3);

    // As an image shows them: active ones only.
    let mut known = images::get(&now, &id, false).await.unwrap().unwrap().locations;
    known.retain(LocationRecord::is_active);
    let add = ImageUpdate {
        locations: Some([known.clone(), vec![suite::location("x://fourth")]].concat()),
        read_locations: Some(known.clone()),
        ..ImageUpdate::default()
    };
    images::update(&now, &id, add, None).await.unwrap();
    assert_eq!(stored().await[..3], rows);

    let mut told = known;
    told[0].metadata.insert("rack".to_owned(), "7".into());
    images::update(&now, &id, ImageUpdate { locations: Some(told), ..ImageUpdate::default() }, None).await.unwrap();
    let after = stored().await;
    assert_eq!((&after[0][0], after[0][1].as_str()), (&rows[0][0], r#"{"rack": "7"}"#));
    assert_eq!(after[1], rows[1]);
    assert_eq!(images::get(&before, &id, false).await.unwrap().unwrap().locations[0].url, "x://first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    let mut tasks = tokio::task::JoinSet::new();
    for db in [one.clone(), two.clone()] {
        for n in 0..20 {
            let db = db.clone();
            tasks.spawn(async move {
                let id = suite::uuid();
                images::create(&db, NewImage::new(&id)).await.unwrap();
                let change = ImageUpdate { name: Some(Some(n.to_string())), ..ImageUpdate::default() };
                images::update(&db, &id, change, Some(&["queued"])).await.unwrap();
            });
        }
    }
    tasks.join_all().await;
    let query = ListQuery::new(Viewer { is_admin: true, project: None }, 1000);
    assert_eq!(images::list(&one, &query).await.unwrap(), images::list(&two, &query).await.unwrap());
    assert_eq!(images::list(&one, &query).await.unwrap().len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_passes_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let id = suite::uuid();
    images::create(&db, NewImage::new(&id)).await.unwrap();
    let mut writer = db.writer().await.unwrap();
    writer.begin(crate::db::session::Transaction::Write).await.unwrap();
    writer.plain("UPDATE images SET name = 'unseen'").await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(1), images::get(&db, &id, false)).await;
    assert_eq!(read.unwrap().unwrap().unwrap().name, None);
    // Neither finished nor abandoned: the lock goes with it.
    drop(writer);
    let change = ImageUpdate { size: Some(Some(1)), ..ImageUpdate::default() };
    let after = tokio::time::timeout(Duration::from_secs(4), images::update(&db, &id, change, None)).await;
    assert_eq!(after.unwrap().unwrap().name, None);
}

type IsAsExpected = fn(&ImageRecord) -> bool;

/// What SQLite lets anybody write, and what comes of it.
const ODD: [(&str, IsAsExpected); 10] = [
    ("UPDATE image_locations SET meta_data = '(dp0'", |image| image.locations[0].metadata.is_empty()),
    ("UPDATE image_locations SET value = CAST(x'ff' AS TEXT)", |image| image.locations[0].url.is_empty()),
    ("UPDATE images SET created_at = 'yesterday'", |image| image.created_at == datetime!(1970-01-01 0:00)),
    ("UPDATE images SET updated_at = NULL", |image| image.updated_at == image.created_at),
    ("UPDATE images SET size = -5, virtual_size = 'big'", |image| {
        (image.size, image.virtual_size) == (Some(-5), Some(0))
    }),
    ("UPDATE images SET name = CAST(x'fffe' AS TEXT)", |image| image.name.is_none()),
    ("UPDATE images SET owner = CAST(x'ff' AS TEXT)", |image| {
        // With none, everybody would see it.
        image.owner.as_ref().is_some_and(|owner| !owner.is_ascii())
    }),
    ("UPDATE images SET min_disk = 99999999999, min_ram = -99999999999", |image| {
        (image.min_disk, image.min_ram) == (i32::MAX, i32::MIN)
    }),
    ("UPDATE images SET status = 'busy'", |image| image.status == "busy"),
    ("UPDATE images SET checksum = printf('%.5000c', 'x')", |image| {
        image.checksum.as_ref().is_some_and(|sum| sum.len() == 5000)
    }),
];

#[tokio::test]
async fn of_two_changes_of_the_same_locations_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let mut new = NewImage::new(suite::uuid());
    new.locations.push(suite::location("first"));
    let image = images::create(&db, new).await.unwrap();
    let add = |url| ImageUpdate {
        locations: Some([image.locations.clone(), vec![suite::location(url)]].concat()),
        read_locations: Some(image.locations.clone()),
        ..ImageUpdate::default()
    };
    let after = images::update(&db, &image.id, add("second"), None).await.unwrap();
    let late = ImageUpdate { name: Some(Some("late".to_owned())), ..add("third") };
    let error = images::update(&db, &image.id, late, None).await.unwrap_err();
    assert!(matches!(error, DbError::LocationsChanged { .. }), "{error:?}");
    let found = images::get(&db, &image.id, false).await.unwrap().unwrap();
    assert_eq!((found.locations.len(), found.name), (2, None));

    // What is said of a location counts as well.
    let mut told = after.locations.clone();
    told[0].metadata.insert("rack".to_owned(), "7".into());
    let read_locations = Some(after.locations.clone());
    let tell = ImageUpdate { locations: Some(told), read_locations, ..ImageUpdate::default() };
    images::update(&db, &image.id, tell.clone(), None).await.unwrap();
    assert!(images::update(&db, &image.id, tell, None).await.is_err());
}

#[tokio::test]
async fn an_odd_value_hides_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let mut new = NewImage::new(suite::uuid());
    new.locations.push(suite::location("l"));
    let id = images::create(&db, new).await.unwrap().id;
    let query = ListQuery::new(Viewer { is_admin: true, project: None }, 10);
    for (sql, is_as_expected) in ODD {
        db.writer().await.unwrap().plain(sql).await.unwrap();
        let image = images::get(&db, &id, false).await.unwrap().unwrap();
        assert!(is_as_expected(&image), "{sql}: {image:?}");
        // Upstream lists the statuses that it knows.
        let listed = if image.status == "busy" { Vec::new() } else { vec![image] };
        assert_eq!(images::list(&db, &query).await.unwrap(), listed, "{sql}");
    }
    // Whoever wants a status that is known gets it only from there.
    let unreadable = "UPDATE images SET status = CAST(x'ff' AS TEXT)";
    db.writer().await.unwrap().plain(unreadable).await.unwrap();
    let refused = images::delete(&db, &id, "deleted", Some(&["active", "killed"])).await;
    assert!(matches!(&refused, Err(DbError::StateConflict { current, .. }) if current.is_empty()), "{refused:?}");
    for known in ["active", "killed"] {
        db.writer().await.unwrap().plain(format!("UPDATE images SET status = '{known}'")).await.unwrap();
        let refused = images::delete(&db, &id, "deleted", Some(&["busy"])).await;
        assert!(matches!(&refused, Err(DbError::StateConflict { .. })), "{refused:?}");
    }
    db.writer().await.unwrap().plain(unreadable).await.unwrap();
    assert!(images::delete(&db, &id, "deleted", Some(&["busy"])).await.is_ok());
}

#[tokio::test]
async fn an_odd_membership_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let new = NewImage { owner: Some("other".to_owned()), ..NewImage::new(suite::uuid()) };
    let id = images::create(&db, new).await.unwrap().id;
    members::add(&db, &id, "me", "accepted").await.unwrap();
    let odd = "UPDATE image_members SET status = CAST(x'ff' AS TEXT)";
    db.writer().await.unwrap().plain(odd).await.unwrap();
    assert_eq!(images::member_status(&db, &id, "me").await.unwrap().as_deref(), Some(""));
    assert_eq!(images::member_status(&db, &id, "you").await.unwrap(), None);
    let viewer = Viewer { is_admin: false, project: Some("me".to_owned()) };
    let query = ListQuery { marker: Some(id), member_status: None, ..ListQuery::new(viewer, 10) };
    assert_eq!(images::list(&db, &query).await.unwrap(), []);
}

#[tokio::test]
async fn times_are_stored_as_sqlalchemy_does() {
    use sea_query::{Expr, Query};
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let time = time::macros::datetime!(2024-01-02 03:04:05.1);
    let new = NewImage { created_at: Some(time), updated_at: Some(time), ..NewImage::new(suite::uuid()) };
    assert_eq!(images::create(&db, new).await.unwrap().created_at, time);
    let query = Query::select().column("created_at").expr(Expr::cust("typeof(deleted)")).from("images").take();
    let stored =
        db.reader().await.unwrap().row(&query, |row| Ok((row.text(0).unwrap(), row.text(1).unwrap()))).await.unwrap();
    assert_eq!(stored, Some((Some("2024-01-02 03:04:05.100000".to_owned()), Some("integer".to_owned()))));
}

#[tokio::test]
async fn a_change_between_the_two_queries_of_a_list_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let new =
        NewImage { tags: vec!["t".to_owned()], status: "of two words".to_owned(), ..NewImage::new(suite::uuid()) };
    let image = images::create(&db, new).await.unwrap();
    let mut before = [image.clone()];
    before[0].tags.clear();
    let mut session = db.reader().await.unwrap();
    assert!(children::load(&mut session, &mut before).await.unwrap());
    assert_eq!(before[0], image);
    let changes: [fn(&mut ImageRecord); 5] = [
        |image| image.updated_at += Duration::from_micros(1),
        |image| image.visibility = "private".to_owned(),
        |image| image.owner = Some("p".to_owned()),
        |image| image.status = "of two".to_owned(),
        |image| image.id.push('x'),
    ];
    for change in changes {
        let mut other = [image.clone()];
        change(&mut other[0]);
        assert!(!children::load(&mut session, &mut other).await.unwrap(), "{other:?}");
    }
}
