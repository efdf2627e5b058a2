//! The order of a list: `sort_key` and `sort_dir`, or `sort`.

use super::error::QueryError;
use super::pairs::Pairs;
use crate::image::Column;
use crate::image::listing::Direction;
use crate::schema::python::{Excerpt, strip};

/// What may be sorted by, in the order in which upstream tells it.
const KEYS: [Column; 8] = [
    Column::Name,
    Column::Status,
    Column::ContainerFormat,
    Column::DiskFormat,
    Column::Size,
    Column::Id,
    Column::CreatedAt,
    Column::UpdatedAt,
];

/// Takes the parameters out; newest first if there are none.
pub(super) fn parse(pairs: &mut Pairs) -> Result<(Vec<Column>, Vec<Direction>), QueryError> {
    let (mut keys, mut directions) = (Vec::new(), Vec::new());
    if pairs.get("sort").is_none() {
        for name in pairs.pop_all("sort_key") {
            keys.push(key(strip(&name))?);
        }
        for name in pairs.pop_all("sort_dir") {
            directions.push(direction(strip(&name))?);
        }
        if directions.len() > 1 && directions.len() != keys.len() {
            return Err(QueryError::new("Number of sort dirs does not match the number of sort keys"));
        }
    } else {
        if pairs.get("sort_key").is_some() || pairs.get("sort_dir").is_some() {
            return Err(QueryError::new("Old and new sorting syntax cannot be combined"));
        }
        for part in strip(&pairs.pop("sort").unwrap_or_default()).split(',') {
            let (name, order) = part.split_once(':').unwrap_or((part, ""));
            keys.push(key(strip(name))?);
            directions.push(if order.is_empty() { Direction::Descending } else { direction(strip(order))? });
        }
    }
    if keys.is_empty() {
        keys.push(Column::CreatedAt);
    }
    if directions.is_empty() {
        directions.push(Direction::Descending);
    }
    Ok((keys, directions))
}

fn key(name: &str) -> Result<Column, QueryError> {
    KEYS.into_iter().find(|known| known.name() == name).ok_or_else(|| {
        QueryError(format!(
            "Invalid sort key: {}. It must be one of the following: {}.",
            Excerpt(name),
            KEYS.map(Column::name).join(", ")
        ))
    })
}

fn direction(name: &str) -> Result<Direction, QueryError> {
    match name {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        _ => Err(QueryError(format!("Invalid sort direction: {}", Excerpt(name)))),
    }
}
