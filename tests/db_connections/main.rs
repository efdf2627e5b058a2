//! How the database is reached: addresses, TLS, option files, poolers and proxies in between, clusters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

extern crate glance_api;

#[path = "../common/mod.rs"]
mod common;
#[path = "../db_suite/mod.rs"]
mod db_suite;

mod between;
mod galera;
mod mariadb;
mod postgresql;

use std::path::Path;

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::NewImage;
use glance_api::db::{Db, DbError, images};

/// Connects; the URL may be wrong, or nobody there.
async fn try_connect(url: &str) -> Result<Db, DbError> {
    let connection = Some(Secret::from(url));
    Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await
}

async fn connect(url: &str) -> Db {
    try_connect(url).await.unwrap_or_else(|error| panic!("{url}: {error:?}"))
}

/// The error of a connection that must not come about, in words.
async fn refusal(url: &str) -> String {
    match try_connect(url).await {
        Ok(_) => panic!("{url} was taken"),
        Err(error) => format!("{error}: {error:?}"),
    }
}

/// Makes an image, and says its id.
async fn create(db: &Db) -> String {
    let id = db_suite::uuid();
    images::create(db, NewImage::new(&id)).await.unwrap();
    id
}

async fn is_there(db: &Db, id: &str) -> bool {
    images::get(db, id, false).await.unwrap().is_some()
}

/// The driver adds a list of public authorities to those that are named.
#[test]
fn no_authority_is_trusted_that_nobody_has_named() {
    assert!(webpki_roots::TLS_SERVER_ROOTS.is_empty());
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> String {
    std::fs::write(path, text).unwrap();
    path.display().to_string()
}
