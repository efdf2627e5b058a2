//! The databases of services that are compared: a file of SQLite for each, or with `GLANCE_COMPARE_DATABASE=postgresql` or `mariadb` a database
//! for each on a server that the tests of a program share.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::database::{Kind, Server};
use super::{Conf, pause};

const SQLITE: &str = "sqlite";

/// The server, and how many databases it was asked for. It ends with the last test that uses it.
#[derive(Default)]
struct Shared {
    server: Weak<Server>,
    count: usize,
}

/// By the kind of database.
static SHARED: Mutex<BTreeMap<&'static str, Shared>> = Mutex::new(BTreeMap::new());

/// The kind of database of this run.
pub(crate) fn name() -> &'static str {
    name_or(SQLITE)
}

/// The same; `usual` where nobody has chosen one.
pub(crate) fn name_or(usual: &'static str) -> &'static str {
    match std::env::var("GLANCE_COMPARE_DATABASE").as_deref() {
        Err(_) | Ok("") => usual,
        Ok("sqlite") => SQLITE,
        Ok("postgresql") => "postgresql",
        Ok("mariadb") => "mariadb",
        Ok(other) => panic!("GLANCE_COMPARE_DATABASE is sqlite, postgresql or mariadb, not {other}"),
    }
}

/// Whether the database is a server's.
pub(crate) fn is_server() -> bool {
    name() != SQLITE
}

/// Where times are kept in whole seconds, waits until the next one, so that what is made from then on has a later time.
pub(crate) fn wait_for_another_time() {
    if name() == "mariadb" {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        pause(Duration::from_millis(1000 - u64::from(now.subsec_millis())));
    }
}

/// The configuration with a database that has tables and no rows, and what keeps its server running.
pub(crate) fn with_database(conf: Conf) -> (Conf, Option<Arc<Server>>) {
    with_database_of(name(), conf)
}

/// The same for a kind of database.
pub(crate) fn with_database_of(name: &'static str, conf: Conf) -> (Conf, Option<Arc<Server>>) {
    let kind = match name {
        "postgresql" => Kind::Postgres,
        "mariadb" => Kind::MariaDb,
        _ => return (conf, None),
    };
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let shared = shared.entry(name).or_default();
    let server = shared.server.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start(kind));
        make_tables(&server, &conf.dir);
        shared.server = Arc::downgrade(&server);
        server
    });
    shared.count += 1;
    let name = format!("side{}", shared.count);
    server.make(&name, Some("glance"));
    (conf.set("database.connection", server.url_of(&name)), Some(server))
}

fn make_tables(server: &Server, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let file = folder.join("tables.conf");
    std::fs::write(&file, format!("[database]\nconnection = {}\n", server.url())).unwrap();
    manage(&file, &["db", "sync"]);
    std::fs::remove_file(file).unwrap();
}

/// Runs `glance-manage` on the database that a configuration file names.
pub(crate) fn manage(file: &Path, arguments: &[&str]) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_glance-manage"));
    let done = tool.arg("--config-file").arg(file).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
