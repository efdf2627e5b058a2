//! The text of a list's statement, made once for each shape of it: what is left of a query when its values are taken out.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use sea_query::{SelectStatement, Value};

use super::page::{Bound, Form};
use super::query::{Condition, ListQuery, VALUES, VisibilityCondition};
use super::select;
use crate::db::dialect::Dialect;
use crate::db::model::Kind;
use crate::db::sql::padded;
use crate::db::statement::{Filled, Text, parameter};

/// Shapes whose text is kept. Clients choose shapes, so there must be a bound; all are dropped when it is reached.
const SHAPES: usize = 512;

/// Which of a page's statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Which {
    /// [`select::among_first`]
    AmongFirst,
    /// [`select::select`]
    All,
}

#[derive(PartialEq, Eq, Hash)]
struct Shape {
    dialect: Dialect,
    which: Which,
    query: ListQuery,
    marker: Option<Vec<Form>>,
}

type Texts = HashMap<Shape, Option<Arc<Text>>>;

static TEXTS: LazyLock<ArcSwap<Texts>> = LazyLock::new(ArcSwap::default);

/// The statement, unless it is one that this query does not have.
pub(super) fn statement(dialect: Dialect, which: Which, query: &ListQuery, marker: Option<&[Bound]>) -> Option<Filled> {
    let Some(split) = Split::of(query, marker) else {
        // Too odd to be kept.
        let statement = Filled::once(dialect, &build(dialect, which, query, marker)?);
        return Some(if query.has_long_list() { statement.unkept() } else { statement });
    };
    let Split { shape, marker, values } = split;
    let forms = marker.as_ref().map(|marker| marker.iter().map(Bound::form).collect());
    let shape = Shape { dialect, which, query: shape, marker: forms };
    let known = TEXTS.load().get(&shape).cloned();
    let text = known.unwrap_or_else(|| {
        let made = build(dialect, which, &shape.query, marker.as_deref());
        let text = made.map(|made| Arc::new(Text::make(dialect, &made)));
        keep(shape, text.clone());
        text
    })?;
    Some(Filled::new(text, values))
}

fn build(dialect: Dialect, which: Which, query: &ListQuery, marker: Option<&[Bound]>) -> Option<SelectStatement> {
    match which {
        Which::AmongFirst => select::among_first(dialect, query, &query.order(), marker),
        Which::All => Some(select::select(dialect, query, &query.order(), marker)),
    }
}

fn keep(shape: Shape, text: Option<Arc<Text>>) {
    let shape = Arc::new(shape);
    TEXTS.rcu(|texts| {
        let mut more: Texts = HashMap::new();
        if texts.len() < SHAPES {
            more.extend(texts.iter().map(|(shape, text)| (shape.copy(), text.clone())));
        }
        more.insert(shape.copy(), text.clone());
        more
    });
}

impl Shape {
    fn copy(&self) -> Self {
        Self { query: self.query.clone(), marker: self.marker.clone(), ..*self }
    }
}

/// A query with parameters for its values, and the values.
struct Split {
    shape: ListQuery,
    marker: Option<Vec<Bound>>,
    values: Vec<Value>,
}

impl Split {
    /// `None` if there are too many values, or one for which the statement has no parameter.
    fn of(query: &ListQuery, marker: Option<&[Bound]>) -> Option<Self> {
        if query.tags.len() + query.properties.len() + query.conditions.len() > VALUES {
            return None;
        }
        if let VisibilityCondition::Only(only) = &query.visibility
            && !matches!(only.as_str(), "public" | "private" | "shared" | "community")
        {
            return None;
        }
        let mut values: Vec<Value> = Vec::new();
        let mut put = |value: Value| {
            values.push(value);
            parameter(values.len() - 1)
        };
        let mut shape = query.clone();
        shape.marker = None;
        let texts = [&mut shape.viewer.project, &mut shape.member_status];
        for text in texts.into_iter().flatten().chain(&mut shape.tags) {
            *text = put(Value::from(std::mem::take(text)));
        }
        for (name, value) in &mut shape.properties {
            *name = put(Value::from(std::mem::take(name)));
            *value = put(Value::from(std::mem::take(value)));
        }
        for condition in &mut shape.conditions {
            match condition {
                Condition::Is(..) => {}
                Condition::Equal(column, text) if column.kind() == Kind::Text => {
                    *text = put(Value::from(std::mem::take(text)));
                }
                Condition::In(..) if condition.is_long() => return None,
                Condition::In(column, texts) if column.kind() == Kind::Text => {
                    let full = padded(std::mem::take(texts));
                    *texts = full.into_iter().map(|text| put(Value::from(text))).collect();
                }
                _ => return None,
            }
        }
        let marker = marker.map(|marker| marker.iter().map(|bound| bound.split(&mut put)).collect());
        Some(Self { shape, marker, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::images::list::{Column, Viewer};
    use crate::db::statement::Statement;

    fn query(project: &str, tag: &str, limit: u64) -> ListQuery {
        let viewer = Viewer { is_admin: false, project: Some(project.to_owned()) };
        let conditions = vec![
            Condition::Is(Column::OsHidden, false),
            Condition::Equal(Column::Name, format!("name of {tag}")),
            Condition::In(Column::Id, vec!["a".to_owned(), "b".to_owned(), tag.to_owned()]),
        ];
        let properties = vec![(format!("p{tag}"), "v".to_owned())];
        ListQuery { conditions, properties, tags: vec![tag.to_owned()], ..ListQuery::new(viewer, limit) }
    }

    #[test]
    fn one_text_for_a_shape_and_all_values_as_its_parameters() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
            for which in [Which::AmongFirst, Which::All] {
                let render = |project, tag, limit| {
                    let statement = statement(dialect, which, &query(project, tag, limit), None)?;
                    let (sql, values) = statement.render(dialect);
                    Some((sql.as_str().to_owned(), values.0))
                };
                let (Some(one), Some(two)) = (render("p", "t", 25), render("q", "u", 25)) else {
                    assert_eq!((dialect == Dialect::Sqlite, which), (false, Which::AmongFirst));
                    continue;
                };
                assert_eq!(one.0, two.0);
                let swap = |value: &Value| match value {
                    Value::String(Some(text)) => Value::from(match text.as_str() {
                        "p" => "q",
                        "t" => "u",
                        "pt" => "pu",
                        "name of t" => "name of u",
                        other => other,
                    }),
                    other => other.clone(),
                };
                assert_eq!(one.1.iter().map(swap).collect::<Vec<_>>(), two.1);
                assert_ne!(render("p", "t", 26).unwrap().0, one.0);
                assert!(!one.0.contains('\0'), "{}", one.0);
            }
        }
    }

    #[test]
    fn what_is_too_odd_to_be_kept_has_its_values_as_parameters() {
        let viewer = || Viewer { is_admin: true, project: None };
        let odd = [
            Condition::AtLeast(Column::Size, 5),
            Condition::Equal(Column::Size, "5".to_owned()),
            Condition::In(Column::Id, vec![String::new(); 1000]),
        ];
        for condition in odd {
            let name = Condition::Equal(Column::Name, "\x001 it's \\".to_owned());
            let query = ListQuery { conditions: vec![condition, name], ..ListQuery::new(viewer(), 5) };
            assert!(Split::of(&query, None).is_none());
            for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
                let statement = statement(dialect, Which::All, &query, None).unwrap();
                let (sql, values) = statement.render(dialect);
                assert!(values.0.contains(&Value::from("\x001 it's \\")), "{values:?}");
                assert!(!sql.as_str().contains("1 it"), "{}", sql.as_str());
                assert_eq!(statement.is_kept(), !query.has_long_list());
            }
        }
        let visibility = VisibilityCondition::Only("'; --".to_owned());
        assert!(Split::of(&ListQuery { visibility, ..ListQuery::new(viewer(), 5) }, None).is_none());
    }

    #[test]
    fn the_number_of_texts_is_bounded() {
        for limit in 1..2 * SHAPES as u64 {
            statement(Dialect::Postgres, Which::All, &query("p", "t", limit), None).unwrap();
        }
        assert!(TEXTS.load().len() <= SHAPES);
    }
}
