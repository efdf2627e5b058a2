//! A database whose answers are cut off, late or lost, or that is away: what clients get, and what is in the database then.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::database::{Fault, Kind, Proxy, Server as Database};
use common::disk::SmallDisk;
use common::{Answer, Conf, Request, Server, http, pause, wait_for};
use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::{ImageUpdate, NewImage, OtherProperties};
use glance_api::db::{Db, DbError, images};
use serde_json::{Value, json};

/// A service whose database is behind a proxy.
struct Rig {
    server: Server,
    proxy: Proxy,
    // After the service, so that it ends last.
    database: Database,
}

impl Rig {
    fn start(kind: Kind) -> Self {
        Self::start_with(kind, |conf| conf)
    }

    fn start_with(kind: Kind, change: impl FnOnce(Conf) -> Conf) -> Self {
        let arguments = match kind {
            // PostgreSQL's own housekeeping would give back the space of what was refused on a full disk.
            Kind::Postgres => ["-c", "autovacuum=off"].map(str::to_owned),
            // MariaDB itself ends when its disk is full; so all tables lie in a file that may not grow without end.
            Kind::MariaDb => tables_in_one_file("24M"),
        };
        let database = Database::start_with(kind, |_| arguments.to_vec());
        make_tables(&database);
        let proxy = Proxy::before(&database);
        let server = Server::with(|conf| {
            change(conf)
                .set("database.connection", proxy.url())
                .set("healthcheck.backends", "disable_by_file,database")
                .set("healthcheck.detailed", true)
        });
        Self { server, proxy, database }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.server.send(&Request::new("GET", path));
        let body = if answer.status == 200 { answer.json() } else { Value::Null };
        (answer.status, body)
    }
}

/// Arguments for MariaDB.
fn tables_in_one_file(largest: &str) -> [String; 2] {
    ["--innodb-file-per-table=0".to_owned(), format!("--innodb-data-file-path=ibdata1:12M:autoextend:max:{largest}")]
}

fn make_tables(database: &Database) {
    make_tables_at(&database.url());
}

fn make_tables_at(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { connect(url).await.create_schema().await.unwrap() });
}

async fn connect(url: &str) -> Db {
    let connection = Some(Secret::from(url));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap()
}

fn image(id: &str) -> Value {
    json!({"id": id, "name": "whole", "disk_format": "raw", "container_format": "bare", "colour": "red", "tags": ["a", "b"]})
}

fn patch(id: &str, name: &str) -> Request {
    let change = json!([
        {"op": "replace", "path": "/name", "value": name},
        {"op": "replace", "path": "/tags", "value": [name]},
        {"op": "add", "path": "/colour", "value": name},
    ]);
    let body = change.to_string().into_bytes();
    let request = Request::new("PATCH", &format!("/v2/images/{id}"));
    Request {
        body: common::Body::Sized(body),
        ..request.header("Content-Type", "application/openstack-images-v2.1-json-patch")
    }
}

fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[test]
fn lost_commits_on_postgresql() {
    lost_commits(Kind::Postgres);
}

#[test]
fn lost_commits_on_mariadb() {
    lost_commits(Kind::MariaDb);
}

/// Each change is there as a whole or not at all, and the client learns that nobody knows.
fn lost_commits(kind: Kind) {
    let mut rig = Rig::start(kind);
    for (fault, happened) in [(Fault::CutBefore, false), (Fault::CutAfter, true)] {
        let id = uuid();
        rig.proxy.fault(fault);
        rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(503);
        assert!(rig.proxy.has_struck(), "{fault:?}");
        let (status, shown) = rig.get(&format!("/v2/images/{id}"));
        assert_eq!(status, if happened { 200 } else { 404 }, "{fault:?}");
        if happened {
            assert_eq!((&shown["name"], &shown["colour"]), (&json!("whole"), &json!("red")));
            assert_eq!(shown["tags"].as_array().unwrap().len(), 2, "{shown}");
        } else {
            rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
        }

        rig.proxy.fault(fault);
        rig.server.send(&patch(&id, "changed")).expect(503);
        let (_, shown) = rig.get(&format!("/v2/images/{id}"));
        let changed = [&shown["name"] == "changed", &shown["colour"] == "changed", shown["tags"] == json!(["changed"])];
        assert_eq!(changed, [happened; 3], "{fault:?}: {shown}");

        let member = json!({"member": "11111111111111111111111111111111"});
        rig.proxy.fault(fault);
        rig.server.send(&Request::new("POST", &format!("/v2/images/{id}/members")).json(&member)).expect(503);
        let (_, members) = rig.get(&format!("/v2/images/{id}/members"));
        assert_eq!(members["members"].as_array().unwrap().len(), usize::from(happened), "{fault:?}: {members}");

        rig.proxy.fault(fault);
        rig.server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(503);
        assert_eq!(rig.get(&format!("/v2/images/{id}")).0, if happened { 404 } else { 200 }, "{fault:?}");
    }
    let id = uuid();
    rig.proxy.fault(Fault::Delay(Duration::from_secs(2)));
    rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
    assert!(rig.proxy.has_struck());

    // An answer that never comes is not waited for without end.
    let id = uuid();
    rig.proxy.fault(Fault::Swallow);
    let start = Instant::now();
    rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(503);
    assert!(start.elapsed() < Duration::from_secs(28), "{:?}", start.elapsed());
    assert_eq!(rig.get(&format!("/v2/images/{id}")).0, 200);
    rig.server.log_with("it is not known whether the database has committed the change");
    match kind {
        Kind::Postgres => full_disk(Some(&rig.database)),
        Kind::MariaDb => {
            names_of_the_service(&rig);
            full_tables(&mut rig);
            full_disk_in_words(&rig);
        }
    }
}

/// MariaDB takes names for one that differ in case or in accents: a client must not set what the service then takes for its own.
fn names_of_the_service(rig: &Rig) {
    let id = uuid();
    rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
    for name in ["OS_GLANCE_IMPORT_TASK", "Os_glance_data_owner", "ös_glance_importing_to_stores"] {
        let mut other = image(&uuid());
        other[name] = json!("mine");
        let change = json!([{"op": "add", "path": format!("/{name}"), "value": "mine"}]).to_string().into_bytes();
        let change = Request { body: common::Body::Sized(change), ..patch(&id, "changed") };
        for request in [Request::new("POST", "/v2/images").json(&other), change] {
            let text = rig.server.send(&request).expect(403).text();
            assert!(text.contains(&format!("Attribute '{name}' is reserved.")), "{text}");
        }
        let other = other["id"].as_str().unwrap();
        assert_eq!(rig.get(&format!("/v2/images/{other}")).0, 404);
    }
    let (_, shown) = rig.get(&format!("/v2/images/{id}"));
    assert_eq!((&shown["name"], shown.get("OS_GLANCE_IMPORT_TASK")), (&json!("whole"), None), "{shown}");
    // Other names may have capital letters.
    let mut other = image(&uuid());
    other["OS_GLANCE_PROPERTY"] = json!("mine");
    rig.server.send(&Request::new("POST", "/v2/images").json(&other)).expect(201);
    names_from_before(rig, &id);
}

/// The image has properties of such names, which its user has set under upstream. They may stay or go, but not change.
fn names_from_before(rig: &Rig, id: &str) {
    for (name, deleted) in [("OS_GLANCE_IMPORT_TASK", 0), ("OS_GLANCE_FAILED_IMPORT", 1)] {
        rig.database.sql(&format!(
            "INSERT INTO image_properties (image_id, name, value, created_at, deleted) VALUES ('{id}', '{name}', 'old', NOW(), {deleted})"
        ));
        let change = json!([{"op": "add", "path": format!("/{name}"), "value": "new"}]).to_string().into_bytes();
        let change = Request { body: common::Body::Sized(change), ..patch(id, "changed") };
        let text = rig.server.send(&change).expect(403).text();
        assert!(text.contains(&format!("Attribute '{name}' is reserved.")), "{text}");
    }
    let shown = rig.server.send(&patch(id, "changed")).expect(200).json();
    assert_eq!((&shown["name"], &shown["OS_GLANCE_IMPORT_TASK"]), (&json!("changed"), &json!("old")));
    let removal = r#"[{"op": "remove", "path": "/OS_GLANCE_IMPORT_TASK"}]"#.into();
    let removal = Request { body: common::Body::Sized(removal), ..patch(id, "changed") };
    assert_eq!(rig.server.send(&removal).expect(200).json().get("OS_GLANCE_IMPORT_TASK"), None);

    // And then the service's own have place.
    let (lock, failed) = ("os_glance_import_task", "os_glance_failed_import");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = connect(&rig.database.url()).await;
        images::set_property_atomic(&db, id, lock, "task").await.unwrap();
        let properties = Some(vec![(failed.to_owned(), Some("fast".to_owned()))]);
        let other_properties = OtherProperties::DeleteNamed(Vec::new());
        let change = ImageUpdate { properties, other_properties, ..ImageUpdate::default() };
        let image = images::update(&db, id, change, None).await.unwrap();
        let known = |name: &str| image.properties.iter().find(|(known, _)| known == name)?.1.clone();
        assert_eq!([lock, failed].map(known), [Some("task".to_owned()), Some("fast".to_owned())]);
    });
}

#[test]
fn a_full_disk_below_sqlite() {
    full_disk(None);
}

/// The tables lie on a disk that fills up.
fn full_disk(postgres: Option<&Database>) {
    let folder = tempfile::Builder::new().prefix("glance-full").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let place = folder.path().join("small");
    let disk = SmallDisk::on(place.clone(), 24 << 20);
    let url = match postgres {
        None => format!("sqlite:///{}/glance.db", place.display()),
        Some(database) => {
            assert!(Command::new("chown").arg("postgres").arg(&place).status().unwrap().success());
            database.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
            database.sql("CREATE DATABASE small TEMPLATE template0 TABLESPACE small");
            let url = database.url_of("small");
            make_tables_at(&url);
            url
        }
    };
    let server = Server::with(|conf| conf.set("database.connection", url));
    create_large(&server).expect(201);
    let filler = place.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    refuses_until_there_is_space(&server, || std::fs::remove_file(&filler).unwrap());
    drop(server);
    if let Some(database) = postgres {
        database.sql("DROP DATABASE small");
    }
    drop(disk);
}

/// The file of all tables of MariaDB has reached its largest size, until that is made larger.
fn full_tables(rig: &mut Rig) {
    rig.database.sql("CREATE TABLE filler (text MEDIUMTEXT)");
    rig.database.sql(
        "DELIMITER //\nBEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR 1114 BEGIN END; \
         LOOP INSERT INTO filler VALUES (REPEAT('x', 100000)); END LOOP; END //",
    );
    refuses_until_there_is_space(&rig.server, || rig.database.restart_with(tables_in_one_file("64M").to_vec()));
}

/// What MariaDB says where it is the disk that is full.
fn full_disk_in_words(rig: &Rig) {
    for (number, text) in [
        (1021, "Disk full (/tmp/#sql-temptable.MAI); waiting for someone to free some space..."),
        (3, "Error writing file \"/tmp/MY\" (Errcode: 28 \"No space left on device\")"),
        (1026, "Error writing file \"/tmp/MY\" (Errcode: 28 \"No space left on device\")"),
        (1030, "Got error 28 \"No space left on device\" from storage engine InnoDB"),
    ] {
        rig.database.sql(&format!(
            "CREATE OR REPLACE TRIGGER disk BEFORE INSERT ON images FOR EACH ROW \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{text}'"
        ));
        let id = uuid();
        rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(503);
        rig.database.sql("DROP TRIGGER disk");
        rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
    }
}

fn create_large(server: &Server) -> Answer {
    let mut image = image(&uuid());
    image["name"] = json!("large");
    for number in 0..20 {
        image[format!("p{number}")] = json!("x".repeat(2000));
    }
    server.send(&Request::new("POST", "/v2/images").json(&image))
}

/// Where the database has no space, clients are told that it is not their fault, what is there is whole, and all is well as soon as
/// there is space again.
fn refuses_until_there_is_space(server: &Server, make_space: impl FnOnce()) {
    let mut made = Vec::new();
    let refused = (0..400).find_map(|_| {
        let answer = create_large(server);
        if answer.status != 201 {
            return Some(answer);
        }
        made.push(answer.json()["id"].as_str().unwrap().to_owned());
        None
    });
    let refused = refused.expect("it never fills up");
    assert_eq!(refused.status, 503, "{}\n{}", refused.text(), server.log());
    server.log_with("the database has no space left");
    create_large(server).expect(503);
    let list = server.send(&Request::new("GET", "/v2/images?limit=500&name=large")).expect(200).json();
    let list = list["images"].as_array().unwrap();
    for shown in list {
        assert!((0..20).all(|number| shown[format!("p{number}")].is_string()), "{shown}");
        assert_eq!(shown["tags"].as_array().unwrap().len(), 2);
    }
    assert!(made.iter().all(|id| list.iter().any(|shown| shown["id"] == **id)), "{made:?} are not all in {list:?}");
    make_space();
    wait_for("space again", Duration::from_secs(30), || (create_large(server).status == 201).then_some(()));
    let id = made
        .first()
        .map_or_else(|| create_large(server).expect(201).json()["id"].as_str().unwrap().to_owned(), Clone::clone);
    server.send(&patch(&id, "changed")).expect(200);
}

/// When the service told its manager that it lives; it does so five times a second.
struct SignsOfLife(Arc<Mutex<Vec<Instant>>>);

impl SignsOfLife {
    /// systemd ends a worker that is silent for so long.
    const LIMIT: Duration = Duration::from_secs(30);

    /// The configuration of a service that has a watchdog, and the socket below `folder` that hears it.
    fn of(conf: Conf) -> (Self, Conf) {
        let path = conf.dir.join("notify");
        let signs = Self::listen(&path);
        (signs, conf.variable("NOTIFY_SOCKET", path.display()).variable("WATCHDOG_USEC", 600_000))
    }

    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let signs = Arc::<Mutex<Vec<Instant>>>::default();
        let heard = Arc::clone(&signs);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"WATCHDOG=1") {
                    heard.lock().unwrap().push(Instant::now());
                }
            }
        });
        Self(signs)
    }

    /// Waits for some more of them.
    fn go_on(&self) {
        let count = || self.0.lock().unwrap().len();
        let before = count();
        wait_for("signs of life", Self::LIMIT, || (count() >= before + 10).then_some(()));
    }

    fn longest_silence(&self) -> Duration {
        self.0.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }
}

/// What becomes of a request while the database is away.
fn refused(server: &Server, request: &Request) {
    let text = server.send(request).expect(503).text();
    assert!(text.contains("The server is currently unavailable. Please try again at a later time."), "{text}");
}

#[test]
fn an_absent_database_is_told_within_seconds_and_missed_no_longer_than_it_is_away() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let mut heard = None;
        let mut rig = Rig::start_with(kind, |conf| {
            let (signs, conf) = SignsOfLife::of(conf);
            heard = Some(signs);
            conf
        });
        let signs = heard.unwrap();
        let id = uuid();
        rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
        let health = || rig.server.send(&Request::new("GET", "/healthcheck").header("Accept", "application/json"));
        assert_eq!(health().expect(200).json()["reasons"][1]["reason"], "OK");
        rig.proxy.away();
        let start = Instant::now();
        let told = health().expect(503).json();
        assert_eq!(told["reasons"][0]["reason"], "OK", "{told}");
        assert_eq!(told["reasons"][1]["reason"], "DATABASE DOES NOT ANSWER", "{told}");
        assert!(told["reasons"][1]["details"].as_str().unwrap().contains("the database"), "{told}");
        let show = Request::new("GET", &format!("/v2/images/{id}"));
        for request in [&Request::new("GET", "/v2/images"), &show, &patch(&id, "changed")] {
            refused(&rig.server, request);
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        signs.go_on();

        // A request that is under way when the database comes back succeeds.
        thread::scope(|scope| {
            let list = scope.spawn(|| rig.server.send(&Request::new("GET", "/v2/images")).status);
            pause(Duration::from_millis(500));
            rig.proxy.again();
            assert_eq!(list.join().unwrap(), 200);
        });
        health().expect(200);
        assert_eq!(rig.get(&format!("/v2/images/{id}")).1["name"], "whole");

        // It hears all and says nothing.
        rig.proxy.stick();
        let create = Request::new("POST", "/v2/images").json(&image(&uuid()));
        let list = Request::new("GET", "/v2/images");
        thread::scope(|scope| {
            let server = &rig.server;
            let asked = [&list, &show, &create].map(|request| scope.spawn(move || server.send(request).status));
            health().expect(503);
            signs.go_on();
            rig.proxy.again();
            for status in asked.map(|asked| asked.join().unwrap()) {
                assert!([200, 201, 503].contains(&status), "{status}");
            }
        });
        is_back(&rig.server);

        // It ends, and starts again.
        rig.database.stop();
        health().expect(503);
        refused(&rig.server, &show);
        signs.go_on();
        rig.database.launch();
        is_back(&rig.server);
        let silence = signs.longest_silence();
        assert!(silence < SignsOfLife::LIMIT, "{silence:?}");
        if kind == Kind::Postgres {
            a_busy_pool_is_no_absent_database(&rig.database);
        }
    }
}

/// Within seconds.
fn is_back(server: &Server) {
    succeeds(server, "/v2/images");
    succeeds(server, "/healthcheck");
}

fn succeeds(server: &Server, path: &str) {
    let status = || server.send(&Request::new("GET", path)).status;
    wait_for(path, Duration::from_secs(20), || (status() == 200).then_some(()));
}

/// All connections are in use for longer than a health check waits.
fn a_busy_pool_is_no_absent_database(database: &Database) {
    let server = Server::with(|conf| {
        conf.set("database.connection", database.url())
            .set("database.max_pool_size", 1)
            .set("database.max_overflow", 0)
            .set("healthcheck.backends", "database")
    });
    let waiting = |kind: &str| {
        wait_for(kind, Duration::from_secs(30), || {
            let count = database.sql(&format!("SELECT COUNT(*) FROM pg_stat_activity WHERE {kind}"));
            (count != "0").then_some(())
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            database.sql(
                "DO $$ BEGIN LOCK TABLE images; PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END $$",
            )
        });
        waiting("wait_event = 'PgSleep'");
        let list = scope.spawn(|| server.send(&Request::new("GET", "/v2/images")).status);
        waiting("wait_event_type = 'Lock'");
        succeeds(&server, "/healthcheck");
        database.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        assert_eq!(list.join().unwrap(), 200);
    });
}

#[test]
fn impatient_clients_cost_no_connections() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let rig = Rig::start(kind);
        for _ in 0..30 {
            rig.server.send(&Request::new("POST", "/v2/images").json(&image(&uuid()))).expect(201);
        }
        let before = rig.database.connections();
        let request = Request::new("GET", "/v2/images?limit=30&sort_key=name").head("localhost");
        thread::scope(|scope| {
            for number in 0..8_u64 {
                let (rig, request) = (&rig, &request);
                scope.spawn(move || {
                    for turn in 0..125 {
                        let mut stream = http::connect(rig.server.address).unwrap();
                        stream.write_all(request).unwrap();
                        pause(Duration::from_millis((number + turn) % 6));
                    }
                });
            }
        });
        // At most as many as the pool has, and those that ask here.
        let most = 5 + 50 + 5;
        rig.server.send(&Request::new("GET", "/v2/images")).expect(200);
        let new = rig.database.connections() - before;
        assert!(new <= most, "{kind:?}: {new} new connections");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_layer_itself_says() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let database = Database::start(kind);
        let proxy = Proxy::before(&database);
        let db = connect(&proxy.url()).await;
        db.create_schema().await.unwrap();
        for (fault, happened) in [(Fault::CutBefore, false), (Fault::CutAfter, true)] {
            let id = uuid();
            proxy.fault(fault);
            let error = images::create(&db, NewImage::new(&id)).await.unwrap_err();
            assert!(error.is_unknown() && error.is_unavailable(), "{error:?}");
            assert_eq!(images::get(&db, &id, false).await.unwrap().is_some(), happened, "{fault:?}");
            if !happened {
                images::create(&db, NewImage::new(&id)).await.unwrap();
            }
            // The transition of an upload's row: who is told that it is unknown finds out by looking.
            let status = |text: &str| ImageUpdate { status: Some(text.to_owned()), ..ImageUpdate::default() };
            proxy.fault(fault);
            let error = images::update(&db, &id, status("saving"), Some(&["queued"])).await.unwrap_err();
            assert!(error.is_unknown(), "{error:?}");
            let found = images::get(&db, &id, false).await.unwrap().unwrap().status;
            assert_eq!(found, if happened { "saving" } else { "queued" });
        }
        // What is refused stays refused, and a connection that broke before the COMMIT is tried again.
        let refused = images::update(&db, "none", ImageUpdate::default(), None).await.unwrap_err();
        assert!(!refused.is_unknown() && matches!(refused, DbError::NotFound { .. }), "{refused:?}");
        proxy.away();
        proxy.again();
        images::create(&db, NewImage::new(uuid())).await.unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_database_is_said_in_words() {
    let database = Database::start(Kind::Postgres);
    let message = |url: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connection = Some(Secret::from(url));
            let options = DatabaseSection { connection, ..DatabaseSection::default() };
            match Db::connect(&options).await {
                Err(error) => error.to_string(),
                Ok(db) => match images::get(&db, "i", false).await {
                    Err(error) => error.to_string(),
                    Ok(_) => "nothing".to_owned(),
                },
            }
        })
    };
    let url = database.url();
    let missing = message(&url.replace("/glance?", "/absent?"));
    assert!(missing.starts_with("database \"absent\" on ") && missing.ends_with(" does not exist"), "{missing}");
    let stranger = message(&url.replace("glance@", "stranger@"));
    assert!(stranger.contains("the server does not let this user in (role \"stranger\" does not exist)"), "{stranger}");
    let tables = message(&url);
    assert!(tables.contains("relation \"images\" does not exist") && !tables.contains("at line"), "{tables}");
    let away = message("postgresql://glance@127.0.0.1:1/glance");
    assert!(away.starts_with("the database cannot be reached"), "{away}");

    let database = Database::start(Kind::MariaDb);
    let url = database.url();
    let missing = message(&url.replace("/glance?", "/absent?"));
    assert!(missing.starts_with("database \"absent\" on ") && missing.ends_with(" does not exist"), "{missing}");
    let stranger = message(&url.replace("root@", "stranger:secret@"));
    assert!(
        stranger.contains("does not know the user, or the password is wrong") && !stranger.contains("secret"),
        "{stranger}"
    );
    let tables = message(&url);
    assert!(tables.contains("doesn't exist"), "{tables}");
}

#[test]
fn more_filters_than_a_database_bears_are_refused_in_words() {
    let server = Server::simple();
    let list = |count: usize| Request::new("GET", &format!("/v2/images?{}", vec!["tag=a"; count].join("&")));
    server.send(&list(64)).expect(200);
    for count in [65, 1000, 1500] {
        let answer = server.send(&list(count)).expect(400);
        assert!(answer.text().contains("tags and properties, at most 64 are allowed"), "{}", answer.text());
    }
    let properties: Vec<String> = (0..1000).map(|number| format!("p{number}=v")).collect();
    server.send(&Request::new("GET", &format!("/v2/images?{}", properties.join("&")))).expect(400);
}
