//! Upstream's tables on SQLite, PostgreSQL and MySQL.
//!
//! [`Db`] holds the pools. What can be done with a kind of row is in the module of that kind, one file for each verb:
//! [`cache`], [`images`], [`locations`], [`members`], [`metadefs`], [`tags`], [`tasks`]. Statements are built once and rendered for the
//! dialect at hand.
//!
//! Every operation is bounded in time and repeated after deadlocks and lost connections where that is safe. A write is
//! one transaction that runs to its end even if the caller stops waiting.

pub mod cache;
pub mod images;
pub mod locations;
pub mod members;
pub mod metadefs;
pub(crate) mod migrations;
pub mod model;
pub(crate) mod schema;
pub mod tags;
pub mod tasks;

mod address;
mod backend;
mod cell;
mod children;
mod cipher;
pub(crate) mod clock;
mod connection;
mod connector;
mod dialect;
mod error;
mod failure;
mod gathering;
mod in_line;
mod of_ids;
mod pool;
pub(crate) mod purge;
mod replica;
pub(crate) mod reserved;
mod retry;
mod row;
mod session;
mod sql;
mod statement;
pub(crate) mod unreadable;

pub use address::identity;
pub use cipher::LocationCipher;
pub use connection::Db;
pub use dialect::Dialect;
pub use error::DbError;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
