//! Connections to MySQL and MariaDB.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, MySqlConnection};

use super::{CONNECT_LIMIT, Connected, Connector, first_of};
use crate::db::address::MySqlAddress;

pub(in crate::db) struct MySqlConnector {
    address: MySqlAddress,
    /// What is set in each connection.
    settings: Arc<str>,
    /// The server that is tried first.
    first: AtomicUsize,
    /// There are nodes of Galera. Once found, they are taken for granted.
    is_galera: Arc<AtomicBool>,
}

impl MySqlConnector {
    /// `settings` stand behind those of the address, as in `SET`.
    pub(in crate::db) fn new(mut address: MySqlAddress, settings: Vec<String>) -> Self {
        address.settings.extend(settings);
        let settings = format!("SET {}", address.settings.join(", ")).into();
        Self { address, settings, first: AtomicUsize::new(0), is_galera: Arc::default() }
    }

    /// Becomes true before the first connection to a node of Galera is given out.
    pub(in crate::db) fn is_galera(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_galera)
    }

    fn one_limit(&self) -> Duration {
        self.address.connect_timeout.unwrap_or(CONNECT_LIMIT)
    }

    async fn connect_to(&self, server: usize) -> Result<MySqlConnection, sqlx::Error> {
        let connect = self.address.servers.get(server).ok_or(sqlx::Error::PoolClosed)?;
        let mut connection = connect.connect().await?;
        connection.execute(AssertSqlSafe(Arc::clone(&self.settings))).await?;
        if let Some(command) = &self.address.init_command {
            connection.execute(AssertSqlSafe(command.clone())).await?;
        }
        if !self.is_galera.load(Ordering::SeqCst) {
            // Other servers of the family have it switched off, or do not know it.
            let look = sqlx::raw_sql("SHOW VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON'");
            if connection.fetch_optional(look).await?.is_some() {
                self.is_galera.store(true, Ordering::SeqCst);
            }
        }
        Ok(connection)
    }
}

impl Connector<MySqlConnection> for MySqlConnector {
    fn connect(&self) -> BoxFuture<'_, Result<Connected<MySqlConnection>, sqlx::Error>> {
        let count = self.address.servers.len();
        let first = self.first.load(Ordering::Relaxed);
        let order = (0..count).map(|number| (first + number) % count).collect();
        Box::pin(first_of(order, self.one_limit(), |server| self.connect_to(server)))
    }

    fn limit(&self) -> Duration {
        self.one_limit().saturating_mul(u32::try_from(self.address.servers.len()).unwrap_or(u32::MAX))
    }

    fn avoid(&self, server: usize) {
        let next = (server + 1) % self.address.servers.len().max(1);
        // Whoever finds it unfit at the same moment must not turn on to the one after.
        let _ = self.first.compare_exchange(server, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}
