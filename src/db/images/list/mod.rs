//! Lists of images: who may see what, filters, order, pages.

mod filter;
mod page;
pub(in crate::db) mod query;
mod scope;
pub(super) mod select;
mod shape;
mod shared;

pub use query::{Comparison, Condition, Direction, ListQuery, Viewer, VisibilityCondition};

pub use crate::db::model::{Column, Kind};

use std::sync::Arc;

use crate::db::children;
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::model::ImageRecord;
use crate::db::retry::UnitOfWork;
use crate::db::row::Columns;
use crate::db::session::Session;

use shape::Which;

/// Most tags and properties by which a list may be filtered. Each is a subquery, and the databases plan, or refuse, what has
/// many of them each in its own way.
pub const MOST_FILTERS: usize = 64;

/// Most values of which columns may have one, in all lists together: more than the longest request line holds by default. Each is a
/// parameter in each part of the statement ([`scope::parts`] makes five at most), of which SQLite takes 32,766 in all, and the
/// servers 65,535.
pub const MOST_VALUES: usize = 6000;

/// The images of one page with their properties, tags and locations, in two queries.
///
/// # Errors
/// [`DbError::MarkerNotFound`] and [`DbError::MarkerNotVisible`] for a marker that names nothing the viewer may see;
/// [`DbError::TooManyFilters`], [`DbError::TooManyValues`].
pub async fn list(db: &Db, query: &ListQuery) -> Result<Vec<ImageRecord>, DbError> {
    let filters = query.tags.len() + query.properties.len();
    if filters > MOST_FILTERS {
        return Err(DbError::TooManyFilters { filters, most: MOST_FILTERS });
    }
    let mut query = query.clone();
    query.drop_repetitions();
    let values = query.listed_values();
    if values > MOST_VALUES {
        return Err(DbError::TooManyValues { values, most: MOST_VALUES });
    }
    let query = Arc::new(query);
    if changes_unnoticed(&query) || depends_on_values(db.dialect(), &query) {
        return Ok(db.snapshot(Page { query, is_one_state: true }).await?.unwrap_or_default());
    }
    match shared::list(db, &query).await? {
        Some(images) => Ok(images),
        // Rare enough for a transaction of its own.
        None => Ok(db.snapshot(Page { query, is_one_state: true }).await?.unwrap_or_default()),
    }
}

/// Whether an image may cease to meet the query though nothing in its own row changes: tags come and go without it, and the page
/// would have an image without the tag that was asked for.
fn changes_unnoticed(query: &ListQuery) -> bool {
    !query.tags.is_empty()
}

/// Whether the best plan depends on the values that are asked for: on how many images have them, or as a long list is looked up and
/// not gone through only where its values are known. On PostgreSQL, only a snapshot's transaction plans each list.
fn depends_on_values(dialect: Dialect, query: &ListQuery) -> bool {
    dialect == Dialect::Postgres && (!query.properties.is_empty() || query.has_long_list())
}

/// Finds the images, then what hangs on them. The result is `None` if an image may have changed between the two queries.
struct Page {
    query: Arc<ListQuery>,
    /// All queries see one state of the database, so that nothing changes in between.
    is_one_state: bool,
}

impl UnitOfWork for Page {
    type Output = Option<Vec<ImageRecord>>;
    const NAME: &'static str = "list images";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let query = &*self.query;
        let sort = query.order();
        let marker = match &query.marker {
            Some(id) => Some(page::marker(session, id, query, &sort).await?),
            None => None,
        };
        if query.limit == 0 {
            return Ok(Some(Vec::new()));
        }
        let marker = marker.as_deref();
        let mut images = Vec::new();
        if session.dialect() == Dialect::Sqlite {
            images = find(session, Which::AmongFirst, query, marker).await?;
        }
        if !images.len().try_into().is_ok_and(|count: u64| count == query.limit) {
            images = find(session, Which::All, query, marker).await?;
        }
        // Some hundreds of images at a time keep the statements far below the limits on parameters.
        for part in images.chunks_mut(1024) {
            if !children::load(session, part).await? && !self.is_one_state {
                return Ok(None);
            }
        }
        Ok(Some(images))
    }
}

async fn find(
    session: &mut Session,
    which: Which,
    query: &ListQuery,
    marker: Option<&[page::Bound]>,
) -> Result<Vec<ImageRecord>, DbError> {
    match shape::statement(session.dialect(), which, query, marker) {
        Some(statement) => session.rows(&statement, |row| Ok(ImageRecord::read(&mut Columns::of(row)))).await,
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_by_tag_sees_one_state() {
        let mut query = ListQuery::new(Viewer::default(), 5);
        query.properties.push(("a".to_owned(), "b".to_owned()));
        assert!(!changes_unnoticed(&query));
        query.tags.push("t".to_owned());
        assert!(changes_unnoticed(&query));
    }

    #[test]
    fn values_that_come_again_are_one() {
        let mut query = ListQuery::new(Viewer::default(), 5);
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        query.conditions.push(Condition::In(Column::Name, texts(&["b", "a", "b", "", "a", ""])));
        query.conditions.push(Condition::Equal(Column::Name, "b".to_owned()));
        query.drop_repetitions();
        assert_eq!(query.conditions[0], Condition::In(Column::Name, texts(&["b", "a", ""])));
        assert_eq!((query.listed_values(), query.has_long_list()), (3, false));
    }

    #[test]
    fn a_list_by_property_is_planned_for_its_values() {
        let mut query = ListQuery::new(Viewer::default(), 5);
        query.conditions.push(Condition::Equal(Column::Name, "n".to_owned()));
        assert!(!depends_on_values(Dialect::Postgres, &query));
        query.properties.push(("a".to_owned(), "b".to_owned()));
        assert!(depends_on_values(Dialect::Postgres, &query));
        assert!(!depends_on_values(Dialect::MySql, &query) && !depends_on_values(Dialect::Sqlite, &query));
    }
}
