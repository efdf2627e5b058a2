//! What PostgreSQL alone does otherwise.

use std::collections::BTreeSet;
use std::time::Duration;

use glance_api::db::images::list::{Column, Condition, ListQuery, Viewer};
use glance_api::db::model::NewImage;
use glance_api::db::{Db, images, tasks};
use glance_api::metadef::listing::Direction;

use crate::common::database::Server;
use crate::{common, connect, db_suite};

/// The program reloads on the database that the suite has left.
pub(crate) fn reloads_keep_connections(server: &Server) {
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

/// A row whose time of creation no program can read hides nothing that comes after it.
pub(crate) async fn pages_go_on_behind_a_time_that_is_none(server: &Server, db: &Db) {
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

/// A list's plan takes PostgreSQL longer than the list: its connections are to keep plans. These are to use the indexes of small
/// tables, too.
pub(crate) async fn connections_plan_once(server: &Server, db: &Db) {
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
