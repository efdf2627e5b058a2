//! Lists of images: who may see what, filters, order, pages.

mod filter;
mod page;
mod scope;

pub use filter::{Column, Comparison, Condition, Kind};
pub use scope::{Viewer, Visibility};

use sea_query::{Cond, Expr, ExprTrait, Query, SelectStatement, UnionType};

use super::{COLUMNS, children, record};
use crate::db::connection::{Db, Dialect};
use crate::db::error::DbError;
use crate::db::model::ImageRecord;
use crate::db::retry::Operation;
use crate::db::row::Columns;
use crate::db::session::Session;

/// Images that [`at_a_glance`] looks at: half a millisecond.
const GLANCE: u64 = 1000;

/// Which images, in which order, how many (`image_get_all` in `glance/db/sqlalchemy/api.py`).
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Who asks.
    pub viewer: Viewer,
    /// Shared images count only if the viewer's membership has this status; `None` is any.
    pub member_status: Option<String>,
    pub visibility: Visibility,
    /// `None` is both. With `Some(false)`, images in the status `killed` are left out too, as upstream does.
    pub deleted: Option<bool>,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The image must have all of these properties with these values.
    pub properties: Vec<(String, String)>,
    /// The image must have all of these tags.
    pub tags: Vec<String>,
    /// Most important first. `created_at` and `id` are added, in [`Self::tie_break`], if they are not there.
    pub sort: Vec<(Column, Direction)>,
    pub tie_break: Direction,
    /// Id of the last image of the page before.
    pub marker: Option<String>,
    /// Most images to return; the caller has capped it.
    pub limit: u64,
}

/// Smallest or largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    #[default]
    Descending,
}

impl ListQuery {
    /// What upstream's API asks for when the client asks for nothing in particular: not deleted, newest first, shared
    /// images only once accepted. Hidden images are in it; the API adds the condition.
    pub fn new(viewer: Viewer, limit: u64) -> Self {
        Self {
            viewer,
            member_status: Some("accepted".to_owned()),
            visibility: Visibility::Default,
            deleted: Some(false),
            conditions: Vec::new(),
            properties: Vec::new(),
            tags: Vec::new(),
            sort: Vec::new(),
            tie_break: Direction::Descending,
            marker: None,
            limit,
        }
    }

    /// Sets the order as upstream makes it from its parameters: no key is `created_at`; no direction is descending, one
    /// direction is for all keys and for the tie-breakers too. With several, keys without one are descending.
    pub fn set_sort(&mut self, keys: &[Column], directions: &[Direction]) {
        let keys = if keys.is_empty() { &[Column::CreatedAt] } else { keys };
        self.tie_break = match directions {
            [one] => *one,
            _ => Direction::Descending,
        };
        let direction = |index: usize| directions.get(index).copied().unwrap_or(self.tie_break);
        self.sort = keys.iter().enumerate().map(|(index, key)| (*key, direction(index))).collect();
    }

    /// The order with the columns that make it unambiguous.
    pub(super) fn order(&self) -> Vec<(Column, Direction)> {
        let mut order: Vec<(Column, Direction)> = Vec::new();
        let ties = [(Column::CreatedAt, self.tie_break), (Column::Id, self.tie_break)];
        for (column, direction) in self.sort.iter().copied().chain(ties) {
            // Once more says nothing new.
            if !order.iter().any(|(known, _)| *known == column) {
                order.push((column, direction));
            }
        }
        order
    }
}

/// The images of one page with their properties, tags and locations, in a constant number of queries.
///
/// # Errors
/// [`DbError::MarkerNotFound`] and [`DbError::MarkerNotVisible`] for a marker that names nothing the viewer may see.
pub async fn list(db: &Db, query: &ListQuery) -> Result<Vec<ImageRecord>, DbError> {
    db.snapshot(query).await
}

impl Operation for ListQuery {
    type Output = Vec<ImageRecord>;
    const NAME: &'static str = "list images";

    async fn run(&self, session: &mut Session) -> Result<Vec<ImageRecord>, DbError> {
        let sort = self.order();
        let marker = match &self.marker {
            Some(id) => Some(page::marker(session, id, self, &sort).await?),
            None => None,
        };
        if self.limit == 0 {
            return Ok(Vec::new());
        }
        let mut images = Vec::new();
        if let Some(glance) = at_a_glance(session.dialect(), self, &sort, marker.as_deref()) {
            images = session.rows(&glance, |row| record(&mut Columns::of(row))).await?;
        }
        if !images.len().try_into().is_ok_and(|count: u64| count == self.limit) {
            let select = select(session.dialect(), self, &sort, marker.as_deref());
            images = session.rows(&select, |row| record(&mut Columns::of(row))).await?;
        }
        // Some hundreds of images at a time keep the statements far below the limits on parameters.
        for part in images.chunks_mut(1024) {
            children::load(session, part).await?;
        }
        Ok(images)
    }
}

/// The query of one page.
///
/// A plain user sees the union of some sets (public images, own ones, shared ones), each of which an index finds. The
/// databases cannot use indexes for an OR of these, and would walk through all images of the cloud. So each set gives its
/// first `limit` images, and the first `limit` of those are the page; the sets are disjoint.
pub(super) fn select(
    dialect: Dialect,
    query: &ListQuery,
    sort: &[(Column, Direction)],
    marker: Option<&[page::Bound]>,
) -> SelectStatement {
    let one = |set: scope::Set| {
        let mut select = Query::select();
        select.columns(COLUMNS).from("images");
        select.cond_where(scope::condition(dialect, &query.viewer, set, false));
        filter::restrict(&mut select, dialect, query);
        if let Some(marker) = marker {
            select.cond_where(page::after(dialect, marker));
        }
        page::order(&mut select, sort);
        select.limit(query.limit).take()
    };
    // Order and limit of a part need a query of their own around it on SQLite.
    let wrapped = |set| Query::select().columns(COLUMNS).from_subquery(one(set), "part").take();
    let mut sets = scope::sets(&query.viewer, &query.visibility, query.member_status.as_deref());
    let Some(last) = sets.pop() else { return one(scope::Set::Nothing) };
    if sets.is_empty() {
        return one(last);
    }
    let mut all = wrapped(last);
    all.unions(sets.into_iter().map(|set| (UnionType::All, wrapped(set))));
    let mut page = Query::select();
    page.columns(COLUMNS).from_subquery(all, "page");
    page::order(&mut page, sort);
    page.limit(query.limit).take()
}

/// On SQLite, a first try that looks at some images along an index of the order, one by one. Where much is visible, the
/// page is full after a few; the sets of [`select`] would all have to be read and sorted, since SQLite does not know which
/// are large. The servers have statistics and choose that way themselves.
///
/// The page is right if it is full: then it holds the first of all images that are visible.
pub(super) fn at_a_glance(
    dialect: Dialect,
    query: &ListQuery,
    sort: &[(Column, Direction)],
    marker: Option<&[page::Bound]>,
) -> Option<SelectStatement> {
    let has_index = matches!(sort.first(), Some((Column::CreatedAt | Column::UpdatedAt, _)));
    if dialect != Dialect::Sqlite || query.viewer.is_admin || !has_index || query.limit > GLANCE / 2 {
        return None;
    }
    let mut newest = Query::select();
    newest.columns(COLUMNS).from("images");
    if let Some(marker) = marker {
        newest.cond_where(page::after(dialect, marker));
    }
    page::order(&mut newest, sort);
    newest.limit(GLANCE);
    let sets = scope::sets(&query.viewer, &query.visibility, query.member_status.as_deref());
    let any = |any: Cond, set| any.add(scope::condition(dialect, &query.viewer, set, true));
    let mut select = Query::select();
    select.columns(COLUMNS).from_subquery(newest, "images").cond_where(sets.into_iter().fold(Cond::any(), any));
    filter::restrict(&mut select, dialect, query);
    // They come as they are found, in the order of the inner query; to sort them again would mean to find them all.
    Some(select.limit(query.limit).take())
}

/// A column that halves the table at best. SQLite, knowing nothing of the data, takes any index of a column that is
/// compared for equality, and would sort the whole table instead of walking along the order that is asked for; the plus
/// sign keeps it from that.
fn coarse(dialect: Dialect, column: Column) -> Expr {
    match dialect {
        Dialect::Sqlite => Expr::cust(format!("+\"images\".\"{}\"", column.name())),
        Dialect::Postgres | Dialect::MySql => column.expr(),
    }
}

/// A condition that nothing meets.
fn never() -> Expr {
    Expr::val(1).eq(0)
}
