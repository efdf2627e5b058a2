//! What lies in the image caches of the nodes of a cloud (`node_reference`, `cached_images`), as the cache driver `centralized_db`
//! keeps it.
//!
//! A node is named by the URL by which others reach it (`worker_self_reference_url`).

mod change;
mod find;
mod model;

pub use change::{add, add_unknown, count_hits, register_node, remove, remove_all};
pub use find::{get, least_recently_accessed, list, nodes};
pub use model::{CachedImageRecord, NewCachedImage};

use sea_query::{Expr, ExprTrait, Query, SelectStatement};

/// The id of a node, as a query that has one row at most.
fn node_id(node: &str) -> SelectStatement {
    Query::select().column("node_reference_id").from("node_reference").and_where(has_url(node)).take()
}

fn has_url(node: &str) -> Expr {
    Expr::col(("node_reference", "node_reference_url")).eq(node)
}
