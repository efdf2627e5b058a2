//! How a connection is made: to which of the servers, in which way, and what makes it fit for use.

mod mysql;
mod postgres;

use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::time::timeout;

use super::failure::Cause;
pub(super) use mysql::MySqlConnector;
pub(super) use postgres::PostgresConnector;

/// How long a server may take to let us in where nothing else is said: PyMySQL's default for `connect_timeout`.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Makes connections for a pool.
pub(super) trait Connector<C>: Send + Sync {
    /// A new connection that is fit for use.
    fn connect(&self) -> BoxFuture<'_, Result<Connected<C>, sqlx::Error>>;

    /// Within what time [`Self::connect`] has an outcome.
    fn limit(&self) -> Duration;

    /// This server has said that it cannot serve at present. Others are tried before it from now on.
    fn avoid(&self, _server: usize) {}
}

/// A connection, and the number of the server that it leads to.
pub(super) struct Connected<C> {
    pub(super) connection: C,
    pub(super) server: usize,
}

impl Connector<SqliteConnection> for SqliteConnectOptions {
    fn connect(&self) -> BoxFuture<'_, Result<Connected<SqliteConnection>, sqlx::Error>> {
        Box::pin(async move {
            let connection = within(CONNECT_LIMIT, ConnectOptions::connect(self)).await?;
            Ok(Connected { connection, server: 0 })
        })
    }

    fn limit(&self) -> Duration {
        CONNECT_LIMIT
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        let words = format!("no answer within {} s", limit.as_secs());
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, words)))
    })
}

/// Whether another server may do better. One that answers and refuses the user speaks for all, as libpq has it.
fn is_worth_another(error: &sqlx::Error) -> bool {
    matches!(Cause::of(error), Cause::Disconnect | Cause::Unfit)
}

/// Tries the servers one after the other, and gives the last failure if none can be had.
async fn first_of<C, F>(
    order: Vec<usize>,
    limit: Duration,
    connect: impl Fn(usize) -> F,
) -> Result<Connected<C>, sqlx::Error>
where
    F: Future<Output = Result<C, sqlx::Error>>,
{
    let mut failure = sqlx::Error::Io(std::io::Error::other("there is no server"));
    for server in order {
        match within(limit, connect(server)).await {
            Ok(connection) => return Ok(Connected { connection, server }),
            Err(error) if is_worth_another(&error) => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn the_next_server_is_tried_after_one_that_is_away() {
        let tried = Mutex::new(Vec::new());
        let connect = |server| {
            tried.lock().unwrap().push(server);
            async move {
                match server {
                    0 => Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into())),
                    1 => std::future::pending().await,
                    2 => Ok("connected"),
                    _ => Err(sqlx::Error::RowNotFound),
                }
            }
        };
        let limit = Duration::from_millis(20);
        let found = first_of(vec![0, 1, 2, 3], limit, connect).await.unwrap();
        assert_eq!((found.connection, found.server), ("connected", 2));
        assert!(matches!(first_of(vec![1, 3, 2], limit, connect).await, Err(sqlx::Error::RowNotFound)));
        assert!(
            matches!(first_of(vec![0, 1], limit, connect).await, Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut)
        );
        assert_eq!(*tried.lock().unwrap(), [0, 1, 2, 1, 3, 0, 1]);
    }
}
