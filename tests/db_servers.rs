//! The suite of the database layer on PostgreSQL and MariaDB.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::images::Measure;
use glance_api::db::images::list::{Column, Condition, ListQuery, Viewer, VisibilityCondition};
use glance_api::db::metadefs::{self, NamespaceColumn, NamespaceQuery};
use glance_api::db::model::{ImageUpdate, NewImage};
use glance_api::db::tasks::{self, TakeOver};
use glance_api::db::{Db, DbError, Dialect, images, members};
use glance_api::metadef::listing::Direction;
use time::macros::datetime;

extern crate glance_api;

mod common;
mod db_suite;

use common::database::{Kind, Server};

async fn connect(url: &str) -> Db {
    let connection = Some(Secret::from(url));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql() {
    let mut server = Server::start(Kind::Postgres);
    exercise(&mut server, Dialect::Postgres).await;
    tokio::task::block_in_place(|| reloads_keep_connections(&server));
}

/// How many indexes of our own there are.
fn indexes(server: &Server, dialect: Dialect) -> usize {
    let sql = match dialect {
        Dialect::Postgres => "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'glance_api_%'",
        _ => "SELECT DISTINCT index_name FROM information_schema.statistics WHERE index_name LIKE 'glance_api_%'",
    };
    server.sql(sql).lines().count()
}

/// The program reloads on the database that [`exercise`] has left.
fn reloads_keep_connections(server: &Server) {
    let name = "reloaded";
    let connection = format!("{}&application_name={name}", server.url());
    let mut service = common::Server::with(|conf| conf.set("database.connection", connection));
    // The processes of PostgreSQL that serve the program.
    let backends = |service: &common::Server| -> BTreeSet<String> {
        assert_eq!(service.send(&common::Request::new("GET", "/v2/images")).status, 200);
        let pids = server.sql(&format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'"));
        pids.lines().map(str::to_owned).collect()
    };
    let before = backends(&service);
    assert!(!before.is_empty());
    for round in 1..=3 {
        service.conf = service.conf.clone().set("DEFAULT.limit_param_default", 10 + round);
        service.conf.write();
        service.signal(nix::sys::signal::Signal::SIGHUP);
        common::wait_for("the reload", Duration::from_secs(20), || {
            (service.log().matches("configuration reloaded").count() == round).then_some(())
        });
        let after = backends(&service);
        assert!(before.is_subset(&after), "{before:?} before, {after:?} after reload {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    let mut server = Server::start(Kind::MariaDb);
    exercise(&mut server, Dialect::MySql).await;
}

async fn exercise(server: &mut Server, dialect: Dialect) {
    let db = connect(&server.url()).await;
    assert_eq!(db.dialect(), dialect);
    assert!(db.check_schema().await.unwrap_err().to_string().contains("the database is empty"));
    db.create_schema().await.unwrap();
    db.create_schema().await.unwrap();
    db.check_schema().await.unwrap();
    db.create_indexes().await.unwrap();
    db.create_indexes().await.unwrap();
    assert_eq!(indexes(server, dialect), 5);
    db_suite::run(&db).await;
    for is_member_of_many in [false, true] {
        lists_of_members(server, &db, is_member_of_many).await;
    }
    match dialect {
        Dialect::Postgres => {
            connections_plan_once(server, &db).await;
            pages_go_on_behind_a_time_that_is_none(server, &db).await;
        }
        _ => {
            an_image_takes_few_statements(server, &db).await;
            a_page_of_namespaces_takes_two_statements(server, &db).await;
            uploads_beside_names_from_before(server, &db).await;
            notes_without_a_place(server, &db).await;
            dead_tasks_beside_names_from_before(server, &db).await;
            a_note_that_came_meanwhile(server).await;
            // The last one, as this process does without the index for some minutes then.
            pages_are_found_by_index(server).await;
        }
    }

    // All connections of the pool are stale now; nobody is to notice.
    let id = db_suite::uuid();
    images::create(&db, NewImage::new(&id)).await.unwrap();
    server.restart();
    assert!(images::get(&db, &id, false).await.unwrap().is_some());
    server.restart();
    images::delete(&db, &id, "deleted", Some(&["queued"])).await.unwrap();
}

/// Lists of a project with a few memberships, or with so many that its images are found in another way.
async fn lists_of_members(server: &Server, db: &Db, is_member_of_many: bool) {
    let (me, other) = (db_suite::uuid(), db_suite::uuid());
    let mut newest_first: Vec<(String, &str)> = Vec::new();
    let rows = [
        (&other, "shared", Some("accepted")),
        (&other, "shared", Some("pending")),
        (&other, "shared", None),
        (&me, "shared", Some("accepted")),
        (&other, "public", Some("accepted")),
        (&other, "shared", Some("accepted")),
        (&me, "private", None),
        (&other, "shared", Some("accepted")),
        (&other, "private", Some("accepted")),
    ];
    let mut created_at = datetime!(2024-01-01 00:00:00);
    for (owner, visibility, membership) in rows {
        created_at += Duration::from_secs(1);
        let new = NewImage {
            owner: Some(owner.clone()),
            visibility: visibility.to_owned(),
            created_at: Some(created_at),
            ..NewImage::new(db_suite::uuid())
        };
        let id = images::create(db, new).await.unwrap().id;
        if let Some(status) = membership {
            members::add(db, &id, &me, status).await.unwrap();
        }
        let is_shown =
            *owner == me || visibility == "public" || visibility == "shared" && membership == Some("accepted");
        if is_shown {
            newest_first.insert(0, (id, visibility));
        }
    }
    if is_member_of_many {
        let numbers = match db.dialect() {
            Dialect::Postgres => "generate_series(1, 1001)",
            _ => "seq_1_to_20000",
        };
        server.sql(&format!(
            "INSERT INTO image_members (image_id, member, can_share, created_at, updated_at, deleted, status) \
             SELECT id, '{me}', FALSE, created_at, created_at, FALSE, 'accepted' FROM images, {numbers} \
             WHERE owner = '{other}' AND visibility = 'private'"
        ));
    }
    let rows_read = rows_read(server, db.dialect());
    let viewer = Viewer { is_admin: false, project: Some(me.clone()) };
    let conditions = vec![Condition::In(Column::Owner, vec![me, other])];
    for (visibility, only) in
        [(VisibilityCondition::Default, None), (VisibilityCondition::Only("shared".to_owned()), Some("shared"))]
    {
        let mut query = ListQuery { conditions: conditions.clone(), visibility, ..ListQuery::new(viewer.clone(), 2) };
        let expected = newest_first.iter().filter(|(_, visibility)| only.is_none_or(|only| only == *visibility));
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = images::list(db, &query).await.unwrap();
            found.extend(page.iter().map(|image| image.id.clone()));
            if page.len() < 2 {
                break;
            }
            query.marker = found.last().cloned();
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected.map(|(id, _)| id).collect::<Vec<_>>(), "{only:?}");
    }
    if is_member_of_many && db.dialect() == Dialect::MySql {
        // A dozen lists or so, none of which reads all of the memberships.
        let read = self::rows_read(server, db.dialect()) - rows_read;
        assert!(read < 12 * 10_000, "{read} rows");
    }
}

/// A row whose time of creation no program can read hides nothing that comes after it.
async fn pages_go_on_behind_a_time_that_is_none(server: &Server, db: &Db) {
    let owner = db_suite::uuid();
    let viewer = Viewer { is_admin: false, project: Some(owner.clone()) };
    let mut ids = Vec::new();
    for _ in 0..3 {
        let new = NewImage { owner: Some(owner.clone()), ..NewImage::new(db_suite::uuid()) };
        ids.push(images::create(db, new).await.unwrap().id);
    }
    server.sql(&format!("UPDATE images SET created_at = 'infinity' WHERE id = '{}'", ids[1]));
    for direction in [Direction::Ascending, Direction::Descending] {
        let mut query = ListQuery::new(viewer.clone(), 1);
        query.conditions.push(Condition::Equal(Column::Owner, owner.clone()));
        query.set_sort(&[], &[direction]);
        let mut found = Vec::new();
        while let Some(image) = images::list(db, &query).await.unwrap().pop() {
            query.marker = Some(image.id.clone());
            found.push(image.id);
            assert!(found.len() <= ids.len(), "{direction:?}: {found:?}");
        }
        let last = if direction == Direction::Ascending { found.last() } else { found.first() };
        assert_eq!((found.len(), last), (3, Some(&ids[1])), "{direction:?}: {found:?}");
    }
    let task = tasks::NewTask {
        id: db_suite::uuid(),
        kind: "import".to_owned(),
        owner,
        image_id: None,
        request_id: None,
        user_id: None,
        input: serde_json::Value::Null,
    };
    tasks::create(db, task.clone()).await.unwrap();
    let leases = tasks::leases(db, 1000).await.unwrap().len();
    server.sql(&format!("UPDATE tasks SET updated_at = 'infinity' WHERE id = '{}'", task.id));
    assert_eq!(tasks::leases(db, 1000).await.unwrap().len(), leases - 1);
    let found = tasks::get(db, &task.id, &tasks::TaskViewer::service()).await.unwrap().unwrap();
    assert_eq!(found.updated_at, found.created_at);
}

/// Rows that the server has read so far, of tables and indexes; MySQL's alone.
fn rows_read(server: &Server, dialect: Dialect) -> u64 {
    if dialect != Dialect::MySql {
        return 0;
    }
    let sum =
        "SELECT SUM(variable_value) FROM information_schema.global_status WHERE variable_name LIKE 'HANDLER_READ%'";
    server.sql(sum).parse::<f64>().unwrap() as u64
}

/// MySQL keeps what it is given or refuses it, so that a new image need not be read back.
async fn an_image_takes_few_statements(server: &Server, db: &Db) {
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

async fn a_page_of_namespaces_takes_two_statements(server: &Server, db: &Db) {
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
async fn uploads_beside_names_from_before(server: &Server, db: &Db) {
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
async fn notes_without_a_place(server: &Server, db: &Db) {
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
async fn dead_tasks_beside_names_from_before(server: &Server, db: &Db) {
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
async fn a_note_that_came_meanwhile(server: &Server) {
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
async fn pages_are_found_by_index(server: &Server) {
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

/// A list's plan takes PostgreSQL longer than the list: its connections are to keep plans. These are to use the indexes of small
/// tables, too.
async fn connections_plan_once(server: &Server, db: &Db) {
    server.sql(
        "CREATE TABLE seen (settings text); \
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO seen VALUES (current_setting('plan_cache_mode') || ' ' || current_setting('random_page_cost')); \
         RETURN NEW; END $$; \
         CREATE TRIGGER look BEFORE INSERT ON images FOR EACH ROW EXECUTE FUNCTION look()",
    );
    images::create(db, NewImage::new(db_suite::uuid())).await.unwrap();
    assert_eq!(server.sql("SELECT settings FROM seen"), "force_generic_plan 1.1");
    // Who has set it otherwise is left alone.
    server.sql("DELETE FROM seen; DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET random_page_cost = 2'; END $$");
    images::create(&connect(&server.url()).await, NewImage::new(db_suite::uuid())).await.unwrap();
    assert_eq!(server.sql("SELECT settings FROM seen"), "force_generic_plan 2");
    server.sql("DROP TRIGGER look ON images; DROP FUNCTION look(); DROP TABLE seen");
}
