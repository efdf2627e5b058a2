//! What MariaDB alone does otherwise.

use glance_api::db::images::Measure;
use glance_api::db::images::list::{ListQuery, Viewer};
use glance_api::db::metadefs::{self, NamespaceColumn, NamespaceQuery};
use glance_api::db::model::{ImageUpdate, NewImage};
use glance_api::db::tasks::{self, TakeOver};
use glance_api::db::{Db, DbError, Dialect, images};
use glance_api::metadef::listing::Direction;
use time::macros::datetime;

use crate::common::database::Server;
use crate::{connect, db_suite, rows_read};

/// MySQL keeps what it is given or refuses it, so that a new image need not be read back.
pub(crate) async fn an_image_takes_few_statements(server: &Server, db: &Db) {
    let new = || NewImage {
        name: Some("few".to_owned()),
        properties: vec![("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), Some("ü ".to_owned()))],
        tags: vec!["t".to_owned(), "u".to_owned(), "t".to_owned()],
        created_at: Some(datetime!(2024-01-01 00:00:00.9)),
        ..NewImage::new(db_suite::uuid())
    };
    // The statements are prepared by now.
    images::create(db, new()).await.unwrap();
    let (made, sent) = statements(server, images::create(db, new())).await;
    let made = made.unwrap();
    let wanted = [
        "START TRANSACTION",
        "INSERT INTO `images`",
        "INSERT INTO `image_properties`",
        "INSERT INTO `image_tags`",
        "COMMIT",
    ];
    assert_eq!(sent, wanted);
    assert_eq!(images::get(db, &made.id, false).await.unwrap().as_ref(), Some(&made));
    assert_eq!(made.created_at, datetime!(2024-01-01 00:00:00));
}

/// What the work gives, and the beginnings of the statements that MySQL gets meanwhile.
async fn statements<T>(server: &Server, work: impl Future<Output = T>) -> (T, Vec<String>) {
    server.sql("SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = 1");
    let done = work.await;
    server.sql("SET GLOBAL general_log = 0");
    let sent = server.sql(
        "SELECT SUBSTRING_INDEX(argument, ' (', 1) FROM mysql.general_log \
         WHERE command_type IN ('Query', 'Execute') AND argument NOT LIKE '%general_log%' ORDER BY event_time",
    );
    (done, sent.lines().map(str::to_owned).collect())
}

pub(crate) async fn a_page_of_namespaces_takes_two_statements(server: &Server, db: &Db) {
    let query = NamespaceQuery {
        viewer: Viewer { is_admin: true, project: None },
        visibility: None,
        resource_types: None,
        marker: None,
        sort: NamespaceColumn::Namespace,
        direction: Direction::Ascending,
        limit: 20,
    };
    // The statements are prepared by now.
    metadefs::list(db, query.clone()).await.unwrap();
    let (found, sent) = statements(server, metadefs::list(db, query)).await;
    let found = found.unwrap();
    assert!(found.len() > 3 && found.iter().any(|(_, associations)| !associations.is_empty()), "{found:?}");
    assert_eq!(sent.len(), 2, "{sent:?}");
}

/// As a user of upstream sets a property, or has removed one that was set.
fn set_from_before(server: &Server, id: &str, name: &str, is_removed: bool) {
    server.sql(&format!(
        "INSERT INTO image_properties (image_id, name, value, created_at, deleted) \
         VALUES ('{id}', CONVERT(UNHEX('{}') USING utf8mb4), '7', NOW(), {is_removed})",
        hex::encode(name)
    ));
}

/// The properties of [`set_from_before`] that an image has.
fn names_from_before(server: &Server, id: &str) -> String {
    server.sql(&format!(
        "SELECT HEX(name), deleted FROM image_properties WHERE image_id = '{id}' AND value = '7' ORDER BY id"
    ))
}

/// An image may have a property whose name MySQL does not tell from one of the service's, which its user has set under upstream, and
/// perhaps removed. It stays as it is, and is not taken for what an upload notes.
pub(crate) async fn uploads_beside_names_from_before(server: &Server, db: &Db) {
    let names = ["OS_GLANCE_DATA_OWNER", "os_glance_dätä_owner", "os_glance_data_owner  ", "Os_Glance_Data_Size"];
    for (name, is_removed) in names.into_iter().flat_map(|name| [(name, false), (name, true)]) {
        let (id, project) = (db_suite::uuid(), db_suite::uuid());
        images::create(db, NewImage { owner: Some(project.clone()), ..NewImage::new(&id) }).await.unwrap();
        set_from_before(server, &id, name, is_removed);
        let theirs = || names_from_before(server, &id);
        let before = theirs();
        let owner = async || images::with_owner(db, &id).await.unwrap().unwrap().owner;
        let to = |status: &str| ImageUpdate { status: Some(status.to_owned()), ..ImageUpdate::default() };
        assert_eq!(owner().await, None, "{name}");
        images::take(db, &id, to("saving"), &["queued"], "token").await.unwrap();
        assert_eq!(owner().await.as_deref(), Some("token"), "{name}");
        for size in [2000, 1000] {
            images::announce_size(db, &id, size).await.unwrap();
        }
        let in_flight = images::used(db, &[Some(project)], Measure::InFlight { but: None }).await.unwrap();
        assert_eq!((in_flight, theirs()), (1000, before.clone()), "{name}");
        images::give_back(db, &id, to("active"), &["saving"], "token").await.unwrap();
        assert_eq!((owner().await, theirs()), (None, before.clone()), "{name}");

        let image = images::get(db, &id, false).await.unwrap().unwrap();
        let shown = if is_removed { Vec::new() } else { vec![(name.to_owned(), Some("7".to_owned()))] };
        assert_eq!(image.properties, shown);
        images::delete_and_take(db, &id, "deleted", &["active"], &[], "token").await.unwrap();
        assert_eq!(owner().await.as_deref(), Some("token"), "{name}");
        images::restore(db, &id, "active", image.updated_at, Vec::new()).await.unwrap();
        assert_eq!((images::get(db, &id, false).await.unwrap(), theirs()), (Some(image), before), "{name}");
    }
}

/// Where both names of a note are taken, the user is told by which property; once one of them is removed, there is a place.
pub(crate) async fn notes_without_a_place(server: &Server, db: &Db) {
    let to = |status: &str| ImageUpdate { status: Some(status.to_owned()), ..ImageUpdate::default() };
    for (names, is_of_size) in [
        (["OS_GLANCE_DATA_OWNER", "os_glance_dätä_owner_beside"], false),
        (["os_glance_data_size ", "OS_GLANCE_DATA_SIZE_BESIDE"], true),
    ] {
        let id = db_suite::uuid();
        images::create(db, NewImage::new(&id)).await.unwrap();
        for name in names {
            set_from_before(server, &id, name, false);
        }
        let note = async || {
            images::take(db, &id, to("saving"), &["queued"], "token").await?;
            images::announce_size(db, &id, 1000).await
        };
        let told = |outcome| matches!(outcome, Err(DbError::InTheWay(name)) if names.contains(&name.as_str()));
        let before = names_from_before(server, &id);
        assert!(told(note().await), "{names:?}");
        let found = images::with_owner(db, &id).await.unwrap().unwrap();
        let (status, owner) = if is_of_size { ("saving", Some("token")) } else { ("queued", None) };
        assert_eq!((found.image.status.as_str(), found.owner.as_deref()), (status, owner), "{names:?}");
        if !is_of_size {
            // The properties would be marked as if their user had removed them, and are not taken for that.
            assert!(told(images::delete_and_take(db, &id, "deleted", &["queued"], &[], "token").await));
            assert!(!images::with_owner(db, &id).await.unwrap().unwrap().image.deleted);
        }
        assert_eq!(names_from_before(server, &id), before);

        let [removed, kept] = names;
        let change = ImageUpdate {
            status: Some("queued".to_owned()),
            properties: Some(vec![(kept.to_owned(), Some("7".to_owned()))]),
            ..ImageUpdate::default()
        };
        images::update(db, &id, change, None).await.unwrap();
        note().await.unwrap();
        let found = images::with_owner(db, &id).await.unwrap().unwrap();
        assert_eq!(found.owner.as_deref(), Some("token"), "{names:?}");
        let left = format!("{}\t0", hex::encode_upper(kept));
        assert_eq!(names_from_before(server, &id), left, "{removed} makes way");
        images::give_back(db, &id, to("active"), &["saving"], "token").await.unwrap();
        assert_eq!(found.image.properties, [(kept.to_owned(), Some("7".to_owned()))]);
    }
}

/// A user's property in the place of an import's lock is not taken for the lock of another task: what a worker that died has left is
/// looked at where the image's status keeps others away, else the property is named.
pub(crate) async fn dead_tasks_beside_names_from_before(server: &Server, db: &Db) {
    let (lock, name) = ("os_glance_import_task", "OS_GLANCE_Import_Task");
    for (from, to) in [("queued", Some("importing")), ("uploading", None), ("active", None)] {
        let id = db_suite::uuid();
        images::create(db, NewImage { status: from.to_owned(), ..NewImage::new(&id) }).await.unwrap();
        set_from_before(server, &id, name, false);
        let step = TakeOver {
            image: id.clone(),
            from: from.to_owned(),
            former: None,
            to: to.map(str::to_owned),
            token: "token".to_owned(),
            task: db_suite::uuid(),
            property: lock,
        };
        let taken = tasks::take_over(db, step).await;
        let found = images::with_owner(db, &id).await.unwrap().unwrap();
        let seen = (found.image.status.as_str(), found.owner.as_deref());
        if from == "active" {
            assert!(matches!(&taken, Err(DbError::InTheWay(known)) if known == name), "{taken:?}");
            assert_eq!(seen, ("active", None));
        } else {
            taken.unwrap();
            assert_eq!(seen, (to.unwrap_or(from), Some("token")));
        }
        assert_eq!(found.image.properties, [(name.to_owned(), Some("7".to_owned()))]);
    }
}

/// Without locks on what is not there yet, somebody else may write a note after it was looked for. It is replaced, and nobody takes it
/// for a user's property.
pub(crate) async fn a_note_that_came_meanwhile(server: &Server) {
    let isolation = "SET+SESSION+TRANSACTION+ISOLATION+LEVEL+READ+COMMITTED";
    let db = connect(&format!("{}&init_command={isolation}", server.url())).await;
    let id = db_suite::uuid();
    images::create(&db, NewImage::new(&id)).await.unwrap();
    let gate = server.hold_up("glance", "BEFORE INSERT ON image_properties", "NEW.value = '1000'");
    let note = tokio::spawn({
        let (db, id) = (db.clone(), id.clone());
        async move { images::announce_size(&db, &id, 1000).await }
    });
    tokio::task::block_in_place(|| {
        server.wait_for_waiting(1);
        server.sql(&format!(
            "INSERT INTO image_properties (image_id, name, value, created_at, deleted) \
             VALUES ('{id}', 'os_glance_data_size', '2000', NOW(), 1)"
        ));
        drop(gate);
    });
    note.await.unwrap().unwrap();
    let notes = server.sql(&format!("SELECT name, value, deleted FROM image_properties WHERE image_id = '{id}'"));
    assert_eq!(notes, "os_glance_data_size\t1000\t1");
}

/// What MariaDB knows of an index may be from when the table was empty. It is not to read whole tables for that reason, and has to do
/// without an index that somebody has given another name.
pub(crate) async fn pages_are_found_by_index(server: &Server) {
    server.sql("SET GLOBAL innodb_stats_auto_recalc = OFF");
    server.make("filled", None);
    let db = connect(&server.url_of("filled")).await;
    db.create_schema().await.unwrap();
    server.sql_in(
        "filled",
        "INSERT INTO images (id, status, visibility, created_at, updated_at, deleted, min_disk, min_ram, protected, os_hidden) \
         SELECT CONCAT('i', seq), 'queued', 'shared', '2024-01-01' + INTERVAL seq MINUTE, '2024-01-01', 0, 0, 0, 0, 0 \
         FROM seq_1_to_1000; \
         INSERT INTO image_properties (image_id, name, value, created_at, deleted) \
         SELECT images.id, CONCAT('p', seq), 'v', '2024-01-01', 0 FROM images, seq_1_to_4; \
         INSERT INTO image_tags (image_id, value, created_at, deleted) \
         SELECT images.id, CONCAT('t', seq), '2024-01-01', 0 FROM images, seq_1_to_2; FLUSH TABLES",
    );
    let query = ListQuery::new(Viewer { is_admin: true, project: None }, 25);
    for is_renamed in [false, true] {
        if is_renamed {
            server.sql_in("filled", "ALTER TABLE image_tags RENAME INDEX ix_image_tags_image_id TO of_images");
        }
        let before = rows_read(server, Dialect::MySql);
        let found = images::list(&db, &query).await.unwrap();
        let read = rows_read(server, Dialect::MySql) - before;
        // It may read all 1000 images, which are few, but not their 6000 properties and tags.
        assert!(read < 3000 || is_renamed, "{read} rows were read");
        assert_eq!(found.len(), 25);
        assert!(found.iter().all(|image| (image.properties.len(), image.tags.len()) == (4, 2)), "{found:?}");
    }
    server.sql("SET GLOBAL innodb_stats_auto_recalc = ON");
}
