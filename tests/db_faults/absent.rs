//! Databases that are away, silent, busy, or not what the configuration says.

use std::cell::RefCell;
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::{Db, images};

use crate::common::database::{Kind, Server as Database};
use crate::common::service_manager::ServiceManager;
use crate::common::{Conf, Request, Server, http, pause, wait_for};
use crate::{Rig, image, patch, uuid};

/// When the service told its manager that it lives.
struct SignsOfLife {
    manager: ServiceManager,
    heard: RefCell<Vec<Instant>>,
}

impl SignsOfLife {
    /// As `WatchdogSec=`: the service gives a sign each third of it.
    const WATCHDOG: Duration = Duration::from_millis(600);
    /// Silence that no load of the machine explains: fifty signs are missing.
    const SILENCE: Duration = Duration::from_secs(10);

    /// The configuration of a service that has a watchdog, and who hears it.
    fn of(conf: Conf) -> (Self, Conf) {
        let socket = conf.dir.join("notify");
        let manager = ServiceManager::at(&socket);
        let conf = conf.variable("NOTIFY_SOCKET", socket.display());
        (Self { manager, heard: RefCell::default() }, conf.variable("WATCHDOG_USEC", Self::WATCHDOG.as_micros()))
    }

    /// How many there were up to now.
    fn count(&self) -> usize {
        let mut heard = self.heard.borrow_mut();
        while let Some((time, said)) = self.manager.next(Duration::ZERO) {
            if said.lines().any(|line| line == "WATCHDOG=1") {
                heard.push(time);
            }
        }
        heard.len()
    }

    /// Waits for some more of them.
    fn go_on(&self) {
        let before = self.count();
        wait_for("signs of life", Duration::from_secs(30), || (self.count() >= before + 10).then_some(()));
    }

    fn longest_silence(&self) -> Duration {
        self.count();
        self.heard.borrow().windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
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
        assert!(silence < SignsOfLife::SILENCE, "{silence:?}");
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

/// What the operator reads whose configuration has this database.
fn told(url: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.conf");
    std::fs::write(&file, format!("[database]\nconnection = {url}\nmax_retries = 0\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_glance-api"));
    let output =
        command.args(["--check-config", "--config-file"]).arg(file).env_clear().env("HOME", home.path()).output();
    String::from_utf8(output.unwrap().stderr).unwrap()
}

#[test]
fn what_a_server_says_is_told_without_lines_of_its_source() {
    let database = Database::start(Kind::Postgres);
    database.sql("CREATE ROLE few LOGIN CONNECTION LIMIT 0");
    let place = format!("\"glance\" on {} (port 5432)", database.folder().display());
    let expected = format!(
        "database: the database cannot be reached (code 53300): {place}: too many connections for role \"few\"\n"
    );
    assert_eq!(told(&database.url().replace("glance@", "few@")), expected);
    for (code, meaning) in [("57014", "the database refused a statement"), ("53100", "the database has no space left")]
    {
        database.sql(&format!(
            "CREATE OR REPLACE FUNCTION fail() RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN RAISE 'not today' USING ERRCODE = '{code}'; END $$; \
             CREATE OR REPLACE VIEW alembic_version AS SELECT fail() AS version_num"
        ));
        assert_eq!(told(&database.url()), format!("database: {meaning} (code {code}): not today\n"));
    }
}
