//! Queries about any number of images by their ids.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _};
use sea_query::{Expr, ExprTrait, Func, SelectStatement, Value};
use time::OffsetDateTime;
use tracing::warn;

use super::dialect::Dialect;
use super::error::DbError;
use super::row::Row;
use super::session::Session;
use super::sql::{PAGE, padded};
use super::statement::{Filled, Text, parameter};

/// From when on [`Way::Index`] is tried, in seconds since 1970: later than now if one of MySQL's tables lacked such an index lately.
static NEXT_TRY: AtomicI64 = AtomicI64::new(0);

/// How long it is not tried then, in seconds. Somebody may be about to make the index anew.
const PAUSE: i64 = 600;

/// How MySQL and MariaDB find the rows of several images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Along the index of the images' ids. What MariaDB knows of its indexes may be from when the table was empty, so that it would rather
    /// read all of it. Besides, it looks into each index that could serve, for each id, before it decides.
    Index,
    /// As the server sees fit: where an index has another name than upstream's migrations give it.
    Choice,
}

impl Way {
    /// The query is to find the rows of `table`, its last one, in this way.
    pub(super) fn apply(self, select: &mut SelectStatement, table: &'static str) {
        if self == Self::Index {
            // Of the three builders only MySQL's writes it.
            select.force_index(format!("ix_{table}_image_id"), IndexHintScope::All);
        }
    }
}

/// A query about any number of images by their ids. Its text is made once for each dialect and, where there are no arrays, for each
/// length.
pub(super) struct OfIds {
    build: Build,
    /// One text and one plan for any number of ids.
    of_array: OnceLock<Arc<Text>>,
    of_sqlite: Lists,
    of_mysql: [Lists; 2],
}

/// Is given the condition that a column holds one of the ids.
type Build = fn(Dialect, Way, &dyn Fn(&'static str) -> Expr) -> SelectStatement;

/// Powers of two, up to 1024.
const POWERS: usize = 11;

/// The texts for lists of such lengths as [`padded`] gives.
struct Lists {
    of_page: OnceLock<Arc<Text>>,
    of_powers: [OnceLock<Arc<Text>>; POWERS],
}

impl Lists {
    const fn new() -> Self {
        Self { of_page: OnceLock::new(), of_powers: [const { OnceLock::new() }; POWERS] }
    }

    fn get_or_make(&self, length: usize, make: impl FnOnce() -> Arc<Text>) -> Arc<Text> {
        let of_power = self.of_powers.get(length.trailing_zeros() as usize);
        let place = if length == PAGE { Some(&self.of_page) } else { of_power };
        match place {
            Some(made) => Arc::clone(made.get_or_init(make)),
            None => make(),
        }
    }
}

impl OfIds {
    /// As [`Template::new`](super::statement::Template::new).
    pub(super) const fn new(build: Build) -> Self {
        Self { build, of_array: OnceLock::new(), of_sqlite: Lists::new(), of_mysql: [const { Lists::new() }; 2] }
    }

    /// Asks about these ids, at least one, and reads each row of the answer.
    pub(super) async fn rows<T>(
        &self,
        session: &mut Session,
        ids: &[&str],
        read: impl Fn(&dyn Row) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        let dialect = session.dialect();
        if dialect == Dialect::MySql && now() >= NEXT_TRY.load(Ordering::Relaxed) {
            match session.rows(&self.with(dialect, Way::Index, ids), &read).await {
                Err(error) if error.is_of_index() => {
                    warn!(error = &error as &dyn std::error::Error, "lists of images may be slow for some minutes");
                    NEXT_TRY.store(now() + PAUSE, Ordering::Relaxed);
                }
                found => return found,
            }
        }
        session.rows(&self.with(dialect, Way::Choice, ids), &read).await
    }

    fn with(&self, dialect: Dialect, way: Way, ids: &[&str]) -> Filled {
        if dialect == Dialect::Postgres {
            let is_among = |column| Expr::col(column).eq(Func::cust("ANY").arg(Expr::val(parameter(0))));
            let make = || Arc::new(Text::make(dialect, &(self.build)(dialect, way, &is_among)));
            return Filled::new(
                Arc::clone(self.of_array.get_or_init(make)),
                vec![ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().into()],
            );
        }
        let lists = match (dialect, way) {
            (Dialect::MySql, Way::Index) => &self.of_mysql[0],
            (Dialect::MySql, Way::Choice) => &self.of_mysql[1],
            _ => &self.of_sqlite,
        };
        let ids = padded(ids.to_vec());
        let text = lists.get_or_make(ids.len(), || {
            let parameters: Vec<String> = (0..ids.len()).map(parameter).collect();
            let is_among = |column| Expr::col(column).is_in(parameters.iter().cloned());
            Arc::new(Text::make(dialect, &(self.build)(dialect, way, &is_among)))
        });
        Filled::new(text, ids.into_iter().map(Value::from).collect())
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[cfg(test)]
mod tests {
    use sea_query::Query;

    use super::*;
    use crate::db::sql::padded_length;
    use crate::db::statement::Statement as _;

    static TAGS: OfIds = OfIds::new(|_, way, is_among| {
        let mut query = Query::select();
        way.apply(query.column("value").from("image_tags").and_where(is_among("image_id")), "image_tags");
        query
    });

    fn sent(dialect: Dialect, way: Way, count: usize) -> (String, Vec<Value>) {
        let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (sql, values) = TAGS.with(dialect, way, &ids).render(dialect);
        (sql.as_str().to_owned(), values.0)
    }

    #[test]
    fn mysql_is_told_which_index_to_take_and_nobody_else() {
        for (dialect, way, text) in [
            (
                Dialect::MySql,
                Way::Index,
                "SELECT `value` FROM `image_tags` FORCE INDEX (`ix_image_tags_image_id`) WHERE `image_id` IN (?, ?)",
            ),
            (Dialect::MySql, Way::Choice, "SELECT `value` FROM `image_tags` WHERE `image_id` IN (?, ?)"),
            (Dialect::Sqlite, Way::Choice, r#"SELECT "value" FROM "image_tags" WHERE "image_id" IN (?1, ?2)"#),
            (Dialect::Postgres, Way::Choice, r#"SELECT "value" FROM "image_tags" WHERE "image_id" = ANY($1)"#),
        ] {
            assert_eq!(sent(dialect, way, 2).0, text);
        }
    }

    #[test]
    fn a_text_is_for_all_lists_of_about_its_length() {
        for count in [1, 3, 17, 25, 26, 1024, 2000, 3000] {
            let (text, values) = sent(Dialect::MySql, Way::Index, count);
            assert_eq!(values.len(), padded_length(count));
            assert_eq!(text.matches('?').count(), values.len());
            assert_eq!(values.last(), Some(&Value::from((count - 1).to_string())));
        }
    }
}
