//! Namespaces (upstream: `glance/db/sqlalchemy/metadef_api/namespace.py`).

use std::collections::HashMap;
use std::sync::Arc;

use sea_query::{Cond, Expr, ExprTrait, JoinType, Order, Query, SelectStatement, Value};

use super::associations::insert_associations;
use super::contents::of_type;
use super::items::insert_items;
use super::model::{
    Association, ItemKind, NamespaceColumn, NamespaceFields, NamespaceQuery, NamespaceRecord, NewNamespace,
};
use super::page::{after, of_marker, sort};
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::{EPOCH, UNREADABLE_OWNER};
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::sql::padded;
use crate::db::statement::{Template, parameter};
use crate::db::unreadable::TableRow;

pub(super) const COLUMNS: [&str; 9] =
    ["id", "namespace", "display_name", "description", "visibility", "protected", "owner", "created_at", "updated_at"];

/// The namespace of this name, whoever may see it.
pub async fn get(db: &Db, name: &str) -> Result<Option<NamespaceRecord>, DbError> {
    db.read(Get { name: name.to_owned() }).await
}

/// A page of namespaces with their associations, in two queries.
pub async fn list(db: &Db, query: NamespaceQuery) -> Result<Vec<(NamespaceRecord, Vec<Association>)>, DbError> {
    db.read(List(query)).await
}

/// Stores a namespace and all that is in it, or nothing.
///
/// # Errors
/// [`DbError::Duplicate`] if the name is taken, or one thing in the namespace comes twice.
pub async fn create(db: &Db, new: NewNamespace) -> Result<(), DbError> {
    db.write(Create(Arc::new(new))).await
}

/// Replaces what a namespace says of itself.
///
/// # Errors
/// [`DbError::Duplicate`] if the name is taken; [`DbError::NotFound`] if the namespace is gone.
pub async fn update(db: &Db, id: i64, fields: NamespaceFields) -> Result<(), DbError> {
    db.write(Update { id, fields }).await
}

/// Deletes a namespace with all that is in it.
///
/// # Errors
/// [`DbError::NotFound`] if it is gone.
pub async fn delete(db: &Db, id: i64) -> Result<(), DbError> {
    db.write(Delete { id }).await
}

/// Something stands in for what cannot be read, see [`unreadable`](crate::db::unreadable); it shows the namespace to nobody else, and
/// is not NULL where the column is not, so that pages go on behind it.
pub(super) fn read(row: &dyn Row) -> Result<NamespaceRecord, DbError> {
    let mut columns = Columns::of(row);
    let id = columns.integer()?;
    let row = TableRow::new("metadef_namespaces", &id);
    let empty = || Some(String::new());
    let fields = NamespaceFields {
        namespace: row.or(columns.text(), String::new),
        display_name: row.or(columns.maybe_text(), empty),
        description: row.or(columns.maybe_text(), empty),
        visibility: row.or(columns.maybe_text(), empty),
        protected: row.or(columns.maybe_flag(), || Some(true)),
        owner: row.or(columns.maybe_text(), || Some(UNREADABLE_OWNER.to_owned())),
    };
    let created_at = row.or(columns.time(), || EPOCH);
    Ok(NamespaceRecord { id, fields, created_at, updated_at: row.or(columns.maybe_time(), || Some(EPOCH)) })
}

static BY_NAME: Template = Template::new(|_| {
    Query::select()
        .columns(COLUMNS)
        .from("metadef_namespaces")
        .and_where(Expr::col("namespace").eq(parameter(0)))
        .limit(1)
        .take()
});

struct Get {
    name: String,
}

impl UnitOfWork for Get {
    type Output = Option<NamespaceRecord>;
    const NAME: &'static str = "get namespace";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        find(session, &self.name).await
    }
}

pub(super) async fn find(session: &mut Session, name: &str) -> Result<Option<NamespaceRecord>, DbError> {
    session.row(&BY_NAME.with(session.dialect(), vec![Value::from(name)]), read).await
}

struct List(NamespaceQuery);

impl UnitOfWork for List {
    type Output = Vec<(NamespaceRecord, Vec<Association>)>;
    const NAME: &'static str = "list namespaces";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let namespaces = session.rows(&self.select(session), read).await?;
        let mut associations = HashMap::new();
        // Far below the databases' limits on parameters.
        for part in namespaces.chunks(1024) {
            for (namespace, association) in session.rows(&associations_of(part), read_association).await? {
                associations.entry(namespace).or_insert_with(Vec::new).push(association);
            }
        }
        let with_associations = |namespace: NamespaceRecord| {
            let its = associations.remove(&namespace.id).unwrap_or_default();
            (namespace, its)
        };
        Ok(namespaces.into_iter().map(with_associations).collect())
    }
}

impl List {
    fn select(&self, session: &Session) -> SelectStatement {
        let query = &self.0;
        let mut select = Query::select();
        select.columns(COLUMNS).from("metadef_namespaces").limit(query.limit);
        if !query.viewer.is_admin {
            let own = query.viewer.project.as_deref().map(|project| Expr::col("owner").eq(project));
            select.cond_where(Cond::any().add_option(own).add(Expr::col("visibility").eq("public")));
        }
        select.and_where_option(query.visibility.as_deref().map(|wanted| Expr::col("visibility").eq(wanted)));
        if let Some(types) = &query.resource_types {
            select.and_where(Expr::col("id").in_subquery(namespaces_for(types)));
        }
        let mut columns = vec![NamespaceColumn::CreatedAt, NamespaceColumn::Id];
        if !columns.contains(&query.sort) {
            columns.insert(0, query.sort);
        }
        if let Some(marker) = &query.marker {
            let of = |column: &NamespaceColumn| of_marker("metadef_namespaces", column.name(), marker.id);
            let bound = |column: &NamespaceColumn| (column.name(), column.is_set(marker).then(|| of(column)));
            let bounds: Vec<_> = columns.iter().map(bound).collect();
            select.cond_where(after(session.dialect(), &bounds, query.direction));
        }
        let names: Vec<&'static str> = columns.iter().map(|column| column.name()).collect();
        sort(&mut select, &names, query.direction);
        select
    }
}

/// Ids of the namespaces that are associated with one of these resource types.
fn namespaces_for(types: &[String]) -> SelectStatement {
    Query::select()
        .column(("metadef_namespace_resource_types", "namespace_id"))
        .from("metadef_namespace_resource_types")
        .join(JoinType::InnerJoin, "metadef_resource_types", of_type())
        .and_where(Expr::col(("metadef_resource_types", "name")).is_in(padded(types.to_vec())))
        .take()
}

fn associations_of(namespaces: &[NamespaceRecord]) -> SelectStatement {
    const OF: &str = "metadef_namespace_resource_types";
    let mut ids: Vec<i64> = namespaces.iter().map(|namespace| namespace.id).collect();
    if let Some(last) = ids.last().copied() {
        // A statement has few forms to be prepared.
        ids.resize(ids.len().next_power_of_two(), last);
    }
    Query::select()
        .column((OF, "namespace_id"))
        .column((OF, "resource_type_id"))
        .column(("metadef_resource_types", "name"))
        .columns(["prefix", "properties_target", "created_at", "updated_at"].map(|column| (OF, column)))
        .from(OF)
        .join(JoinType::InnerJoin, "metadef_resource_types", of_type())
        .and_where(Expr::col((OF, "namespace_id")).is_in(ids))
        .order_by((OF, "created_at"), Order::Asc)
        .order_by((OF, "resource_type_id"), Order::Asc)
        .take()
}

fn read_association(row: &dyn Row) -> Result<(i64, Association), DbError> {
    let mut columns = Columns::of(row);
    let (namespace, resource_type_id) = (columns.integer()?, columns.integer()?);
    let row = TableRow::new("metadef_namespace_resource_types", &resource_type_id);
    let association = Association {
        resource_type_id,
        name: row.or(columns.text(), String::new),
        prefix: row.or(columns.maybe_text(), || None),
        properties_target: row.or(columns.maybe_text(), || None),
        created_at: row.or(columns.time(), || EPOCH),
        updated_at: row.or(columns.maybe_time(), || Some(EPOCH)),
    };
    Ok((namespace, association))
}

/// The columns that a client sets, with their values.
pub(super) fn field_values(fields: &NamespaceFields) -> [(&'static str, Expr); 6] {
    [
        ("namespace", fields.namespace.as_str().into()),
        ("display_name", fields.display_name.clone().into()),
        ("description", fields.description.clone().into()),
        ("visibility", fields.visibility.clone().into()),
        ("protected", fields.protected.into()),
        ("owner", fields.owner.clone().into()),
    ]
}

fn taken(error: DbError, name: &str) -> DbError {
    match error {
        error if error.is_duplicate() => DbError::Duplicate { what: "namespace", key: name.to_owned() },
        error => error,
    }
}

struct Create(Arc<NewNamespace>);

impl UnitOfWork for Create {
    type Output = ();
    const NAME: &'static str = "create namespace";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let new = &*self.0;
        let name = new.fields.namespace.as_str();
        insert(session, &new.fields).await.map_err(|error| taken(error, name))?;
        let id = find(session, name).await?.ok_or_else(|| gone(name))?.id;
        // In the order in which upstream stores them: the first fault is the one that is told.
        insert_associations(session, id, &new.associations).await?;
        insert_items(session, ItemKind::Object, id, &new.objects).await?;
        insert_items(session, ItemKind::Tag, id, &new.tags).await?;
        insert_items(session, ItemKind::Property, id, &new.properties).await
    }
}

/// Inserts the row of a namespace.
async fn insert(session: &mut Session, fields: &NamespaceFields) -> Result<(), DbError> {
    let now = clock::now();
    let (columns, mut row): (Vec<_>, Vec<_>) = field_values(fields).into_iter().unzip();
    row.extend([now.into(), now.into()]);
    let mut insert = Query::insert();
    insert.into_table("metadef_namespaces").columns(columns.into_iter().chain(["created_at", "updated_at"]));
    insert.values_panic(row);
    session.execute(&insert).await.map(drop)
}

struct Update {
    id: i64,
    fields: NamespaceFields,
}

impl UnitOfWork for Update {
    type Output = ();
    const NAME: &'static str = "update namespace";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let update = Query::update()
            .table("metadef_namespaces")
            .values(field_values(&self.fields))
            .value("updated_at", clock::now())
            .and_where(Expr::col("id").eq(self.id))
            .take();
        let done = session.execute(&update).await.map_err(|error| taken(error, &self.fields.namespace))?;
        if done == 0 { Err(gone(&self.fields.namespace)) } else { Ok(()) }
    }
}

struct Delete {
    id: i64,
}

impl UnitOfWork for Delete {
    type Output = ();
    const NAME: &'static str = "delete namespace";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        remove(session, self.id).await
    }
}

/// Deletes a namespace with all that is in it.
///
/// # Errors
/// [`DbError::NotFound`] if it is gone.
pub(super) async fn remove(session: &mut Session, id: i64) -> Result<(), DbError> {
    lock(session, id).await?;
    for table in ItemKind::ALL.map(ItemKind::table).into_iter().chain(["metadef_namespace_resource_types"]) {
        let of_namespace = Expr::col("namespace_id").eq(id);
        session.execute(&Query::delete().from_table(table).and_where(of_namespace).take()).await?;
    }
    let delete = Query::delete().from_table("metadef_namespaces").and_where(Expr::col("id").eq(id)).take();
    session.execute(&delete).await.map(drop)
}

/// Waits for, and keeps until the end of the transaction, the right to change what is in a namespace, so that nothing is put into
/// one that is being deleted.
///
/// # Errors
/// [`DbError::NotFound`] if it is gone.
pub(super) async fn lock(session: &mut Session, id: i64) -> Result<(), DbError> {
    let by_id = Expr::col("id").eq(id);
    let query = Query::select().column("id").from("metadef_namespaces").and_where(by_id).lock_exclusive().take();
    let found = session.row(&query, |row| Columns::of(row).integer()).await?;
    found.map(drop).ok_or_else(|| gone(&id.to_string()))
}

fn gone(key: &str) -> DbError {
    DbError::NotFound { what: "namespace", key: key.to_owned() }
}
