//! Statements as a database gets them: a text, and the values that belong in it.

use std::sync::{Arc, OnceLock};

use sea_query::{
    MysqlQueryBuilder, PostgresQueryBuilder, QueryBuilder, QueryStatementWriter, SelectStatement, SqliteQueryBuilder,
    Value, Values,
};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::dialect::Dialect;

/// What can be sent to a database.
pub(super) trait Statement {
    fn render(&self, dialect: Dialect) -> (SqlStr, Values);

    /// Whether a connection is to keep it prepared.
    fn is_kept(&self) -> bool {
        true
    }
}

impl<S: QueryStatementWriter> Statement for S {
    fn render(&self, dialect: Dialect) -> (SqlStr, Values) {
        let (sql, values) = build(dialect, self);
        (AssertSqlSafe(sql).into_sql_str(), values)
    }
}

fn build(dialect: Dialect, statement: &impl QueryStatementWriter) -> (String, Values) {
    match dialect {
        Dialect::Sqlite => statement.build(SqliteQueryBuilder),
        Dialect::Postgres => statement.build(PostgresQueryBuilder),
        Dialect::MySql => statement.build(MysqlQueryBuilder),
    }
}

/// Stands for value number `number` of a statement while its text is made. What clients send could look the same: it must
/// not be in a statement that is given to [`Text::make`], but among the values.
pub(super) fn parameter(number: usize) -> String {
    format!("\0{number}")
}

/// The text of a statement, made once for all values that may stand for its parameters.
///
/// What does not change between its uses is written into the text, such as a limit or a status: so the server knows it when
/// it makes a plan for all uses, and matches it with the conditions of partial indexes.
pub(super) struct Text {
    sql: Arc<str>,
    /// Which value belongs to each parameter; `None` if each value is one parameter.
    order: Option<Vec<usize>>,
}

/// A text with its values.
pub(super) struct Filled {
    text: Arc<Text>,
    values: Vec<Value>,
    is_kept: bool,
}

impl Text {
    /// A text of PostgreSQL that the builder has no words for. It has `$1` and so on where the values belong.
    pub(super) fn of_postgres(sql: String) -> Self {
        Self { sql: sql.into(), order: None }
    }

    /// `statement` holds [`parameter`]s and what the program itself fixes, and nothing that comes from a client: that would be
    /// written into the text, or be taken for a parameter.
    pub(super) fn make(dialect: Dialect, statement: &impl QueryStatementWriter) -> Self {
        let (template, values) = build(dialect, statement);
        let mut values = values.0.iter();
        let (mut sql, mut order) = (String::with_capacity(template.len()), Vec::new());
        let mut rest = template.as_str();
        // The builders quote names and write all values as parameters: nothing else has these signs.
        while let Some((before, after)) = rest.split_once(['?', '$']) {
            sql.push_str(before);
            rest = after.trim_start_matches(|sign: char| sign.is_ascii_digit());
            match values.next() {
                Some(value) => match number(value) {
                    Some(number) => {
                        sql.push_str(&match dialect {
                            Dialect::Postgres => format!("${}", number + 1),
                            Dialect::Sqlite => format!("?{}", number + 1),
                            Dialect::MySql => "?".to_owned(),
                        });
                        order.push(number);
                    }
                    None => sql.push_str(&literal(dialect, value)),
                },
                None => sql.push('?'),
            }
        }
        sql.push_str(rest);
        Self { sql: sql.into(), order: (dialect == Dialect::MySql).then_some(order) }
    }
}

/// The number of the parameter that the value stands for.
fn number(value: &Value) -> Option<usize> {
    match value {
        Value::String(Some(text)) => text.strip_prefix('\0')?.parse().ok(),
        _ => None,
    }
}

fn literal(dialect: Dialect, value: &Value) -> String {
    match dialect {
        Dialect::Sqlite => SqliteQueryBuilder.value_to_string(value),
        Dialect::Postgres => PostgresQueryBuilder.value_to_string(value),
        Dialect::MySql => MysqlQueryBuilder.value_to_string(value),
    }
}

impl Filled {
    pub(super) fn new(text: Arc<Text>, values: Vec<Value>) -> Self {
        Self { text, values, is_kept: true }
    }

    /// The same, but no connection keeps it prepared: neither here nor in the server is there room for many of its size.
    pub(super) fn unkept(self) -> Self {
        Self { is_kept: false, ..self }
    }

    /// A statement that is used once, with all its values as parameters; none of them can change its meaning.
    pub(super) fn once(dialect: Dialect, statement: &impl QueryStatementWriter) -> Self {
        let (sql, Values(values)) = build(dialect, statement);
        Self::new(Arc::new(Text { sql: sql.into(), order: None }), values)
    }
}

impl Statement for Filled {
    fn render(&self, _: Dialect) -> (SqlStr, Values) {
        let values = match &self.text.order {
            None => self.values.clone(),
            Some(order) => order.iter().filter_map(|&number| self.values.get(number).cloned()).collect(),
        };
        (AssertSqlSafe(Arc::clone(&self.text.sql)).into_sql_str(), Values(values))
    }

    fn is_kept(&self) -> bool {
        self.is_kept
    }
}

/// A query in which nothing changes but its values. Its text is made once for each dialect.
pub(super) struct Template {
    build: fn(Dialect) -> SelectStatement,
    made: [OnceLock<Arc<Text>>; 3],
}

impl Template {
    /// `build` puts [`parameter`] where it wants values.
    pub(super) const fn new(build: fn(Dialect) -> SelectStatement) -> Self {
        Self { build, made: [const { OnceLock::new() }; 3] }
    }

    pub(super) fn with(&self, dialect: Dialect, values: Vec<Value>) -> Filled {
        let [sqlite, postgres, mysql] = &self.made;
        let made = match dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
            Dialect::MySql => mysql,
        };
        let text = made.get_or_init(|| Arc::new(Text::make(dialect, &(self.build)(dialect))));
        Filled::new(Arc::clone(text), values)
    }
}

#[cfg(test)]
mod tests {
    use sea_query::{Expr, ExprTrait, Query};

    use super::*;

    fn select(_: Dialect) -> SelectStatement {
        let mut query = Query::select();
        query
            .column("id")
            .from("images")
            .and_where(Expr::col("id").eq(parameter(1)))
            .and_where(Expr::col("size").gt(7));
        query.and_where(Expr::col("owner").ne(parameter(0))).and_where(Expr::col("status").eq("it's"));
        query.and_where(Expr::col("name").ne(parameter(1))).and_where(Expr::col("deleted").eq(false)).limit(25);
        query
    }

    static TEMPLATE: Template = Template::new(select);

    #[test]
    fn values_go_where_they_belong_and_what_is_fixed_is_in_the_text() {
        let (a, b) = (Value::from("a"), Value::from("b"));
        let expected = [
            (
                Dialect::Sqlite,
                r#"SELECT "id" FROM "images" WHERE "id" = ?2 AND "size" > 7 AND "owner" <> ?1 AND "status" = 'it''s' AND "name" <> ?2 AND "deleted" = FALSE LIMIT 25"#,
                vec![a.clone(), b.clone()],
            ),
            (
                Dialect::Postgres,
                r#"SELECT "id" FROM "images" WHERE "id" = $2 AND "size" > 7 AND "owner" <> $1 AND "status" = E'it\'s' AND "name" <> $2 AND "deleted" = FALSE LIMIT 25"#,
                vec![a.clone(), b.clone()],
            ),
            (
                Dialect::MySql,
                r"SELECT `id` FROM `images` WHERE `id` = ? AND `size` > 7 AND `owner` <> ? AND `status` = 'it\'s' AND `name` <> ? AND `deleted` = FALSE LIMIT 25",
                vec![b.clone(), a.clone(), b.clone()],
            ),
        ];
        for (dialect, text, values) in expected {
            let (sql, found) = TEMPLATE.with(dialect, vec![a.clone(), b.clone()]).render(dialect);
            assert_eq!((sql.as_str(), found.0), (text, values), "{dialect:?}");
        }
    }

    #[test]
    fn a_statement_that_is_used_once_has_no_value_in_its_text() {
        let name = parameter(0) + "'\\ ? $1";
        let query =
            Query::select().column("id").from("images").and_where(Expr::col("name").eq(name.as_str())).limit(7).take();
        let expected = [
            (Dialect::Sqlite, r#"SELECT "id" FROM "images" WHERE "name" = ? LIMIT ?"#),
            (Dialect::Postgres, r#"SELECT "id" FROM "images" WHERE "name" = $1 LIMIT $2"#),
            (Dialect::MySql, "SELECT `id` FROM `images` WHERE `name` = ? LIMIT ?"),
        ];
        for (dialect, text) in expected {
            let (sql, found) = Filled::once(dialect, &query).render(dialect);
            assert_eq!(
                (sql.as_str(), found.0),
                (text, vec![Value::from(name.as_str()), Value::from(7_u64)]),
                "{dialect:?}"
            );
        }
    }
}
