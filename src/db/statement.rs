//! Statements as a database gets them: a text, and the values that belong in it.

use std::sync::OnceLock;

use sea_query::{
    MysqlQueryBuilder, PostgresQueryBuilder, QueryStatementWriter, SelectStatement, SqliteQueryBuilder, Value, Values,
};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::connection::Dialect;

/// What can be sent to a database.
pub(super) trait Statement {
    fn render(&self, dialect: Dialect) -> (SqlStr, Values);
}

impl<S: QueryStatementWriter> Statement for S {
    fn render(&self, dialect: Dialect) -> (SqlStr, Values) {
        let (sql, values) = match dialect {
            Dialect::Sqlite => self.build(SqliteQueryBuilder),
            Dialect::Postgres => self.build(PostgresQueryBuilder),
            Dialect::MySql => self.build(MysqlQueryBuilder),
        };
        (AssertSqlSafe(sql).into_sql_str(), values)
    }
}

/// A query in which nothing changes but one text, perhaps in several places. It is put together once for each dialect: for
/// every request, that would be hundreds of allocations.
pub(super) struct Template {
    build: fn(&str) -> SelectStatement,
    made: [OnceLock<(String, Values)>; 3],
}

/// A template with its text.
pub(super) struct Filled<'a> {
    template: &'static Template,
    text: &'a str,
}

/// Stands for the text in the values of a template. No column holds it.
const PLACE: &str = "\0";

impl Template {
    /// `build` puts the text into values only, where it asks for it.
    pub(super) const fn new(build: fn(&str) -> SelectStatement) -> Self {
        Self { build, made: [const { OnceLock::new() }; 3] }
    }

    pub(super) fn with<'a>(&'static self, text: &'a str) -> Filled<'a> {
        Filled { template: self, text }
    }
}

impl Statement for Filled<'_> {
    fn render(&self, dialect: Dialect) -> (SqlStr, Values) {
        let [sqlite, postgres, mysql] = &self.template.made;
        let made = match dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
            Dialect::MySql => mysql,
        };
        let (sql, values) = made.get_or_init(|| {
            let (sql, values) = (self.template.build)(PLACE).render(dialect);
            (sql.as_str().to_owned(), values)
        });
        let filled = values.iter().map(|value| match value {
            Value::String(Some(place)) if place == PLACE => self.text.into(),
            fixed => fixed.clone(),
        });
        (SqlStr::from_static(sql), Values(filled.collect()))
    }
}

#[cfg(test)]
mod tests {
    use sea_query::{Expr, ExprTrait, Query};

    use super::*;

    fn select(text: &str) -> SelectStatement {
        let mut query = Query::select();
        query.column("id").from("images").and_where(Expr::col("id").eq(text)).and_where(Expr::col("size").gt(7));
        query.and_where(Expr::col("owner").ne(text)).and_where(Expr::col("status").eq("active"));
        query
    }

    static TEMPLATE: Template = Template::new(select);

    #[test]
    fn a_filled_template_is_the_statement_with_that_text() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
            for text in ["one", "two", "", "it's"] {
                let (sql, values) = TEMPLATE.with(text).render(dialect);
                let (expected, expected_values) = select(text).render(dialect);
                assert_eq!((sql.as_str(), values), (expected.as_str(), expected_values), "{dialect:?} {text}");
            }
        }
    }
}
