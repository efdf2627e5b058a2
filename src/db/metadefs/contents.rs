//! What is in a namespace, in one query over all tables of it.

use std::cmp::Reverse;

use sea_query::{Expr, ExprTrait, JoinType, Query, SelectStatement, UnionType, Value};

use super::model::{Association, Contents, Item};
use crate::db::connection::Db;
use crate::db::error::DbError;
use crate::db::model::EPOCH;
use crate::db::retry::UnitOfWork;
use crate::db::row::{Columns, Row};
use crate::db::session::Session;
use crate::db::statement::{Template, parameter};
use crate::db::unreadable::TableRow;

/// Which table a row of the union comes from.
const OBJECT: i64 = 0;
const PROPERTY: i64 = 1;
const TAG: i64 = 2;
const ASSOCIATION: i64 = 3;

static ALL: Template = Template::new(|_| {
    let mut query = part(OBJECT);
    query.unions([PROPERTY, TAG, ASSOCIATION].map(|kind| (UnionType::All, part(kind))));
    query
});
static OBJECTS: Template = Template::new(|_| part(OBJECT));
static PROPERTIES: Template = Template::new(|_| part(PROPERTY));
static ASSOCIATIONS: Template = Template::new(|_| part(ASSOCIATION));

/// All that is in the namespace of this row id.
pub async fn contents(db: &Db, namespace: i64) -> Result<Contents, DbError> {
    db.read(Read { namespace, template: &ALL }).await
}

/// The objects of a namespace, by name.
pub async fn objects(db: &Db, namespace: i64) -> Result<Vec<Item>, DbError> {
    Ok(db.read(Read { namespace, template: &OBJECTS }).await?.objects)
}

/// The properties of a namespace, by name.
pub async fn properties(db: &Db, namespace: i64) -> Result<Vec<Item>, DbError> {
    Ok(db.read(Read { namespace, template: &PROPERTIES }).await?.properties)
}

/// The resource types with which a namespace is associated, the oldest association first.
pub async fn associations(db: &Db, namespace: i64) -> Result<Vec<Association>, DbError> {
    Ok(db.read(Read { namespace, template: &ASSOCIATIONS }).await?.associations)
}

/// The rows of one table, with the columns that all parts have. Objects must come first in a union: PostgreSQL takes the type of a
/// NULL from the parts before it.
fn part(kind: i64) -> SelectStatement {
    let mut query = Query::select();
    query.expr(Expr::cust(kind.to_string()));
    let null = || Expr::cust("NULL");
    let (table, texts) = match kind {
        OBJECT => ("metadef_objects", ["description", "required", "json_schema"].map(Expr::col)),
        PROPERTY => ("metadef_properties", [null(), null(), Expr::col("json_schema")]),
        TAG => ("metadef_tags", [null(), null(), null()]),
        _ => {
            let of = "metadef_namespace_resource_types";
            query.columns([("metadef_resource_types", "id"), ("metadef_resource_types", "name")]);
            query.columns([(of, "prefix"), (of, "properties_target")]).expr(null());
            query.columns([(of, "created_at"), (of, "updated_at")]).from(of);
            query.join(JoinType::InnerJoin, "metadef_resource_types", of_type());
            return query.and_where(Expr::col((of, "namespace_id")).eq(of_namespace())).take();
        }
    };
    query.columns(["id", "name"]).exprs(texts).columns(["created_at", "updated_at"]).from(table);
    query.and_where(Expr::col("namespace_id").eq(of_namespace())).take()
}

/// Joins an association with its resource type.
pub(super) fn of_type() -> Expr {
    Expr::col(("metadef_resource_types", "id")).equals(("metadef_namespace_resource_types", "resource_type_id"))
}

fn of_namespace() -> Expr {
    Expr::val(parameter(0))
}

struct Read {
    namespace: i64,
    template: &'static Template,
}

impl UnitOfWork for Read {
    type Output = Contents;
    const NAME: &'static str = "read metadata definitions";

    async fn run(&self, session: &mut Session) -> Result<Contents, DbError> {
        let statement = self.template.with(session.dialect(), vec![Value::from(self.namespace)]);
        let mut contents = Contents::default();
        for (kind, item) in session.rows(&statement, read).await? {
            match kind {
                OBJECT => contents.objects.push(item),
                PROPERTY => contents.properties.push(item),
                TAG => contents.tags.push(item),
                _ => contents.associations.push(association(item)),
            }
        }
        contents.objects.sort_by(|one, two| one.name.cmp(&two.name));
        contents.properties.sort_by(|one, two| one.name.cmp(&two.name));
        contents.tags.sort_by_key(|tag| Reverse((tag.created_at, tag.id)));
        contents.associations.sort_by_key(|one| (one.created_at, one.resource_type_id));
        Ok(contents)
    }
}

/// Row ids of the resource types with which a namespace is associated.
pub(super) async fn associations_in(session: &mut Session, namespace: i64) -> Result<Vec<i64>, DbError> {
    let statement = ASSOCIATIONS.with(session.dialect(), vec![Value::from(namespace)]);
    Ok(session.rows(&statement, read).await?.into_iter().map(|(_, item)| item.id).collect())
}

fn read(row: &dyn Row) -> Result<(i64, Item), DbError> {
    let mut columns = Columns::of(row);
    Ok((columns.integer()?, item(&mut columns)?))
}

/// Reads id, name, description, required, schema and times. Something stands in for what cannot be read, see
/// [`unreadable`](crate::db::unreadable).
pub(super) fn item(columns: &mut Columns<'_>) -> Result<Item, DbError> {
    let id = columns.integer()?;
    let row = TableRow::new("metadef_objects or beside it", &id);
    Ok(Item {
        id,
        name: row.or(columns.text(), String::new),
        description: row.or(columns.maybe_text(), || None),
        required: row.or(columns.maybe_text(), || None),
        json_schema: row.or(columns.maybe_text(), || None),
        created_at: row.or(columns.time(), || EPOCH),
        updated_at: row.or(columns.maybe_time(), || Some(EPOCH)),
    })
}

/// In the union, the prefix and the target stand where an object has its texts.
fn association(item: Item) -> Association {
    Association {
        resource_type_id: item.id,
        name: item.name,
        prefix: item.description,
        properties_target: item.required,
        created_at: item.created_at,
        updated_at: item.updated_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::dialect::Dialect;
    use crate::db::statement::Statement;

    #[test]
    fn a_namespace_is_read_in_one_query() {
        let (sql, values) = ALL.with(Dialect::MySql, vec![Value::from(7_i64)]).render(Dialect::MySql);
        assert_eq!(sql.as_str().matches(" UNION ALL ").count(), 3);
        assert_eq!(values.0, vec![Value::from(7_i64); 4]);
    }
}
