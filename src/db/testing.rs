//! What tests of several modules need: a database, and others who hold its connections.

use std::path::Path;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::connection::Db;
use super::session::Session;
use crate::config::{DatabaseSection, Secret};

/// A database in this folder, without images.
pub(super) async fn open(folder: &Path) -> Db {
    let connection = Some(Secret::from(format!("sqlite:///{}/glance.db", folder.display()).as_str()));
    let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
    db.create_schema().await.unwrap();
    db
}

pub(super) async fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(30));
        yield_now().await;
    }
}

/// Holds all connections.
pub(super) async fn hold_all(db: &Db) -> Vec<Session> {
    let mut held = Vec::new();
    while let Ok(session) = timeout(Duration::from_millis(500), db.reader()).await {
        held.push(session.unwrap());
    }
    held
}
