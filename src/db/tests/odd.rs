//! Rows that hold what nothing should have written, beside those of images.

use std::collections::BTreeSet;

use serde_json::json;

use super::suite::{pairs, texts, uuid};
use crate::db::cache::{self, NewCachedImage};
use crate::db::images::list::{Direction, Viewer};
use crate::db::metadefs::{
    self, ItemKind, NamespaceColumn, NamespaceFields, NamespaceQuery, NewAssociation, NewItem, NewNamespace, TagColumn,
    TagQuery,
};
use crate::db::model::{ImageUpdate, NewImage, OtherProperties};
use crate::db::tasks::{self, NewTask, TaskQuery, TaskViewer};
use crate::db::testing::open;
use crate::db::{Db, images};

async fn sql(db: &Db, statement: impl Into<String>) {
    db.writer().await.unwrap().plain(statement.into()).await.unwrap();
}

/// Three tasks, of which the second gets what is odd.
async fn with_tasks(db: &Db, change: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = uuid();
        ids.push(id.clone());
        let task = NewTask {
            id,
            kind: "api_image_import".to_owned(),
            owner: "me".to_owned(),
            image_id: Some("i".to_owned()),
            request_id: None,
            user_id: None,
            input: json!({}),
        };
        tasks::create(db, task).await.unwrap();
    }
    sql(db, format!("UPDATE tasks SET {change} WHERE id = '{}'", ids[1])).await;
    ids
}

#[tokio::test]
async fn an_odd_task_hides_no_others() {
    for (change, is_lease, is_shown) in [
        ("created_at = 'x'", true, true),
        ("updated_at = 'x'", false, true),
        ("type = CAST(x'ff' AS TEXT)", false, true),
        ("expires_at = 'x'", true, true),
        ("request_id = CAST(x'ff' AS TEXT)", true, true),
        ("owner = CAST(x'ff' AS TEXT)", true, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).await;
        let ids = with_tasks(&db, change).await;
        let leases = tasks::leases(&db, 10).await.unwrap();
        let leases: BTreeSet<&str> = leases.iter().map(|lease| lease.task.as_str()).collect();
        let renewed = ids.iter().filter(|id| is_lease || **id != ids[1]);
        assert_eq!(leases, renewed.map(String::as_str).collect(), "{change}");

        let (service, owner) = (TaskViewer::service(), TaskViewer { is_admin: false, project: Some("me".to_owned()) });
        assert!(tasks::get(&db, &ids[1], &service).await.unwrap().is_some(), "{change}");
        assert_eq!(tasks::get(&db, &ids[1], &owner).await.unwrap().is_some(), is_shown, "{change}");
        for (sort_key, is_descending) in ["created_at", "updated_at", "expires_at", "type", "owner"]
            .into_iter()
            .flat_map(|key| [(key, true), (key, false)])
        {
            let mut found: Vec<String> = Vec::new();
            loop {
                let query = TaskQuery {
                    viewer: service.clone(),
                    limit: 1,
                    marker: found.last().cloned(),
                    sort_key: sort_key.to_owned(),
                    is_descending,
                    filters: Vec::new(),
                };
                let Some(task) = tasks::list(&db, query).await.unwrap().pop() else { break };
                found.push(task.id);
                assert!(found.len() <= ids.len(), "{change} by {sort_key}: {found:?}");
            }
            let found: BTreeSet<String> = found.into_iter().collect();
            assert_eq!(found, ids.iter().cloned().collect(), "{change} by {sort_key}");
        }
    }
}

fn with_schema(name: &str) -> NewItem {
    NewItem { json_schema: Some("{}".to_owned()), ..NewItem::named(name) }
}

/// Three namespaces, each with three tags and what else there may be.
async fn with_namespaces(db: &Db) {
    for name in ["a", "b", "c"] {
        let fields = NamespaceFields {
            namespace: name.to_owned(),
            display_name: Some(name.to_owned()),
            visibility: Some("public".to_owned()),
            owner: Some("me".to_owned()),
            ..NamespaceFields::default()
        };
        let new = NewNamespace {
            fields,
            associations: vec![NewAssociation { name: "type".to_owned(), ..NewAssociation::default() }],
            objects: vec![with_schema("one")],
            tags: ["one", "two", "three"].map(NewItem::named).into(),
            properties: vec![with_schema("one")],
        };
        metadefs::create(db, new).await.unwrap();
    }
}

#[tokio::test]
async fn odd_definitions_hide_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    with_namespaces(&db).await;
    sql(
        &db,
        "UPDATE metadef_namespaces SET created_at = 'x', display_name = CAST(x'ff' AS TEXT) WHERE namespace = 'b';
         UPDATE metadef_tags SET created_at = 'x', updated_at = 'x' WHERE name = 'two';
         UPDATE metadef_objects SET created_at = 'x', description = CAST(x'ff' AS TEXT);
         UPDATE metadef_properties SET updated_at = 'x', json_schema = CAST(x'ff' AS TEXT);
         UPDATE metadef_namespace_resource_types SET created_at = 'x';
         UPDATE metadef_resource_types SET created_at = 'x'",
    )
    .await;
    let directions = [Direction::Ascending, Direction::Descending];
    for (sort, direction) in [NamespaceColumn::CreatedAt, NamespaceColumn::DisplayName]
        .into_iter()
        .flat_map(|column| directions.map(|direction| (column, direction)))
    {
        let viewer = Viewer { is_admin: false, project: Some("you".to_owned()) };
        let mut query =
            NamespaceQuery { viewer, visibility: None, resource_types: None, marker: None, sort, direction, limit: 1 };
        let mut found = Vec::new();
        while let Some((namespace, associations)) = metadefs::list(&db, query.clone()).await.unwrap().pop() {
            assert_eq!(associations.len(), 1);
            found.push(namespace.fields.namespace.clone());
            query.marker = Some(namespace);
            assert!(found.len() <= 3, "{sort:?} {direction:?}: {found:?}");
        }
        found.sort();
        assert_eq!(found, ["a", "b", "c"], "{sort:?} {direction:?}");
    }
    let id = metadefs::get(&db, "b").await.unwrap().unwrap().id;
    for (sort, direction) in [TagColumn::CreatedAt, TagColumn::UpdatedAt]
        .into_iter()
        .flat_map(|column| directions.map(|direction| (column, direction)))
    {
        let mut query = TagQuery { namespace: id, marker: None, sort, direction, limit: Some(1) };
        let mut found = Vec::new();
        while let Some(tag) = metadefs::tags(&db, query.clone()).await.unwrap().pop() {
            found.push(tag.name.clone());
            query.marker = Some(tag);
            assert!(found.len() <= 3, "{sort:?} {direction:?}: {found:?}");
        }
        found.sort();
        assert_eq!(found, ["one", "three", "two"], "{sort:?} {direction:?}");
    }
    let contents = metadefs::contents(&db, id).await.unwrap();
    let counts = [contents.objects.len(), contents.properties.len(), contents.tags.len(), contents.associations.len()];
    assert_eq!(counts, [1, 1, 3, 1]);
    assert!(metadefs::find_item(&db, ItemKind::Object, id, "one").await.unwrap().is_some());
    assert_eq!(metadefs::resource_types(&db).await.unwrap().len(), 1);
}

#[tokio::test]
async fn odd_properties_hold_no_change_up() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let id = uuid();
    let new = pairs(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1")), ("d", Some("1"))]);
    images::create(&db, NewImage { properties: new, ..NewImage::new(&id) }).await.unwrap();
    sql(
        &db,
        "UPDATE image_properties SET value = CAST(x'ff' AS TEXT) WHERE name IN ('a', 'b');
         UPDATE image_properties SET name = CAST(x'ff' AS TEXT) WHERE name = 'd'",
    )
    .await;
    // What cannot be read was shown as nothing.
    let mut change = ImageUpdate {
        properties: Some(pairs(&[("b", None), ("c", Some("2")), ("e", Some("3"))])),
        other_properties: OtherProperties::DeleteNamed(texts(&["a"])),
        ..ImageUpdate::default()
    };
    let changed = images::update(&db, &id, change.clone(), None).await.unwrap();
    assert_eq!(changed.properties, pairs(&[("b", None), ("c", Some("2")), ("", Some("1")), ("e", Some("3"))]));
    change.other_properties = OtherProperties::Delete;
    let changed = images::update(&db, &id, change, None).await.unwrap();
    assert_eq!(changed.properties, pairs(&[("b", None), ("c", Some("2")), ("e", Some("3"))]));
}

#[tokio::test]
async fn an_odd_cached_image_hides_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let node = "http://node";
    cache::register_node(&db, node).await.unwrap();
    for id in ["a", "b", "c"] {
        assert!(cache::add(&db, node, NewCachedImage::new(id, 5)).await.unwrap());
    }
    sql(&db, "UPDATE cached_images SET last_accessed = 'x', checksum = CAST(x'ff' AS TEXT) WHERE image_id = 'a'").await;
    let listed = async || {
        let images = cache::list(&db, node).await.unwrap();
        images.into_iter().map(|image| image.image_id).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["a", "b", "c"]);
    sql(&db, "UPDATE cached_images SET image_id = CAST(x'ff' AS TEXT) WHERE image_id = 'b'").await;
    assert_eq!(listed().await, ["a", "c"], "nobody can tell which image it was");
    assert_eq!(cache::least_recently_accessed(&db, node, 5).await.unwrap(), ["c", "a"]);
    assert_eq!(cache::nodes(&db, "a").await.unwrap(), [node]);
}
