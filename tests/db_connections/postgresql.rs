//! PostgreSQL: libpq's parameters, TLS, poolers, proxies.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use glance_api::db::model::ImageUpdate;
use glance_api::db::{Db, images};
use serde_json::json;
use tokio::task::JoinSet;

use crate::between::Between;
use crate::common::certificates::{Authority, Pair};
use crate::common::database::Server;
use crate::common::{Request, free_port};
use crate::{common, connect, create, db_suite, is_there, refusal, try_connect, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let port = free_port();
    let server = Server::on_port(port, |folder| {
        let Pair { certificate, key } = authority.issue();
        let (certificate, key) =
            (write(&folder.join("server.crt"), certificate), write(&folder.join("server.key"), key));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        // Who the server runs as must own its key.
        let _ = Command::new("chown").args(["postgres", &key]).status().unwrap();
        let settings = ["ssl=on".to_owned(), format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")];
        settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect()
    });
    connect(&server.url()).await.create_schema().await.unwrap();

    addresses(&server, port).await;
    let ca = write(&server.folder().join("ca.pem"), authority.pem());
    let other = write(&server.folder().join("other.pem"), stranger.pem());
    tls(port, &ca, &other).await;
    // A pooler that refuses settings which it does not know, as it comes, and one that drops them.
    let bouncer = Between::pgbouncer(server.folder(), port, "");
    pooled(&bouncer).await;
    suite_behind_a_pooler(&bouncer).await;
    tokio::task::block_in_place(|| upgrades_behind_a_pooler(&server, port));
    pooled(&Between::pgbouncer(server.folder(), port, "ignore_startup_parameters = options")).await;
    tokio::task::block_in_place(|| service_behind_a_pooler(&bouncer));
    idle_connections_are_cut(&server).await;
}

async fn addresses(server: &Server, port: u16) {
    let dead = free_port();
    let db = connect(&format!("postgresql+psycopg2://glance@127.0.0.1:{dead},localhost:{port}/glance")).await;
    let id = create(&db).await;
    for url in [
        format!("postgresql:///glance?host=127.0.0.1,127.0.0.1&port={dead},{port}&user=glance"),
        format!("postgresql+psycopg2://glance@/glance?host=127.0.0.1:{dead}&host=localhost:{port}"),
        format!("postgresql+psycopg://glance@localhost:{port}/glance?target_session_attrs=primary"),
    ] {
        assert!(is_there(&connect(&url).await, &id).await, "{url}");
    }
    // A service of libpq.
    let services = write(
        &server.folder().join("services"),
        format!("[images]\nhost=127.0.0.1\nport={port}\ndbname=glance\nuser=glance\n"),
    );
    let url = format!("postgresql:///?service=images&servicefile={services}");
    assert!(is_there(&connect(&url).await, &id).await);

    // Another schema has other images.
    server.sql("CREATE SCHEMA other");
    let url = format!("postgresql+psycopg2://glance@localhost:{port}/glance?options=-csearch_path%3Dother");
    let db = connect(&url).await;
    assert!(db.check_schema().await.unwrap_err().to_string().contains("the database is empty"));
    db.create_schema().await.unwrap();
    assert!(!is_there(&db, &id).await);
    assert!(is_there(&db, &create(&db).await).await);

    server.sql("CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on");
    let reader = format!("postgresql://reader@localhost:{port}/glance?connect_timeout=5&target_session_attrs=");
    let text = refusal(&format!("{reader}read-write")).await;
    assert!(text.contains("target_session_attrs"), "{text}");
    connect(&format!("{reader}read-only")).await;
    connect(&format!("{reader}prefer-standby")).await;
}

async fn tls(port: u16, ca: &str, other: &str) {
    let at = |host: &str, query: &str| format!("postgresql+psycopg2://glance@{host}:{port}/glance?{query}");
    for (host, query) in [
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}")),
        // A certificate that does not satisfy: then without, as libpq has it.
        ("localhost", format!("sslmode=prefer&sslrootcert={other}")),
    ] {
        connect(&at(host, &query)).await;
    }
    for (host, query) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}")),
        ("localhost", format!("sslmode=require&sslrootcert={other}")),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned()),
    ] {
        let text = refusal(&at(host, &query)).await;
        assert!(text.contains("certificate") || text.contains("verify"), "{query}: {text}");
    }
}

/// More clients than the pooler has connections, each with statements of its own.
async fn pooled(bouncer: &Between) {
    let url = format!("postgresql+psycopg2://glance@127.0.0.1:{}/glance", bouncer.port);
    let dbs = [connect(&url).await, connect(&url).await];
    let mut work = JoinSet::new();
    for number in 0..8_usize {
        let db = dbs[number % 2].clone();
        work.spawn(async move { changes(&db, number).await });
    }
    work.join_all().await;
}

/// What every database must do, while another client uses the same connections.
async fn suite_behind_a_pooler(bouncer: &Between) {
    let url = format!("postgresql+psycopg2://glance@127.0.0.1:{}/glance", bouncer.port);
    let (db, other) = (connect(&url).await, connect(&url).await);
    tokio::join!(db_suite::run(&db), async {
        for _ in 0..20 {
            create(&other).await;
        }
    });
}

/// Two hosts make the tables at the same time; one waits for the other. Then from the first revision on, with rows.
fn upgrades_behind_a_pooler(server: &Server, port: u16) {
    server.make("fresh", None);
    let bouncer = Between::pgbouncer_for(server.folder(), port, "fresh", "default_pool_size = 4");
    let url = format!("postgresql+psycopg2://glance@127.0.0.1:{}/fresh", bouncer.port);
    let conf = |name: &str, text: String| write(&server.folder().join(name), text);
    let run = |conf: &str, arguments: &[&str]| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_glance-manage"));
        tool.args(["--config-file", conf]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        tool.spawn().unwrap()
    };
    let file = conf("fresh.conf", format!("[database]\nconnection = {url}\n"));
    let tool = |arguments: &[&str]| run(&file, arguments);
    let succeeds = |tool: Child| {
        let done = tool.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap()
    };
    succeeds(tool(&["db", "upgrade", "mitaka02"]));
    // With one connection, of the pooler or of the tool itself, nobody waits for ever.
    let narrow =
        Between::pgbouncer_for(server.folder(), port, "fresh", "default_pool_size = 1\nquery_wait_timeout = 0");
    let narrow = format!("postgresql+psycopg2://glance@127.0.0.1:{}/fresh", narrow.port);
    let own = format!("{url}\nmax_pool_size = 1\nmax_overflow = 0\npool_timeout = 2");
    for (name, url) in [("narrow.conf", narrow), ("own.conf", own)] {
        let done = run(&conf(name, format!("[database]\nconnection = {url}\n")), &["db", "sync"]).wait_with_output();
        let (done, text) = done.map(|done| (done.status, String::from_utf8(done.stderr).unwrap())).unwrap();
        assert!(!done.success() && text.contains("need two connections"), "{name}: {text}");
    }
    assert!(succeeds(tool(&["db", "version"])).contains("mitaka02"));
    let said: Vec<String> = [0, 1, 2].map(|_| tool(&["db", "sync"])).into_iter().map(succeeds).collect();
    assert!(said.iter().all(|text| text.contains("Database is synced successfully.")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("wait")), "nobody had to wait: {said:?}");
    assert!(succeeds(tool(&["db", "check"])).contains("up to date"));
    succeeds(tool(&["db", "version_control", "liberty"]));
    assert!(succeeds(tool(&["db", "version"])).contains("liberty"));
}

async fn changes(db: &Db, number: usize) {
    for _ in 0..5 {
        let id = create(db).await;
        let name = Some(format!("{number}"));
        let change = ImageUpdate { name: Some(name.clone()), ..ImageUpdate::default() };
        images::update(db, &id, change, Some(&["queued"])).await.unwrap();
        assert_eq!(images::get(db, &id, false).await.unwrap().unwrap().name, name);
        images::delete(db, &id, "deleted", Some(&["queued"])).await.unwrap();
        assert!(!is_there(db, &id).await);
    }
}

/// The program itself starts and serves.
fn service_behind_a_pooler(bouncer: &Between) {
    let url = format!("postgresql+psycopg2://glance@127.0.0.1:{}/glance", bouncer.port);
    let service = common::Server::with(|conf| conf.set("database.connection", url));
    let image = json!({"name": "pooled", "disk_format": "raw", "container_format": "bare"});
    for _ in 0..5 {
        let made = service.send(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
        let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
        assert_eq!(service.send(&Request::new("GET", &path)).expect(200).json()["name"], "pooled");
        service.send(&Request::new("GET", "/v2/images?name=pooled")).expect(200);
        service.send(&Request::new("DELETE", &path)).expect(204);
    }
    service.log_with("by way of a pooler");
}

/// Nobody notices that a proxy cuts what is idle, neither with one connection nor with several.
async fn idle_connections_are_cut(server: &Server) {
    let socket = server.socket();
    let proxy = Between::haproxy(server.folder(), &[&socket], 700);
    let db = connect(&format!("postgresql+psycopg2://glance@127.0.0.1:{}/glance", proxy.port)).await;
    cut_when_idle(&db).await;
    drop(proxy);
    assert!(try_connect(&server.url()).await.is_ok());
}

pub(crate) async fn cut_when_idle(db: &Db) {
    for _ in 0..3 {
        let mut work = JoinSet::new();
        for _ in 0..4 {
            let db = db.clone();
            work.spawn(async move { create(&db).await });
        }
        let made = work.join_all().await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        for id in made {
            assert!(is_there(db, &id).await);
        }
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
}
