//! Filters on the fields and properties of images.

use super::error::QueryError;
use super::moment;
use super::pairs::Pairs;
use crate::image::listing::{Comparison, Condition};
use crate::image::{Column, Kind};
use crate::schema::python::{Excerpt, integer};

/// Columns of text whose filter can have an operator.
const WITH_OPERATOR: [Column; 5] =
    [Column::Name, Column::Id, Column::Status, Column::ContainerFormat, Column::DiskFormat];

/// What hangs on an image and is no field of it; upstream fails on these.
const COLLECTIONS: [&str; 2] = ["locations", "properties"];

/// A condition on images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Column(Condition),
    /// The image has this custom property with this value.
    Property {
        name: String,
        value: String,
    },
}

/// All that is left of a query string.
pub(super) fn parse(others: &Pairs) -> Result<Vec<Filter>, QueryError> {
    let mut others = others.clone();
    let mut filters = Vec::new();
    // For these two the first value counts, and the last of any others.
    for column in [Column::Checksum, Column::OsHashValue] {
        filters.extend(others.pop(column.name()).map(|value| Filter::Column(Condition::Equal(column, value))));
    }
    for (name, value) in others.unique() {
        filters.push(parse_one(name, value)?);
    }
    Ok(filters)
}

fn parse_one(name: &str, value: &str) -> Result<Filter, QueryError> {
    if COLLECTIONS.contains(&name) {
        return Err(QueryError(format!("Unable to filter by '{name}'.")));
    }
    if let Some((stem, is_least)) = range(name) {
        return parse_range(stem, is_least, value).map(Filter::Column);
    }
    let Some(column) = Column::from_name(name) else {
        return Ok(Filter::Property { name: name.to_owned(), value: value.to_owned() });
    };
    let condition = match column.kind() {
        Kind::Text if WITH_OPERATOR.contains(&column) => parse_text(column, value)?,
        Kind::Time if column != Column::DeletedAt => parse_time(column, value)?,
        // A text that is no number is no column's that is one, and no image in a list is deleted. Flags were taken out before.
        _ => Condition::Equal(column, value.to_owned()),
    };
    Ok(Filter::Column(condition))
}

fn parse_range(stem: &str, is_least: bool, value: &str) -> Result<Condition, QueryError> {
    let value_is_wrong = || QueryError::new("Unable to filter on a range with a non-numeric value.");
    let limit = integer::column(value).ok_or_else(value_is_wrong)?;
    match Column::from_name(stem).filter(|column| column.kind() == Kind::Integer) {
        Some(column) if is_least => Ok(Condition::AtLeast(column, limit)),
        Some(column) => Ok(Condition::AtMost(column, limit)),
        // Upstream fails, or compares what has no order.
        None => Err(QueryError(format!("Unable to filter on a range of '{}'.", Excerpt(stem)))),
    }
}

fn parse_text(column: Column, value: &str) -> Result<Condition, QueryError> {
    match split_operator(value) {
        ("in", list) => Ok(Condition::In(column, split_list(list)?)),
        ("eq", value) => Ok(Condition::Equal(column, value.to_owned())),
        (other, _) => Err(QueryError(format!("Unable to filter by unknown operator '{}'.", Excerpt(other)))),
    }
}

fn range(name: &str) -> Option<(&str, bool)> {
    let least = name.strip_suffix("_min").map(|stem| (stem, true));
    least.or_else(|| name.strip_suffix("_max").map(|stem| (stem, false)))
}

fn parse_time(column: Column, value: &str) -> Result<Condition, QueryError> {
    let (operator, text) = split_operator(value);
    let Some(time) = moment::parse(text) else {
        let name = column.name();
        return Err(QueryError(format!("Bad \"{name}\" query filter format. Use ISO 8601 DateTime notation.")));
    };
    let comparison = match operator {
        "gt" => Comparison::Greater,
        "gte" => Comparison::GreaterOrEqual,
        "lt" => Comparison::Less,
        "lte" => Comparison::LessOrEqual,
        "neq" => Comparison::NotEqual,
        "eq" => Comparison::Equal,
        _ => return Err(QueryError::new("Unable to filter on a unknown operator.")),
    };
    Ok(Condition::Time(column, comparison, time))
}

/// The operator before the colon, unless all of it is a time.
fn split_operator(value: &str) -> (&str, &str) {
    match value.split_once(':') {
        Some(split) if moment::parse(value).is_none() => split,
        _ => ("eq", value),
    }
}

/// Values between commas; those with a comma in them are in double quotes.
fn split_list(list: &str) -> Result<Vec<String>, QueryError> {
    check_quotes(list).map_err(|what| QueryError(format!("Invalid filter value {}. {what}", Excerpt(list))))?;
    let mut values = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (value, more) = quoted(rest).unwrap_or_else(|| rest.split_once(',').unwrap_or((rest, "")));
        values.push(value.to_owned());
        rest = more;
    }
    Ok(values)
}

/// A value in quotes at the start, and what comes after its comma. A backslash keeps the character after it from ending the
/// value; it stays there.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inner.find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    })?;
    let (value, after) = inner.split_at(end);
    let after = after.strip_prefix('"')?;
    Some((value, after.strip_prefix(',').unwrap_or(after)))
}

fn check_quotes(list: &str) -> Result<(), &'static str> {
    let mut is_open = false;
    let mut before = None;
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '"' && before != Some('\\') {
            if !is_open && before.is_some_and(|before| before != ',') {
                return Err("There is no comma before opening quotation mark.");
            }
            if is_open && chars.peek().is_some_and(|after| *after != ',') {
                return Err("There is no comma after closing quotation mark.");
            }
            is_open = !is_open;
        }
        before = Some(c);
    }
    if is_open { Err("The quote is not closed.") } else { Ok(()) }
}
