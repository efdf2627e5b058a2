//! Upstream's tables on SQLite, PostgreSQL and MySQL.

pub mod model;
