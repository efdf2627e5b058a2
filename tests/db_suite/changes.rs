//! Updates, the race for a status, deletion, usage.

use std::time::Duration;

use tokio::task::JoinSet;

use super::super::glance_api::db::images::Measure;
use super::super::glance_api::db::model::{ImageRecord, ImageUpdate, LocationRecord, NewImage, OtherProperties};
use super::super::glance_api::db::{Db, DbError, images, locations, members, tags};
use super::{add_location, create, get, location, lock_for_task, pairs, texts, uuid};

pub(super) async fn run(db: &Db) {
    columns(db).await;
    properties(db).await;
    atomic_properties(db).await;
    tags_of_an_image(db).await;
    locations_of_an_image(db).await;
    one_rival_wins(db).await;
    deletion(db).await;
    restoration(db).await;
    usage(db).await;
}

fn properties_of(list: &[(&str, Option<&str>)]) -> ImageUpdate {
    ImageUpdate { properties: Some(pairs(list)), ..ImageUpdate::default() }
}

async fn columns(db: &Db) {
    let id = uuid();
    let past = Some(time::macros::datetime!(2020-01-01 00:00:00));
    let before = create(
        db,
        NewImage {
            name: Some("a".to_owned()),
            size: Some(1),
            owner: Some("o".to_owned()),
            created_at: past,
            updated_at: past,
            properties: pairs(&[("p", Some("1"))]),
            tags: texts(&["t"]),
            locations: vec![location("l")],
            ..NewImage::new(&id)
        },
    )
    .await;
    let touched = images::update(db, &id, ImageUpdate::default(), None).await.unwrap();
    assert!(touched.updated_at > before.updated_at);
    let mut expected = before.clone();
    expected.updated_at = touched.updated_at;
    assert_eq!(touched, expected, "an empty change touches only the time");

    let change = ImageUpdate {
        name: Some(None),
        size: Some(Some(7)),
        virtual_size: Some(Some(8)),
        status: Some("active".to_owned()),
        visibility: Some("public".to_owned()),
        disk_format: Some(Some("raw".to_owned())),
        container_format: Some(Some("ovf".to_owned())),
        checksum: Some(Some("c".to_owned())),
        os_hash_algo: Some(Some("sha256".to_owned())),
        os_hash_value: Some(Some("h".to_owned())),
        owner: Some(Some(String::new())),
        min_disk: Some(3),
        min_ram: Some(4),
        protected: Some(true),
        os_hidden: Some(true),
        ..ImageUpdate::default()
    };
    let after = images::update(db, &id, change, Some(&["saving", "queued"])).await.unwrap();
    assert_eq!((after.name.as_deref(), after.owner.as_deref()), (None, None));
    assert_eq!((after.size, after.virtual_size), (Some(7), Some(8)));
    assert_eq!((after.status.as_str(), after.visibility.as_str()), ("active", "public"));
    assert_eq!((after.disk_format.as_deref(), after.container_format.as_deref()), (Some("raw"), Some("ovf")));
    assert_eq!((after.checksum.as_deref(), after.os_hash_algo.as_deref()), (Some("c"), Some("sha256")));
    assert_eq!((after.os_hash_value.as_deref(), after.min_disk, after.min_ram), (Some("h"), 3, 4));
    assert!(after.protected && after.os_hidden);
    assert_eq!((&after.properties, &after.tags), (&before.properties, &before.tags));
    assert_eq!(get(db, &id).await, Some(after));

    let missing = images::update(db, &uuid(), ImageUpdate::default(), None).await;
    assert!(matches!(missing, Err(DbError::NotFound { what: "image", .. })), "{missing:?}");
}

async fn properties(db: &Db) {
    let id = uuid();
    create(db, NewImage { properties: pairs(&[("a", Some("1")), ("b", Some("2"))]), ..NewImage::new(&id) }).await;
    let set = async |change| images::update(db, &id, change, None).await.unwrap().properties;
    assert_eq!(set(properties_of(&[("b", Some("3")), ("c", None)])).await, pairs(&[("b", Some("3")), ("c", None)]));
    assert_eq!(set(properties_of(&[])).await, pairs(&[]));
    // The rows come back with the names: there is one row for each name.
    assert_eq!(
        set(properties_of(&[("c", Some("")), ("a", Some("1"))])).await,
        pairs(&[("a", Some("1")), ("c", Some(""))])
    );
    let only = |gone: &[&str]| OtherProperties::DeleteNamed(gone.iter().map(|name| (*name).to_owned()).collect());
    let keep = ImageUpdate { other_properties: only(&[]), ..properties_of(&[("d", Some("4"))]) };
    assert_eq!(set(keep).await, pairs(&[("a", Some("1")), ("c", Some("")), ("d", Some("4"))]));
    let some = ImageUpdate { other_properties: only(&["a", "absent"]), ..properties_of(&[("d", Some("5"))]) };
    assert_eq!(set(some).await, pairs(&[("c", Some("")), ("d", Some("5"))]));
    let many: Vec<_> = (0..1100).map(|n| (format!("p{n:04}"), Some("v".to_owned()))).collect();
    let change = ImageUpdate { properties: Some(many.clone()), ..ImageUpdate::default() };
    assert_eq!(set(change).await, many);
}

async fn atomic_properties(db: &Db) {
    let id = uuid();
    create(db, NewImage::new(&id)).await;
    let (lock, free) = ("os_glance_import_task", "os_glance_stage_host");
    for name in [lock, free] {
        let mut rivals = JoinSet::new();
        for _ in 0..6 {
            let (db, id) = (db.clone(), id.clone());
            rivals.spawn(async move { lock_for_task(&db, &id, "queued", name).await });
        }
        let results = rivals.join_all().await;
        let lost =
            |result: &&Result<String, DbError>| matches!(result, Err(DbError::Duplicate { what: "property", .. }));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert_eq!(results.iter().filter(lost).count(), 5, "{results:?}");
    }
    // An update with an old copy takes away the one, not the other.
    let before = get(db, &id).await.unwrap().properties;
    let after = images::update(db, &id, properties_of(&[(lock, Some("mine"))]), None).await.unwrap();
    let locked = before.into_iter().filter(|(name, _)| name == lock).collect::<Vec<_>>();
    assert_eq!((after.properties.len(), after.properties), (1, locked));
    let again = lock_for_task(db, &id, "queued", free).await.unwrap();
    assert!(get(db, &id).await.unwrap().properties.contains(&(free.to_owned(), Some(again.clone()))));

    let other = images::delete_property_atomic(db, &id, free, "other").await;
    assert!(matches!(other, Err(DbError::NotFound { what: "property", .. })), "{other:?}");
    images::delete_property_atomic(db, &id, free, &again).await.unwrap();
    assert!(images::delete_property_atomic(db, &id, free, &again).await.is_err());
    lock_for_task(db, &id, "queued", free).await.unwrap();
}

async fn tags_of_an_image(db: &Db) {
    let id = uuid();
    create(db, NewImage { tags: texts(&["b", "a"]), ..NewImage::new(&id) }).await;
    let set = async |list: &[&str]| {
        let change = ImageUpdate { tags: Some(texts(list)), ..ImageUpdate::default() };
        images::update(db, &id, change, None).await.unwrap().tags
    };
    assert_eq!(set(&["c", "a", "c", "d"]).await, texts(&["a", "c", "d"]));
    assert_eq!(set(&[]).await, texts(&[]));
    assert_eq!(set(&["a"]).await, texts(&["a"]));
    tags::create(db, &id, "x").await.unwrap();
    tags::create(db, &id, "x").await.unwrap();
    assert_eq!(tags::list(db, &id).await.unwrap(), texts(&["a", "x"]));
    tags::delete(db, &id, "a").await.unwrap();
    let again = tags::delete(db, &id, "a").await;
    assert!(matches!(again, Err(DbError::NotFound { what: "tag", .. })), "{again:?}");
    assert_eq!(get(db, &id).await.unwrap().tags, texts(&["x"]));
    let nowhere = tags::create(db, &uuid(), "x").await;
    assert!(matches!(nowhere, Err(DbError::NotFound { what: "image", .. })), "{nowhere:?}");
}

async fn locations_of_an_image(db: &Db) {
    let id = uuid();
    let made = create(db, NewImage { locations: vec![location("a"), location("b")], ..NewImage::new(&id) }).await;
    let set = async |list: Vec<LocationRecord>| {
        images::update(db, &id, ImageUpdate { locations: Some(list), ..ImageUpdate::default() }, None).await
    };
    let urls = async || -> Vec<String> { get(db, &id).await.unwrap().locations.into_iter().map(|l| l.url).collect() };
    let b = LocationRecord { url: "b2".to_owned(), ..made.locations.last().unwrap().clone() };
    let after = set(vec![b.clone(), location("c")]).await.unwrap();
    assert_eq!(after.locations.first(), Some(&b));
    assert_eq!(urls().await, texts(&["b2", "c"]));
    let stranger = set(vec![LocationRecord { id: Some(i64::from(i32::MAX)), ..location("z") }]).await;
    assert!(matches!(stranger, Err(DbError::NotFound { what: "location", .. })), "{stranger:?}");
    assert_eq!(urls().await, texts(&["b2", "c"]), "a failed change changes nothing");

    add_location(db, &id, location("d")).await;
    assert_eq!(urls().await, texts(&["b2", "c", "d"]));
    let others = get(db, &id).await.unwrap().locations.split_off(1);
    set(others).await.unwrap();
    assert_eq!(urls().await, texts(&["c", "d"]));
    let b = b.id.unwrap();
    locations::restore(db, &id, b).await.unwrap();
    assert_eq!(urls().await, texts(&["b2", "c", "d"]));
    let other = uuid();
    create(db, NewImage::new(&other)).await;
    let failed = locations::restore(db, &other, b).await;
    assert!(matches!(failed, Err(DbError::NotFound { what: "location", .. })), "{failed:?}");
    assert_eq!(set(Vec::new()).await.unwrap().locations, []);
    assert_eq!(urls().await, texts(&[]));
}

async fn one_rival_wins(db: &Db) {
    let id = uuid();
    create(db, NewImage::new(&id)).await;
    let mut rivals = JoinSet::new();
    for n in 0..8 {
        let (db, id) = (db.clone(), id.clone());
        let change = ImageUpdate {
            status: Some("saving".to_owned()),
            properties: Some(vec![("winner".to_owned(), Some(n.to_string()))]),
            ..ImageUpdate::default()
        };
        rivals.spawn(async move { images::update(&db, &id, change, Some(&["queued"])).await });
    }
    let results = tokio::time::timeout(Duration::from_secs(30), rivals.join_all()).await.unwrap();
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for error in lost.into_iter().filter_map(Result::err) {
        assert_eq!(
            error.to_string(),
            "cannot transition from saving to saving in update (wanted from_state=[\"queued\"])"
        );
        let DbError::StateConflict { id: of, current, next, wanted } = error else { panic!("{error:?}") };
        assert_eq!(
            (of, current, next, wanted),
            (id.clone(), "saving".into(), Some("saving".into()), texts(&["queued"]))
        );
    }
    assert_eq!(get(db, &id).await, won.into_iter().next().unwrap().ok());
}

async fn deletion(db: &Db) {
    let id = uuid();
    let new = NewImage {
        properties: pairs(&[("a", Some("1"))]),
        tags: texts(&["t"]),
        locations: vec![location("l")],
        ..NewImage::new(&id)
    };
    create(db, new).await;
    let conflict = images::delete(db, &id, "deleted", Some(&["active", "saving"])).await;
    assert!(matches!(&conflict, Err(DbError::StateConflict { current, .. }) if current == "queued"), "{conflict:?}");
    assert_eq!(get(db, &id).await.unwrap().tags, texts(&["t"]));
    images::delete(db, &id, "pending_delete", Some(&["queued"])).await.unwrap();
    let gone = images::get(db, &id, true).await.unwrap().unwrap();
    assert_eq!(gone.status, "pending_delete");
    assert_eq!(gone.deleted_at, Some(gone.updated_at));
    assert!(gone.properties.is_empty() && gone.tags.is_empty() && gone.locations.is_empty());
    for failed in [
        images::delete(db, &id, "deleted", None).await,
        images::update(db, &id, ImageUpdate::default(), None).await.map(drop),
        tags::delete(db, &id, "t").await,
    ] {
        assert!(matches!(failed, Err(DbError::NotFound { .. })), "{failed:?}");
    }
}

async fn restoration(db: &Db) {
    let id = uuid();
    let new = NewImage {
        status: "deactivated".to_owned(),
        properties: pairs(&[("a", Some("1")), ("b", None)]),
        tags: texts(&["t", "u"]),
        locations: vec![location("l"), location("m")],
        updated_at: Some(time::macros::datetime!(2020-01-01 00:00:00)),
        ..NewImage::new(&id)
    };
    create(db, new).await;
    members::add(db, &id, "guest", "accepted").await.unwrap();
    tags::delete(db, &id, "u").await.unwrap();
    // MySQL keeps whole seconds: the tag went before.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let before = get(db, &id).await.unwrap();
    let restore = |removed| images::restore(db, &id, "deactivated", before.updated_at, removed);
    assert!(matches!(restore(vec![]).await, Err(DbError::NotFound { .. })), "it is not deleted");

    let gone = async || {
        let mut urls = locations::gone_with(db, &id).await.unwrap();
        urls.sort();
        urls
    };
    assert_eq!(gone().await, [""; 0]);
    images::delete(db, &id, "deleted", Some(&["deactivated"])).await.unwrap();
    assert_eq!(gone().await, [location("l").url, location("m").url]);
    restore(vec![]).await.unwrap();
    assert_eq!(get(db, &id).await.unwrap(), before);
    assert_eq!(images::member_status(db, &id, "guest").await.unwrap().as_deref(), Some("accepted"));

    images::delete(db, &id, "deleted", None).await.unwrap();
    let first = || before.locations[..1].iter().filter_map(|location| location.id).collect();
    restore(first()).await.unwrap();
    assert_eq!(get(db, &id).await.unwrap().locations, before.locations[1..]);

    // A location that was not active is not made so.
    let odd = LocationRecord { status: "odd".to_owned(), ..before.locations[1].clone() };
    let change = ImageUpdate { locations: Some(vec![odd.clone()]), ..ImageUpdate::default() };
    images::update(db, &id, change, None).await.unwrap();
    images::delete(db, &id, "deleted", None).await.unwrap();
    restore(first()).await.unwrap();
    let left = get(db, &id).await.unwrap().locations;
    assert_eq!(left, [odd]);
}

async fn usage(db: &Db) {
    let owner = uuid();
    let used = async |measure| images::used(db, &[Some(owner.clone())], measure).await.unwrap();
    let stored = |but: Option<&String>| Measure::Stored { but: but.cloned(), placeholders: true };
    assert_eq!(used(stored(None)).await, 0);
    let image = |status: &str, size: Option<i64>, locations: Vec<LocationRecord>, importing: Option<&str>| NewImage {
        owner: Some(owner.clone()),
        status: status.to_owned(),
        size,
        locations,
        properties: importing
            .map(|to| ("os_glance_importing_to_stores".to_owned(), Some(to.to_owned())))
            .into_iter()
            .collect(),
        ..NewImage::new(uuid())
    };
    let pending = LocationRecord { status: "pending_delete".to_owned(), ..location("p") };
    let deleted = LocationRecord { status: "deleted".to_owned(), ..location("d") };
    let two = create(db, image("active", Some(1 << 40), vec![location("a"), location("b"), deleted], None)).await.id;
    create(db, image("active", Some(10), vec![location("a"), pending], Some("slow"))).await;
    create(db, image("queued", None, vec![], Some(""))).await;
    create(db, image("uploading", Some(100), vec![], None)).await;
    let placeholder = LocationRecord { status: "uploading".to_owned(), ..location("u") };
    let importing = image("importing", Some(1000), vec![placeholder], Some("slow"));
    let importing = create(db, importing).await.id;
    let saving = create(db, image("saving", Some(10_000), vec![], None)).await.id;
    create(db, image("killed", Some(100_000), vec![location("k")], Some("slow"))).await;
    let gone = create(db, image("active", Some(1_000_000), vec![location("g")], None)).await.id;
    images::delete(db, &gone, "deleted", None).await.unwrap();
    assert_eq!(used(stored(None)).await, (2 << 40) + 1020);
    assert_eq!(used(stored(Some(&two))).await, 1020);
    let settled = || Measure::Stored { but: Some(two.clone()), placeholders: false };
    assert_eq!(used(settled()).await, 1020, "nobody has said what the placeholder stands for");
    images::announce_size(db, &importing, 1000).await.unwrap();
    assert_eq!(used(settled()).await, 20);
    images::announce_size(db, &importing, 0).await.unwrap();
    locations::drop_placeholders(db, &importing).await.unwrap();
    locations::drop_placeholders(db, &two).await.unwrap();
    assert_eq!(used(stored(None)).await, (2 << 40) + 20);
    assert_eq!(used(Measure::Staged).await, 1110);
    assert_eq!(used(Measure::Images).await, 6);
    assert_eq!(used(Measure::Uploading).await, 4);

    let other = uuid();
    let elsewhere = NewImage { owner: Some(other.clone()), status: "importing".to_owned(), ..NewImage::new(uuid()) };
    let elsewhere = create(db, elsewhere).await.id;
    let in_flight = async |owners: &[Option<String>], but: Option<&String>| {
        images::used(db, owners, Measure::InFlight { but: but.cloned() }).await.unwrap()
    };
    let both = [Some(owner.clone()), Some(other)];
    assert_eq!(in_flight(&both, None).await, 0);
    for bytes in [5, 1 << 40] {
        images::announce_size(db, &saving, bytes).await.unwrap();
    }
    images::announce_size(db, &elsewhere, 7).await.unwrap();
    // An image whose data is complete has nothing in flight, whatever was left behind.
    images::announce_size(db, &two, 9).await.unwrap();
    assert_eq!(in_flight(&both, None).await, (1 << 40) + 7);
    assert_eq!(in_flight(&both, Some(&elsewhere)).await, 1 << 40);
    assert_eq!(in_flight(&both[1..], None).await, 7);
    assert_eq!(in_flight(&[None, both[1].clone()], None).await, 7);
    let names = |record: &ImageRecord| record.properties.len();
    assert_eq!(names(&get(db, &saving).await.unwrap()), 0);
    // It goes with the ownership of the data.
    images::take(db, &saving, ImageUpdate::default(), &["saving"], "token").await.unwrap();
    images::give_back(db, &saving, ImageUpdate::default(), &["saving"], "token").await.unwrap();
    assert_eq!(in_flight(&both, None).await, 7);
}
