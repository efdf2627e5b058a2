//! The statements that find the images of a page.

use sea_query::{Cond, Query, SelectStatement, UnionType};

use super::query::{Direction, ListQuery};
use super::{filter, page, scope};
use crate::db::dialect::Dialect;
use crate::db::images::columns::{names, never};
use crate::db::model::Column;

/// Images that [`among_first`] looks at: half a millisecond.
const FIRST: u64 = 1000;

/// The query of one page.
///
/// A plain user sees the union of some sets (public images, own ones, shared ones), each of which an index finds. The
/// databases cannot use indexes for an OR of these, and would walk through all images of the cloud. So each set gives its
/// first `limit` images, and the first `limit` of those are the page; the sets are disjoint.
pub(in crate::db::images) fn select(
    dialect: Dialect,
    query: &ListQuery,
    sort: &[(Column, Direction)],
    marker: Option<&[page::Bound]>,
) -> SelectStatement {
    let one = |condition: Cond| {
        let mut select = Query::select();
        select.columns(names()).from("images");
        select.cond_where(condition);
        filter::restrict(&mut select, dialect, query);
        if let Some(marker) = marker {
            select.cond_where(page::after(dialect, marker));
        }
        page::order(&mut select, sort);
        select.limit(query.limit).take()
    };
    // Order and limit of a part need a query of their own around it on SQLite.
    let wrapped = |condition| Query::select().columns(names()).from_subquery(one(condition), "part").take();
    let sets = scope::sets(&query.viewer, &query.visibility, query.member_status.as_deref());
    let memberships = scope::memberships(dialect, &query.viewer, &sets);
    let mut parts: Vec<Cond> = sets.into_iter().flat_map(|set| scope::parts(dialect, &query.viewer, set)).collect();
    let Some(last) = parts.pop() else { return one(Cond::all().add(never())) };
    if parts.is_empty() {
        return one(last);
    }
    let mut all = wrapped(last);
    all.unions(parts.into_iter().map(|part| (UnionType::All, wrapped(part))));
    let mut page = Query::select();
    page.columns(names()).from_subquery(all, "page");
    if let Some(memberships) = memberships {
        page.with_cte(memberships);
    }
    page::order(&mut page, sort);
    page.limit(query.limit).take()
}

/// On SQLite, a first try that looks at the first [`FIRST`] images along an index of the order, one by one. Where much is visible, the
/// page is full after a few; the sets of [`select`] would all have to be read and sorted, since SQLite does not know which
/// are large. The servers have statistics and choose that way themselves.
///
/// The page is right if it is full: then it holds the first of all images that are visible.
pub(in crate::db::images) fn among_first(
    dialect: Dialect,
    query: &ListQuery,
    sort: &[(Column, Direction)],
    marker: Option<&[page::Bound]>,
) -> Option<SelectStatement> {
    let has_index = matches!(sort.first(), Some((Column::CreatedAt | Column::UpdatedAt, _)));
    if dialect != Dialect::Sqlite || query.viewer.is_admin || !has_index || query.limit > FIRST / 2 {
        return None;
    }
    let mut newest = Query::select();
    newest.columns(names()).from("images");
    if let Some(marker) = marker {
        newest.cond_where(page::after(dialect, marker));
    }
    page::order(&mut newest, sort);
    newest.limit(FIRST);
    let sets = scope::sets(&query.viewer, &query.visibility, query.member_status.as_deref());
    let any = |any: Cond, set| any.add(scope::condition(dialect, &query.viewer, set, true));
    let mut select = Query::select();
    select.columns(names()).from_subquery(newest, "images").cond_where(sets.into_iter().fold(Cond::any(), any));
    filter::restrict(&mut select, dialect, query);
    // They come as they are found, in the order of the inner query; to sort them again would mean to find them all.
    Some(select.limit(query.limit).take())
}
