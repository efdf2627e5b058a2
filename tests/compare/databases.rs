//! The databases of both sides: a file of SQLite for each, or with `GLANCE_COMPARE_DATABASE=postgresql` or `mariadb` a database for each on
//! a server that the tests share.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use crate::common::Conf;
use crate::common::database::{Kind, Server};

/// The server, and how many databases it was asked for. It ends with the last test that uses it.
#[derive(Default)]
struct Shared {
    server: Weak<Server>,
    count: usize,
}

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

/// The configuration with a database that has tables and no rows, and what keeps its server running.
pub(crate) fn with_database(conf: Conf) -> (Conf, Option<Arc<Server>>) {
    let kind = match std::env::var("GLANCE_COMPARE_DATABASE").as_deref() {
        Err(_) | Ok("" | "sqlite") => return (conf, None),
        Ok("postgresql") => Kind::Postgres,
        Ok("mariadb") => Kind::MariaDb,
        Ok(other) => panic!("GLANCE_COMPARE_DATABASE is sqlite, postgresql or mariadb, not {other}"),
    };
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let shared = shared.get_or_insert_default();
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
    let mut tool = Command::new(env!("CARGO_BIN_EXE_glance-manage"));
    let made = tool.arg("--config-file").arg(&file).args(["db", "sync"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::remove_file(file).unwrap();
}
