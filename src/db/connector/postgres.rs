//! Connections to PostgreSQL, perhaps by way of a pooler.
//!
//! A pooler such as PgBouncer may give each transaction another connection to the server. Then a statement that was prepared in one
//! transaction is absent, or another client's, in the next: statements must not keep a name, and each must run in a transaction,
//! so that it is parsed and executed by the same server process. Whether there is a pooler is found out at each new connection by a
//! setting with a random value that is sent along with the request to connect: a server has it in force, a pooler refuses or drops it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection, Row};

use super::{CONNECT_LIMIT, Connected, Connector, first_of};
use crate::db::address::{PostgresAddress, PostgresServer, SessionKind};

/// The setting that only a server itself keeps. A name with a dot is free for everybody's use.
const MARK: &str = "glance_api.connection";

pub(in crate::db) struct PostgresConnector {
    address: PostgresAddress,
    /// There is a pooler. Once found, it is taken for granted.
    is_pooled: Arc<AtomicBool>,
}

impl PostgresConnector {
    pub(in crate::db) fn new(address: PostgresAddress) -> Self {
        let is_pooled = Arc::new(AtomicBool::new(address.is_pooled));
        Self { address, is_pooled }
    }

    /// Becomes true before the first connection by way of a pooler is given out.
    pub(in crate::db) fn is_pooled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_pooled)
    }

    fn note_pooler(&self) {
        if !self.is_pooled.swap(true, Ordering::SeqCst) {
            tracing::info!("the database is reached by way of a pooler: each statement runs in a transaction");
        }
    }

    fn one_limit(&self) -> Duration {
        self.address.connect_timeout.unwrap_or(CONNECT_LIMIT)
    }

    async fn any(&self, wanted: SessionKind) -> Result<Connected<PgConnection>, sqlx::Error> {
        let mut order: Vec<usize> = (0..self.address.servers.len()).collect();
        if self.address.is_shuffled {
            fastrand::shuffle(&mut order);
        }
        first_of(order, self.one_limit(), |server| self.connect_to(server, wanted)).await
    }

    async fn connect_to(&self, server: usize, wanted: SessionKind) -> Result<PgConnection, sqlx::Error> {
        let PostgresServer { ways } = self.address.servers.get(server).ok_or(sqlx::Error::PoolClosed)?;
        let mut failure = sqlx::Error::PoolClosed;
        for way in ways {
            match self.connect_by(way, wanted).await {
                // Nobody is there, whichever way.
                Err(sqlx::Error::Io(error))
                    if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
                {
                    return Err(sqlx::Error::Io(error));
                }
                Err(error) => failure = error,
                done => return done,
            }
        }
        Err(failure)
    }

    async fn connect_by(&self, way: &PgConnectOptions, wanted: SessionKind) -> Result<PgConnection, sqlx::Error> {
        let mark = format!("{:032x}", fastrand::u128(..));
        let mut connection = if self.is_pooled.load(Ordering::SeqCst) {
            way.connect().await?
        } else {
            match way.clone().options([(MARK, &mark)]).connect().await {
                Err(error) if refuses_settings(&error) => {
                    self.note_pooler();
                    way.connect().await?
                }
                done => done?,
            }
        };
        // Together with that, a server itself is told to plan a statement once for the connection, not for each use: a list's plan
        // takes longer than the list. Which values come makes a difference to the plan of lists by property or tag alone, whose
        // transactions have it otherwise (`Session::begin`). Versions before 12 know no such setting.
        //
        // Nor are the properties and tags of a page's images to be looked for among all that there are: with the default of
        // `random_page_cost`, which is that of turning disks, a plan without values reads tables of up to a thousand rows whole,
        // and compares each row with each image of the page. Whoever has set it otherwise knows better.
        let is_server = format!("pg_catalog.current_setting('{MARK}', true) = '{mark}'");
        let look = format!(
            "SELECT pg_catalog.current_setting('{MARK}', true), pg_catalog.pg_is_in_recovery()::text, \
             pg_catalog.current_setting('transaction_read_only'), \
             CASE WHEN {is_server} AND pg_catalog.current_setting('plan_cache_mode', true) IS NOT NULL \
             THEN pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false) END, \
             CASE WHEN {is_server} AND pg_catalog.current_setting('random_page_cost') = '4' \
             THEN pg_catalog.set_config('random_page_cost', '1.1', false) END"
        );
        let row = connection.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(look))).await?;
        let found: Option<String> = row.try_get(0)?;
        if found.as_deref() != Some(mark.as_str()) {
            self.note_pooler();
        }
        if self.is_pooled.load(Ordering::SeqCst) {
            learn_types(&mut connection).await?;
        }
        let [in_recovery, read_only]: [String; 2] = [row.try_get(1)?, row.try_get(2)?];
        if wanted.is(in_recovery == "true", read_only == "on") {
            return Ok(connection);
        }
        let words = "the server is there, but not what target_session_attrs asks for";
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, words)))
    }
}

/// The driver looks up a type that is not built in when it first meets it, after the statement was parsed and before it is executed;
/// its query drops a statement that has no name. So the first such statement of a connection fails, and it is this one.
async fn learn_types(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql("BEGIN READ ONLY")).await?;
    let query = sqlx::query("SELECT CAST($1 AS image_visibility)").bind("private").persistent(false);
    match connection.fetch_one(query).await {
        // Before the tables are made there is no such type.
        Ok(_) | Err(sqlx::Error::Database(_)) => {}
        Err(error) => return Err(error),
    }
    connection.execute(sqlx::raw_sql("ROLLBACK")).await.map(drop)
}

/// PgBouncer's words for a setting that it does not pass on.
fn refuses_settings(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("08P01") && error.message().contains("unsupported startup parameter")
    })
}

impl Connector<PgConnection> for PostgresConnector {
    fn connect(&self) -> BoxFuture<'_, Result<Connected<PgConnection>, sqlx::Error>> {
        Box::pin(async move {
            let found = self.any(self.address.wanted).await;
            match found {
                Err(_) if self.address.wanted == SessionKind::PreferStandby => self.any(SessionKind::Any).await,
                found => found,
            }
        })
    }

    fn limit(&self) -> Duration {
        let rounds = if self.address.wanted == SessionKind::PreferStandby { 2 } else { 1 };
        let servers = u32::try_from(self.address.servers.len()).unwrap_or(u32::MAX);
        self.one_limit().saturating_mul(servers).saturating_mul(rounds)
    }
}
