//! Resource types, and their associations with namespaces (upstream: `resource_type.py` and `resource_type_association.py` in
//! `glance/db/sqlalchemy/metadef_api/`).

use std::collections::{HashMap, HashSet};

use sea_query::{Expr, ExprTrait, Order, Query};

use super::model::{NewAssociation, ResourceType};
use super::namespaces::lock;
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::retry::Operation;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::padded;

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

impl Operation for All {
    type Output = Vec<ResourceType>;
    const NAME: &'static str = "list resource types";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let query = Query::select()
            .columns(["name", "created_at", "updated_at"])
            .from("metadef_resource_types")
            .order_by("id", Order::Asc)
            .take();
        let read = |row: &dyn Row| {
            let mut columns = Columns::of(row);
            let (name, created_at, updated_at) = (columns.text()?, columns.time()?, columns.maybe_time()?);
            Ok(ResourceType { name, created_at, updated_at })
        };
        session.rows(&query, read).await
    }
}

struct Associate {
    namespace: i64,
    new: NewAssociation,
}

impl Operation for Associate {
    type Output = ();
    const NAME: &'static str = "associate resource type";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        lock(session, self.namespace).await?;
        insert_associations(session, self.namespace, std::slice::from_ref(&self.new)).await
    }
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
    for part in new.chunks(ROWS) {
        let mut ids = ids(session, part).await?;
        let unknown = |ids: &HashMap<String, i64>| part.iter().any(|one| !ids.contains_key(&one.name));
        if unknown(&ids) {
            make_types(session, part, &ids).await?;
            ids = self::ids(session, part).await?;
        }
        let mut seen = HashSet::new();
        let mut insert = Query::insert();
        insert.into_table("metadef_namespace_resource_types").columns([
            "namespace_id",
            "resource_type_id",
            "prefix",
            "properties_target",
            "created_at",
            "updated_at",
        ]);
        for one in part {
            let missing = || DbError::NotFound { what: "resource type", key: one.name.clone() };
            let id = ids.get(&one.name).copied().ok_or_else(missing)?;
            if !seen.insert(id) {
                return Err(associated(one));
            }
            let now = clock::now();
            insert.values_panic([
                namespace.into(),
                id.into(),
                one.prefix.clone().into(),
                one.properties_target.clone().into(),
                now.into(),
                now.into(),
            ]);
        }
        session.execute(&insert).await.map_err(|error| match part.first() {
            Some(first) if error.is_duplicate() => associated(first),
            _ => error,
        })?;
    }
    Ok(())
}

fn associated(new: &NewAssociation) -> DbError {
    DbError::Duplicate { what: "association", key: new.name.clone() }
}

/// Row ids of the resource types that are there, by the names that were asked for.
async fn ids(session: &mut Session, wanted: &[NewAssociation]) -> Result<HashMap<String, i64>, DbError> {
    let names: Vec<String> = wanted.iter().map(|one| one.name.clone()).collect();
    let query = Query::select()
        .columns(["name", "id"])
        .from("metadef_resource_types")
        .and_where(Expr::col("name").is_in(padded(names)))
        .take();
    let read = |row: &dyn Row| {
        let mut columns = Columns::of(row);
        Ok((columns.text()?, columns.integer()?))
    };
    let found: HashMap<String, i64> = session.rows(&query, read).await?.into_iter().collect();
    // MySQL's comparison of names ignores their case.
    let by_lower: HashMap<String, i64> = found.iter().map(|(name, id)| (name.to_lowercase(), *id)).collect();
    let ignores_case = session.dialect() == Dialect::MySql;
    let id = |name: &str| found.get(name).or_else(|| by_lower.get(&name.to_lowercase()).filter(|_| ignores_case));
    Ok(wanted.iter().filter_map(|one| Some((one.name.clone(), *id(&one.name)?))).collect())
}

async fn make_types(
    session: &mut Session,
    wanted: &[NewAssociation],
    known: &HashMap<String, i64>,
) -> Result<(), DbError> {
    let mut seen = HashSet::new();
    let mut insert = Query::insert();
    insert.into_table("metadef_resource_types").columns(["name", "protected", "created_at", "updated_at"]);
    for one in wanted.iter().filter(|one| !known.contains_key(&one.name) && seen.insert(one.name.as_str())) {
        let now = clock::now();
        insert.values_panic([one.name.as_str().into(), false.into(), now.into(), now.into()]);
    }
    session.execute(&insert).await.map(drop).map_err(DbError::again_if_duplicate)
}

struct Dissociate {
    namespace: i64,
    resource_type: i64,
}

impl Operation for Dissociate {
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
