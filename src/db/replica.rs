//! The replica of `slave_connection`, for reads that may lag behind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backend::Backend;
use super::error::DbError;

/// A replica that failed is not asked for so long.
const REST: Duration = Duration::from_secs(30);

pub(super) struct Replica {
    pub(super) backend: Backend,
    /// For error texts.
    pub(super) label: Arc<str>,
    rests_until: Mutex<Option<Instant>>,
}

impl Replica {
    pub(super) fn new(backend: Backend, label: Arc<str>) -> Self {
        Self { backend, label, rests_until: Mutex::default() }
    }

    /// Whether to ask it.
    pub(super) fn is_fit(&self) -> bool {
        let mut until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        *until = None;
        true
    }

    /// Takes note of a failure. An answer that it does not know something, which may only be new, is none.
    pub(super) fn note(&self, error: &DbError) {
        let is_away =
            error.is_unavailable() || matches!(error, DbError::Refused(_) | DbError::Tables(_) | DbError::Denied(_));
        if !is_away {
            return;
        }
        let mut until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_none() {
            let pause_s = REST.as_secs();
            tracing::warn!(%error, pause_s, "the replica of the database does not answer; the database itself is asked");
        }
        *until = Some(Instant::now() + REST);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{DatabaseSection, Secret};
    use crate::db::model::NewImage;
    use crate::db::{Db, DbError, images};

    fn section(folder: &std::path::Path, replica: &str) -> DatabaseSection {
        let url = |name: &str| Some(Secret::from(format!("sqlite:///{}/{name}", folder.display()).as_str()));
        DatabaseSection {
            connection: url("main.db"),
            slave_connection: url(replica),
            synchronous_reader: false,
            ..DatabaseSection::default()
        }
    }

    #[tokio::test]
    async fn reads_that_may_lag_ask_the_replica_and_the_database_where_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::connect(&section(folder.path(), "replica.db")).await.unwrap();
        db.create_schema().await.unwrap();
        images::create(&db, NewImage::new("new")).await.unwrap();
        // The replica has no tables yet.
        assert!(images::get(&db.lagging(), "new", false).await.unwrap().is_some());
        assert!(db.lagging().replica_in_use().is_none(), "it rests");

        let db = Db::connect(&section(folder.path(), "replica.db")).await.unwrap();
        db.lagging().create_schema().await.unwrap();
        assert!(images::get(&db, "new", false).await.unwrap().is_some());
        assert!(images::get(&db.lagging(), "new", false).await.unwrap().is_none());
        images::create(&db.lagging(), NewImage::new("old")).await.unwrap();
        assert!(images::get(&db, "old", false).await.unwrap().is_none());

        let lagging = |synchronous_reader| {
            let options = DatabaseSection { synchronous_reader, ..section(folder.path(), "replica.db") };
            async move { Db::connect(&options).await.unwrap().lagging().replica_in_use().is_some() }
        };
        assert!(lagging(false).await);
        assert!(!lagging(true).await);
    }

    #[tokio::test]
    async fn a_replica_that_cannot_be_had_is_no_reason_not_to_start_and_a_wrong_address_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Db::connect(&section(folder.path(), "no/such/folder.db")).await.is_ok());
        let mut options = section(folder.path(), "replica.db");
        options.slave_connection = Some(Secret::from("oracle://u:s3cret@h/n"));
        let error = Db::check(&options).unwrap_err();
        assert!(matches!(error, DbError::ReplicaUrl(_)), "{error:?}");
        assert!(error.to_string().starts_with("[database] slave_connection: "), "{error}");
        options.synchronous_reader = true;
        assert!(Db::check(&options).is_err());
    }
}
