//! Resource types, and their associations with namespaces (upstream: `resource_type.py` and `resource_type_association.py` in
//! `glance/db/sqlalchemy/metadef_api/`).

use std::collections::{HashMap, HashSet};

use sea_query::{Expr, ExprTrait, OnConflict, Order, Query, SelectStatement, UnionType};
use time::PrimitiveDateTime;

use super::model::{NewAssociation, ResourceType};
use super::namespaces::lock;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::model::EPOCH;
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::padded;
use crate::db::unreadable::TableRow;

const TYPES: &str = "metadef_resource_types";

/// Rows in one statement: far below the databases' limits on parameters.
const ROWS: usize = 500;

/// All resource types that anybody ever named, the oldest first.
pub async fn resource_types(db: &Db) -> Result<Vec<ResourceType>, DbError> {
    db.read(All).await
}

/// Associates a namespace with a resource type, which is made if nobody has named it before.
///
/// # Errors
/// [`DbError::Duplicate`] if they are associated; [`DbError::NotFound`] if the namespace is gone.
pub async fn associate(db: &Db, namespace: i64, new: NewAssociation) -> Result<(), DbError> {
    db.write(Associate { namespace, new }).await
}

/// Ends an association; the resource type stays.
///
/// # Errors
/// [`DbError::NotFound`] if there is none.
pub async fn dissociate(db: &Db, namespace: i64, resource_type: i64) -> Result<(), DbError> {
    db.write(Dissociate { namespace, resource_type }).await
}

struct All;

impl UnitOfWork for All {
    type Output = Vec<ResourceType>;
    const NAME: &'static str = "list resource types";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let query =
            Query::select().columns(["name", "created_at", "updated_at"]).from(TYPES).order_by("id", Order::Asc).take();
        let read = |row: &dyn Row| {
            let mut columns = Columns::of(row);
            let name = TableRow::new(TYPES, &"?").or(columns.text(), String::new);
            let row = TableRow::new(TYPES, &name);
            let created_at = row.or(columns.time(), || EPOCH);
            let updated_at = row.or(columns.maybe_time(), || Some(EPOCH));
            Ok(ResourceType { name, created_at, updated_at })
        };
        session.rows(&query, read).await
    }
}

struct Associate {
    namespace: i64,
    new: NewAssociation,
}

impl UnitOfWork for Associate {
    type Output = ();
    const NAME: &'static str = "associate resource type";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        lock(session, self.namespace).await?;
        insert_associations(session, self.namespace, std::slice::from_ref(&self.new)).await
    }
}

/// Where associations come from, which shows in their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Somebody's request, which counts as a change.
    Request,
    /// Files of the operator: the resource types that they bring are protected, and nobody has changed anything yet.
    Files,
}

impl Origin {
    fn changed(self, now: PrimitiveDateTime) -> Option<PrimitiveDateTime> {
        (self == Self::Request).then_some(now)
    }
}

/// Row ids of resource types.
pub(super) struct TypeIds {
    /// In the order in which they were asked for. Two names may lead to one row.
    pub(super) all: Vec<i64>,
    /// Those that nobody had to make.
    pub(super) known: HashSet<i64>,
}

/// Associates a namespace with resource types; unknown ones are made.
///
/// # Errors
/// [`DbError::Duplicate`] with the first name that is associated already.
pub(super) async fn insert_associations(
    session: &mut Session,
    namespace: i64,
    new: &[NewAssociation],
) -> Result<(), DbError> {
    let new: Vec<&NewAssociation> = new.iter().collect();
    let ids = type_ids(session, &new, Origin::Request).await?.all;
    let mut seen = HashSet::new();
    let rows: Vec<(i64, &NewAssociation)> = ids.into_iter().zip(new).collect();
    if let Some((_, again)) = rows.iter().find(|(id, _)| !seen.insert(*id)) {
        return Err(associated(again));
    }
    for part in rows.chunks(ROWS) {
        insert(session, namespace, part, Origin::Request).await.map_err(|error| match part.first() {
            Some((_, first)) if error.is_duplicate() => associated(first),
            _ => error,
        })?;
    }
    Ok(())
}

fn associated(new: &NewAssociation) -> DbError {
    DbError::Duplicate { what: "association", key: new.name.clone() }
}

/// Inserts associations with resource types of these ids, as many as one statement takes.
pub(super) async fn insert(
    session: &mut Session,
    namespace: i64,
    rows: &[(i64, &NewAssociation)],
    origin: Origin,
) -> Result<(), DbError> {
    let mut insert = Query::insert();
    insert.into_table("metadef_namespace_resource_types").columns([
        "namespace_id",
        "resource_type_id",
        "prefix",
        "properties_target",
        "created_at",
        "updated_at",
    ]);
    for (id, one) in rows {
        let now = clock::now();
        insert.values_panic([
            namespace.into(),
            (*id).into(),
            one.prefix.clone().into(),
            one.properties_target.clone().into(),
            now.into(),
            origin.changed(now).into(),
        ]);
    }
    session.execute(&insert).await.map(drop)
}

/// The resource types of these names; those that nobody has named before are made.
pub(super) async fn type_ids(
    session: &mut Session,
    wanted: &[&NewAssociation],
    origin: Origin,
) -> Result<TypeIds, DbError> {
    let mut ids = TypeIds { all: Vec::with_capacity(wanted.len()), known: HashSet::new() };
    for part in wanted.chunks(ROWS) {
        let mut found = find(session, part, false).await?;
        ids.known.extend(found.iter().flatten());
        let missing: Vec<&str> =
            part.iter().zip(&found).filter(|(_, id)| id.is_none()).map(|(one, _)| one.name.as_str()).collect();
        if !missing.is_empty() {
            make_types(session, &missing, origin).await?;
            found = find(session, part, true).await?;
        }
        for (one, id) in part.iter().zip(found) {
            let missing = || DbError::NotFound { what: "resource type", key: one.name.clone() };
            ids.all.push(id.ok_or_else(missing)?);
        }
    }
    Ok(ids)
}

/// Row ids of the resource types that are there, in the order of the names. `is_current`: also what others have made since the
/// transaction began.
async fn find(
    session: &mut Session,
    wanted: &[&NewAssociation],
    is_current: bool,
) -> Result<Vec<Option<i64>>, DbError> {
    let is_mysql = session.dialect() == Dialect::MySql;
    let names: Vec<String> = wanted.iter().map(|one| one.name.clone()).collect();
    let mut query = Query::select();
    query.columns(["name", "id"]).from("metadef_resource_types").and_where(Expr::col("name").is_in(padded(names)));
    if is_mysql && is_current {
        query.lock_exclusive();
    }
    let read = |row: &dyn Row| {
        let mut columns = Columns::of(row);
        Ok((columns.text()?, columns.integer()?))
    };
    let found: HashMap<String, i64> = session.rows(&query, read).await?.into_iter().collect();
    let mut ids: Vec<Option<i64>> = wanted.iter().map(|one| found.get(&one.name).copied()).collect();
    let matched: HashSet<i64> = ids.iter().flatten().copied().collect();
    if is_mysql && (is_current || matched.len() < found.len()) {
        // MySQL holds names for the same that differ in case, accents or blanks at the end. It says itself which ones. Of two new
        // names that are the same only the first has been made.
        let absent = wanted.iter().enumerate().filter(|(at, _)| ids.get(*at).is_some_and(Option::is_none));
        let mut parts = absent.map(|(at, one)| alike(at, &one.name)).collect::<Vec<_>>().into_iter();
        if let Some(mut query) = parts.next() {
            query.unions(parts.map(|part| (UnionType::All, part)));
            let read = |row: &dyn Row| {
                let mut columns = Columns::of(row);
                Ok((columns.integer()?, columns.integer()?))
            };
            for (at, id) in session.rows(&query, read).await? {
                if let Some(place) = usize::try_from(at).ok().and_then(|at| ids.get_mut(at)) {
                    *place = Some(id);
                }
            }
        }
    }
    Ok(ids)
}

/// The row that the database finds by a name, with the place of the name.
fn alike(at: usize, name: &str) -> SelectStatement {
    let mut query = Query::select();
    query.expr(Expr::cust(at.to_string())).column("id").from("metadef_resource_types");
    query.and_where(Expr::col("name").eq(name)).take()
}

/// Makes resource types, except those that others have just made, or that are the same to the database.
async fn make_types(session: &mut Session, names: &[&str], origin: Origin) -> Result<(), DbError> {
    let mut seen = HashSet::new();
    let mut insert = Query::insert();
    insert.into_table("metadef_resource_types").columns(["name", "protected", "created_at", "updated_at"]);
    for name in names.iter().filter(|name| seen.insert(**name)) {
        let now = clock::now();
        let is_protected = origin == Origin::Files;
        insert.values_panic([(*name).into(), is_protected.into(), now.into(), origin.changed(now).into()]);
    }
    insert.on_conflict(OnConflict::column("name").do_nothing_on(["id"]).to_owned());
    session.execute(&insert).await.map(drop)
}

struct Dissociate {
    namespace: i64,
    resource_type: i64,
}

impl UnitOfWork for Dissociate {
    type Output = ();
    const NAME: &'static str = "dissociate resource type";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let delete = Query::delete()
            .from_table("metadef_namespace_resource_types")
            .and_where(Expr::col("namespace_id").eq(self.namespace))
            .and_where(Expr::col("resource_type_id").eq(self.resource_type))
            .take();
        match session.execute(&delete).await? {
            0 => Err(DbError::NotFound { what: "association", key: self.resource_type.to_string() }),
            _ => Ok(()),
        }
    }
}
