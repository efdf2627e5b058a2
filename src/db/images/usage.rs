//! What the images of an owner take up (`_image_get_disk_usage_by_owner` and its neighbours in
//! `glance/db/sqlalchemy/api.py`).

use sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement};

use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::model::ON_THEIR_WAY;
use crate::db::reserved::{self, DATA_SIZE, IMPORTING};
use crate::db::retry::UnitOfWork;
use crate::db::row::Columns;
use crate::db::session::Session;

const GONE: [&str; 3] = ["killed", "deleted", "pending_delete"];

/// Whose images are counted; `None` is nobody's.
pub type Owner = Option<String>;

/// What is added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Bytes in stores: the size of each image times its locations that are not deleted.
    Stored {
        /// An image that is left out of the sum.
        but: Option<String>,
        /// Whether all locations count whose data is still on its way, as upstream counts them. Else only those of images of
        /// which nobody has said how much is to come: [`Self::InFlight`] has the others.
        placeholders: bool,
    },
    /// Bytes that are on their way into stores, as far as whoever writes them has [said so](super::announce_size).
    InFlight {
        /// As above.
        but: Option<String>,
    },
    /// Bytes that are being staged: the sizes of images that are uploading, importing or being copied.
    Staged,
    /// Images that are neither deleted nor to be deleted.
    Images,
    /// Images that are saving, uploading, importing or being copied.
    Uploading,
}

/// The sum over the images of these owners.
pub async fn used(db: &Db, owners: &[Owner], measure: Measure) -> Result<i64, DbError> {
    db.read(Usage { owners: owners.to_vec(), measure }).await
}

struct Usage {
    owners: Vec<Owner>,
    measure: Measure,
}

impl UnitOfWork for Usage {
    type Output = i64;
    const NAME: &'static str = "sum up usage";

    async fn run(&self, session: &mut Session) -> Result<i64, DbError> {
        let dialect = session.dialect();
        let mut query = Query::select();
        query.from("images").and_where(self.is_owned());
        match &self.measure {
            Measure::Stored { but, placeholders } => {
                query.expr(sum_of_sizes(dialect));
                query.inner_join("image_locations", column("id").eq(Expr::col(("image_locations", "image_id"))));
                let status = || Expr::col(("image_locations", "status"));
                query.and_where(status().ne("deleted"));
                if !placeholders {
                    query.and_where(status().is_not_in(ON_THEIR_WAY).or(Expr::exists(announced(dialect)).not()));
                }
                query.and_where(column("size").gt(0)).and_where(column("status").is_not_in(GONE));
                query.and_where_option(but.as_deref().map(|id| column("id").ne(id)));
            }
            Measure::InFlight { but } => {
                query.column(("image_properties", "value"));
                query.inner_join("image_properties", column("id").eq(Expr::col(("image_properties", "image_id"))));
                query.and_where(reserved::is_named(dialect, &DATA_SIZE));
                query.and_where(busy(dialect, &["saving", "importing"]));
                query.and_where_option(but.as_deref().map(|id| column("id").ne(id)));
                // As many as there are uploads at this moment.
                let announced = session.rows(&query, |row| Columns::of(row).maybe_text()).await?;
                let bytes = announced.into_iter().flatten().filter_map(|text| text.parse::<i64>().ok());
                return Ok(bytes.fold(0, i64::saturating_add));
            }
            Measure::Staged => {
                query.expr(sum_of_sizes(dialect)).and_where(column("size").gt(0));
                query.and_where(busy(dialect, &["uploading", "importing"]));
            }
            Measure::Images => {
                query.expr(Expr::cust("COUNT(*)")).and_where(column("status").is_not_in(GONE));
            }
            Measure::Uploading => {
                query.expr(Expr::cust("COUNT(*)")).and_where(busy(dialect, &["saving", "uploading", "importing"]));
            }
        }
        Ok(session.row(&query, |row| Columns::of(row).maybe_integer()).await?.flatten().unwrap_or(0))
    }
}

impl Usage {
    fn is_owned(&self) -> Expr {
        let known: Vec<&str> = self.owners.iter().flatten().map(String::as_str).collect();
        let is_known = column("owner").is_in(known);
        if self.owners.contains(&None) { is_known.or(column("owner").is_null()) } else { is_known }
    }
}

fn column(name: &'static str) -> Expr {
    Expr::col(("images", name))
}

/// A sum of 64-bit integers is a decimal on the servers.
fn sum_of_sizes(dialect: Dialect) -> Expr {
    let kind = match dialect {
        Dialect::Sqlite => "INTEGER",
        Dialect::Postgres => "BIGINT",
        Dialect::MySql => "SIGNED",
    };
    column("size").sum().cast_as(Alias::new(kind))
}

/// In one of the states, or not gone and being copied.
fn busy(dialect: Dialect, states: &[&'static str]) -> Expr {
    let copying = column("status").is_not_in(GONE).and(column("id").in_subquery(copied(dialect)));
    column("status").is_in(states.iter().copied()).or(copying)
}

/// That somebody has said how much is to come of an image.
fn announced(dialect: Dialect) -> SelectStatement {
    Query::select()
        .expr(Expr::cust("1"))
        .from("image_properties")
        .and_where(Expr::col(("image_properties", "image_id")).eq(column("id")))
        .and_where(reserved::is_named(dialect, &DATA_SIZE))
        .take()
}

/// A property row that is deleted counts too, as upstream's query has it; its value is empty when the copy is over.
fn copied(dialect: Dialect) -> SelectStatement {
    Query::select()
        .column("image_id")
        .from("image_properties")
        .and_where(reserved::is_named(dialect, &[IMPORTING]))
        .and_where(Expr::col("value").ne(""))
        .take()
}
