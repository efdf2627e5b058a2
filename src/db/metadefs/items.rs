//! Objects, properties and tags of a namespace: each has a name of its own there (upstream: `object.py`, `property.py` and `tag.py`
//! in `glance/db/sqlalchemy/metadef_api/`).

use std::collections::HashSet;
use std::sync::Arc;

use sea_query::{Expr, ExprTrait, Query, SelectStatement};

use super::contents::item;
use super::model::{Item, ItemKind, NewItem, TagColumn, TagQuery};
use super::namespaces::lock;
use super::page::{after, of_marker, sort};
use crate::db::clock;
use crate::db::connection::Db;
use crate::db::dialect::Dialect;
use crate::db::error::DbError;
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;

/// Rows in one INSERT: far below the databases' limits on parameters.
const ROWS: usize = 500;

/// What has this name in the namespace.
pub async fn find_item(db: &Db, kind: ItemKind, namespace: i64, name: &str) -> Result<Option<Item>, DbError> {
    db.read(Find { kind, namespace, name: name.to_owned() }).await
}

/// Adds one thing to a namespace.
///
/// # Errors
/// [`DbError::Duplicate`] if the name is taken; [`DbError::NotFound`] if the namespace is gone.
pub async fn add_item(db: &Db, kind: ItemKind, namespace: i64, new: NewItem) -> Result<(), DbError> {
    db.write(Add { kind, namespace, new: Arc::new([new]), mode: Mode::Add }).await
}

/// Gives a namespace tags: `keeps_others` says whether those that it has stay.
///
/// # Errors
/// [`DbError::Duplicate`] with the first name that is taken; [`DbError::NotFound`] if the namespace is gone.
pub async fn add_tags(db: &Db, namespace: i64, tags: Vec<NewItem>, keeps_others: bool) -> Result<(), DbError> {
    let mode = if keeps_others { Mode::AddMany } else { Mode::Replace };
    db.write(Add { kind: ItemKind::Tag, namespace, new: tags.into(), mode }).await
}

/// Replaces all that is stored of a thing.
///
/// # Errors
/// [`DbError::Duplicate`] if another one has the name; [`DbError::NotFound`] if it is gone.
pub async fn update_item(db: &Db, kind: ItemKind, id: i64, new: NewItem) -> Result<(), DbError> {
    db.write(Update { kind, id, new }).await
}

/// Deletes a thing.
///
/// # Errors
/// [`DbError::NotFound`] if it is gone.
pub async fn remove_item(db: &Db, kind: ItemKind, id: i64) -> Result<(), DbError> {
    db.write(Remove { kind, id }).await
}

/// Deletes all things of a kind in a namespace.
pub async fn clear(db: &Db, kind: ItemKind, namespace: i64) -> Result<(), DbError> {
    db.write(Clear { kind, namespace }).await
}

/// A page of the tags of a namespace.
pub async fn tags(db: &Db, query: TagQuery) -> Result<Vec<Item>, DbError> {
    db.read(Tags(query)).await
}

/// Whatever the kind, the columns of an [`Item`]; what the table has not is NULL.
fn select(kind: ItemKind) -> SelectStatement {
    let null = || Expr::cust("NULL");
    let texts = match kind {
        ItemKind::Object => ["description", "required", "json_schema"].map(Expr::col),
        ItemKind::Property => [null(), null(), Expr::col("json_schema")],
        ItemKind::Tag => [null(), null(), null()],
    };
    let mut query = Query::select();
    query.columns(["id", "name"]).exprs(texts).columns(["created_at", "updated_at"]).from(kind.table());
    query
}

fn read(row: &dyn Row) -> Result<Item, DbError> {
    item(&mut Columns::of(row))
}

/// The columns of a table that a client sets, with their values.
pub(super) fn values_of(kind: ItemKind, new: &NewItem) -> Vec<(&'static str, Expr)> {
    let mut values = vec![("name", new.name.as_str().into())];
    if kind == ItemKind::Object {
        values.push(("description", new.description.clone().into()));
        values.push(("required", new.required.clone().into()));
    }
    if kind != ItemKind::Tag {
        values.push(("json_schema", new.json_schema.clone().into()));
    }
    values
}

struct Find {
    kind: ItemKind,
    namespace: i64,
    name: String,
}

impl UnitOfWork for Find {
    type Output = Option<Item>;
    const NAME: &'static str = "find metadata definition";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let mut query = select(self.kind);
        query.and_where(Expr::col("name").eq(self.name.as_str()));
        query.and_where(Expr::col("namespace_id").eq(self.namespace));
        session.row(&query, read).await
    }
}

struct Tags(TagQuery);

impl UnitOfWork for Tags {
    type Output = Vec<Item>;
    const NAME: &'static str = "list tags of a namespace";

    async fn run(&self, session: &mut Session) -> Result<Self::Output, DbError> {
        let query = &self.0;
        let mut select = select(ItemKind::Tag);
        select.and_where(Expr::col("namespace_id").eq(query.namespace));
        let mut columns = vec![TagColumn::CreatedAt, TagColumn::Id];
        if !columns.contains(&query.sort) {
            columns.insert(0, query.sort);
        }
        if let Some(marker) = &query.marker {
            let of = |column: &TagColumn| of_marker(ItemKind::Tag.table(), column.name(), marker.id);
            let bound = |column: &TagColumn| (column.name(), column.is_set(marker).then(|| of(column)));
            let bounds: Vec<_> = columns.iter().map(bound).collect();
            select.cond_where(after(session.dialect(), &bounds, query.direction));
        }
        let names: Vec<&'static str> = columns.iter().map(|column| column.name()).collect();
        sort(&mut select, &names, query.direction);
        if let Some(limit) = query.limit {
            select.limit(limit);
        }
        session.rows(&select, read).await
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// One thing.
    Add,
    /// Several; which of them is there already is found out before.
    AddMany,
    /// All others go.
    Replace,
}

struct Add {
    kind: ItemKind,
    namespace: i64,
    new: Arc<[NewItem]>,
    mode: Mode,
}

impl UnitOfWork for Add {
    type Output = ();
    const NAME: &'static str = "add metadata definitions";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        lock(session, self.namespace).await?;
        let of_namespace = || Expr::col("namespace_id").eq(self.namespace);
        match self.mode {
            Mode::Add => {}
            Mode::AddMany => {
                let query = Query::select().column("name").from(self.kind.table()).and_where(of_namespace()).take();
                let known = session.rows(&query, |row| Columns::of(row).text()).await?;
                check_distinct(self.kind, known, &self.new)?;
            }
            Mode::Replace => {
                let delete = Query::delete().from_table(self.kind.table()).and_where(of_namespace()).take();
                session.execute(&delete).await?;
            }
        }
        insert_items(session, self.kind, self.namespace, &self.new).await
    }
}

/// Refuses the first name that is known or has come before.
fn check_distinct(kind: ItemKind, known: Vec<String>, new: &[NewItem]) -> Result<(), DbError> {
    let known: HashSet<String> = known.into_iter().collect();
    let mut seen: HashSet<&str> = known.iter().map(String::as_str).collect();
    match new.iter().find(|item| !seen.insert(&item.name)) {
        Some(again) => Err(DbError::Duplicate { what: kind.word(), key: again.name.clone() }),
        None => Ok(()),
    }
}

/// Inserts things into a namespace.
///
/// # Errors
/// [`DbError::Duplicate`] with the first name that comes twice, or that the database takes for one that is there.
pub(super) async fn insert_items(
    session: &mut Session,
    kind: ItemKind,
    namespace: i64,
    new: &[NewItem],
) -> Result<(), DbError> {
    check_distinct(kind, Vec::new(), new)?;
    for part in new.chunks(ROWS) {
        match insert_part(session, kind, namespace, part).await {
            Err(error) if error.is_duplicate() => {
                return Err(first_taken(session, kind, namespace, part).await?.map_or(error, |item| taken(kind, item)));
            }
            done => done?,
        }
    }
    Ok(())
}

async fn insert_part(session: &mut Session, kind: ItemKind, namespace: i64, part: &[NewItem]) -> Result<(), DbError> {
    let mut insert = Query::insert();
    insert.into_table(kind.table());
    for item in part {
        let now = clock::now();
        let (mut columns, mut row): (Vec<_>, Vec<_>) = values_of(kind, item).into_iter().unzip();
        columns.extend(["namespace_id", "created_at", "updated_at"]);
        row.extend([namespace.into(), now.into(), now.into()]);
        insert.columns(columns).values_panic(row);
    }
    session.execute(&insert).await.map(drop)
}

/// The one for whose name a statement was refused: MySQL takes names for the same that differ in case or accents. The transaction is taken
/// back afterwards, so it may be found out by inserting.
async fn first_taken<'a>(
    session: &mut Session,
    kind: ItemKind,
    namespace: i64,
    mut part: &'a [NewItem],
) -> Result<Option<&'a NewItem>, DbError> {
    while part.len() > 1 && session.dialect() == Dialect::MySql {
        let (first, second) = part.split_at(part.len() / 2);
        part = match insert_part(session, kind, namespace, first).await {
            Ok(()) => second,
            Err(error) if error.is_duplicate() => first,
            Err(error) => return Err(error),
        };
    }
    Ok(part.first())
}

fn taken(kind: ItemKind, new: &NewItem) -> DbError {
    DbError::Duplicate { what: kind.word(), key: new.name.clone() }
}

struct Update {
    kind: ItemKind,
    id: i64,
    new: NewItem,
}

impl UnitOfWork for Update {
    type Output = ();
    const NAME: &'static str = "update metadata definition";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let update = Query::update()
            .table(self.kind.table())
            .values(values_of(self.kind, &self.new))
            .value("updated_at", clock::now())
            .and_where(Expr::col("id").eq(self.id))
            .take();
        match session.execute(&update).await {
            Ok(0) => Err(gone(self.kind, self.id)),
            Ok(_) => Ok(()),
            Err(error) if error.is_duplicate() => Err(taken(self.kind, &self.new)),
            Err(error) => Err(error),
        }
    }
}

struct Remove {
    kind: ItemKind,
    id: i64,
}

impl UnitOfWork for Remove {
    type Output = ();
    const NAME: &'static str = "remove metadata definition";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let by_id = Expr::col("id").eq(self.id);
        match session.execute(&Query::delete().from_table(self.kind.table()).and_where(by_id).take()).await? {
            0 => Err(gone(self.kind, self.id)),
            _ => Ok(()),
        }
    }
}

struct Clear {
    kind: ItemKind,
    namespace: i64,
}

impl UnitOfWork for Clear {
    type Output = ();
    const NAME: &'static str = "clear metadata definitions";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        let of_namespace = Expr::col("namespace_id").eq(self.namespace);
        let delete = Query::delete().from_table(self.kind.table()).and_where(of_namespace).take();
        session.execute(&delete).await.map(drop)
    }
}

fn gone(kind: ItemKind, id: i64) -> DbError {
    DbError::NotFound { what: kind.word(), key: id.to_string() }
}
