//! Definitions from files, whole namespaces at a time (upstream: `glance/db/sqlalchemy/metadata.py`).

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use sea_query::{Expr, ExprTrait, Order, Query};

use super::associations::{self, Origin};
use super::contents;
use super::items::values_of;
use super::model::{ItemKind, NamespaceFields, NamespaceRecord, NewAssociation, NewItem, NewNamespace};
use super::namespaces::{COLUMNS, field_values, find, read, remove};
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;

/// Rows in one statement: far below the databases' limits on parameters.
const ROWS: usize = 500;

/// What becomes of a namespace that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It stays as it is.
    Skip,
    /// What it does not have is added.
    Add,
    /// What it does not have is added, the rest replaced.
    PreferNew,
    /// It is deleted and made anew.
    Overwrite,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    Loaded,
    Skipped,
    Overwritten,
}

/// Stores a namespace and all that is in it, in one transaction. Nobody has touched the rows since: they have no time of change.
pub async fn load(db: &Db, new: NewNamespace, merge: Merge) -> Result<LoadOutcome, DbError> {
    db.write(Load { new: Arc::new(new), merge }).await
}

/// Deletes all metadata definitions. The result names the tables that were emptied.
pub async fn unload(db: &Db) -> Result<[&'static str; 6], DbError> {
    db.write(Unload).await
}

/// All namespaces, whoever may see them, by their row ids.
pub async fn all(db: &Db) -> Result<Vec<NamespaceRecord>, DbError> {
    db.read(All).await
}

struct All;

impl UnitOfWork for All {
    type Output = Vec<NamespaceRecord>;
    const NAME: &'static str = "list all namespaces";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let query = Query::select().columns(COLUMNS).from("metadef_namespaces").order_by("id", Order::Asc).take();
        session.rows(&query, read).await
    }
}

struct Unload;

impl UnitOfWork for Unload {
    type Output = [&'static str; 6];
    const NAME: &'static str = "unload metadata definitions";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let tables = [
            "metadef_properties",
            "metadef_objects",
            "metadef_tags",
            "metadef_namespace_resource_types",
            "metadef_namespaces",
            "metadef_resource_types",
        ];
        for table in tables {
            session.execute(&Query::delete().from_table(table).take()).await?;
        }
        Ok(tables)
    }
}

struct Load {
    new: Arc<NewNamespace>,
    merge: Merge,
}

impl UnitOfWork for Load {
    type Output = LoadOutcome;
    const NAME: &'static str = "load metadata definitions";

    async fn run(&self, session: &mut Session) -> Result<LoadOutcome, DbError> {
        let fields = &self.new.fields;
        let mut outcome = LoadOutcome::Loaded;
        let mut known = find(session, &fields.namespace).await?.map(|record| record.id);
        match (known, self.merge) {
            (Some(_), Merge::Skip) => return Ok(LoadOutcome::Skipped),
            (Some(id), Merge::Overwrite) => {
                remove(session, id).await?;
                outcome = LoadOutcome::Overwritten;
                known = None;
            }
            (Some(id), Merge::PreferNew) => update_namespace(session, id, fields).await?,
            (Some(_), Merge::Add) | (None, _) => {}
        }
        let id = match known {
            Some(id) => id,
            None => insert_namespace(session, fields).await?,
        };
        self.load_associations(session, id).await?;
        for (kind, items) in [
            (ItemKind::Property, &self.new.properties),
            (ItemKind::Object, &self.new.objects),
            (ItemKind::Tag, &self.new.tags),
        ] {
            self.load_items(session, kind, id, items).await?;
        }
        Ok(outcome)
    }
}

async fn update_namespace(session: &mut Session, id: i64, fields: &NamespaceFields) -> Result<(), DbError> {
    let update = Query::update()
        .table("metadef_namespaces")
        .values(field_values(fields))
        .value("updated_at", clock::now())
        .and_where(Expr::col("id").eq(id))
        .take();
    session.execute(&update).await.map(drop)
}

async fn insert_namespace(session: &mut Session, fields: &NamespaceFields) -> Result<i64, DbError> {
    let (columns, mut row): (Vec<_>, Vec<_>) = field_values(fields).into_iter().unzip();
    row.push(clock::now().into());
    let mut insert = Query::insert();
    insert.into_table("metadef_namespaces").columns(columns.into_iter().chain(["created_at"])).values_panic(row);
    session.execute(&insert).await.map_err(DbError::again_if_duplicate)?;
    let missing = || DbError::NotFound { what: "namespace", key: fields.namespace.clone() };
    Ok(find(session, &fields.namespace).await?.ok_or_else(missing)?.id)
}

/// The name as the database compares it.
fn key(session: &Session, name: &str) -> String {
    if session.dialect() == Dialect::MySql { name.to_lowercase() } else { name.to_owned() }
}

/// The last of several with one key if new ones are preferred, else the first.
fn distinct<'a, K: Clone + Eq + Hash, T>(all: impl Iterator<Item = (K, &'a T)>, merge: Merge) -> Vec<(K, &'a T)> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut found: Vec<(K, &T)> = Vec::new();
    for (key, one) in all {
        match places.get(&key).and_then(|place| found.get_mut(*place)) {
            Some(earlier) if merge == Merge::PreferNew => earlier.1 = one,
            Some(_) => {}
            None => {
                places.insert(key.clone(), found.len());
                found.push((key, one));
            }
        }
    }
    found
}

impl Load {
    async fn load_associations(&self, session: &mut Session, namespace: i64) -> Result<(), DbError> {
        let new: Vec<&NewAssociation> = self.new.associations.iter().collect();
        let ids = associations::type_ids(session, &new, Origin::Files).await?;
        let wanted = distinct(ids.all.iter().copied().zip(new), self.merge);
        if self.merge == Merge::PreferNew {
            touch(session, wanted.iter().map(|(id, _)| *id).filter(|id| ids.known.contains(id)).collect()).await?;
        }
        let associated: HashSet<i64> = contents::associations_in(session, namespace).await?.into_iter().collect();
        let (old, new): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(id, _)| associated.contains(id));
        for part in new.chunks(ROWS) {
            associations::insert(session, namespace, part, Origin::Files).await?;
        }
        if self.merge != Merge::PreferNew {
            return Ok(());
        }
        for (id, one) in old {
            let update = Query::update()
                .table("metadef_namespace_resource_types")
                .value("prefix", one.prefix.clone())
                .value("properties_target", one.properties_target.clone())
                .value("updated_at", clock::now())
                .and_where(Expr::col("namespace_id").eq(namespace))
                .and_where(Expr::col("resource_type_id").eq(id))
                .take();
            session.execute(&update).await?;
        }
        Ok(())
    }

    async fn load_items(
        &self,
        session: &mut Session,
        kind: ItemKind,
        namespace: i64,
        items: &[NewItem],
    ) -> Result<(), DbError> {
        let query = Query::select()
            .columns(["name", "id"])
            .from(kind.table())
            .and_where(Expr::col("namespace_id").eq(namespace))
            .take();
        let known: HashMap<String, i64> =
            session.rows(&query, name_and_id).await?.into_iter().map(|(name, id)| (key(session, &name), id)).collect();
        let wanted = distinct(items.iter().map(|item| (key(session, &item.name), item)), self.merge);
        let missing: Vec<&NewItem> =
            wanted.iter().filter(|(key, _)| !known.contains_key(key)).map(|(_, item)| *item).collect();
        for part in missing.chunks(ROWS) {
            let mut insert = Query::insert();
            insert.into_table(kind.table());
            for item in part {
                let (mut columns, mut row): (Vec<_>, Vec<_>) = values_of(kind, item).into_iter().unzip();
                columns.extend(["namespace_id", "created_at"]);
                row.extend([namespace.into(), clock::now().into()]);
                insert.columns(columns).values_panic(row);
            }
            session.execute(&insert).await?;
        }
        if self.merge != Merge::PreferNew {
            return Ok(());
        }
        for (id, item) in wanted.iter().filter_map(|(key, item)| Some((*known.get(key)?, *item))) {
            let update = Query::update()
                .table(kind.table())
                // What the files do not tell stays.
                .values(values_of(kind, item).into_iter().filter(|(column, _)| *column != "required"))
                .value("updated_at", clock::now())
                .and_where(Expr::col("id").eq(id))
                .take();
            session.execute(&update).await?;
        }
        Ok(())
    }
}

fn name_and_id(row: &dyn Row) -> Result<(String, i64), DbError> {
    let mut columns = Columns::of(row);
    Ok((columns.text()?, columns.integer()?))
}

/// Notes that resource types were named again.
async fn touch(session: &mut Session, ids: Vec<i64>) -> Result<(), DbError> {
    for part in ids.chunks(ROWS) {
        let update = Query::update()
            .table("metadef_resource_types")
            .value("updated_at", clock::now())
            .and_where(Expr::col("id").is_in(part.to_vec()))
            .take();
        session.execute(&update).await?;
    }
    Ok(())
}
