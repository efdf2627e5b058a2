//! Query strings of the lists (upstream: `RequestDeserializer.index` in `glance/api/v2/metadef_*.py`).

use crate::api::Error;
use crate::api::query::{PageLimits, Pairs, QueryError};
use crate::metadef::listing::{Direction, NamespaceColumn, TagColumn};
use crate::schema::python::Excerpt;
use crate::schema::python::integer::column;

/// A request for a list of namespaces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamespaceList {
    pub(super) limit: u64,
    /// Name of the last namespace of the page before.
    pub(super) marker: Option<String>,
    pub(super) sort: NamespaceColumn,
    pub(super) direction: Direction,
    pub(super) visibility: Option<String>,
    pub(super) resource_types: Option<Vec<String>>,
}

/// A request for a list of tags, or of objects, which come in one page and one order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ItemList {
    pub(super) limit: Option<u64>,
    /// Name of the last tag of the page before.
    pub(super) marker: Option<String>,
    sort: Option<String>,
    pub(super) direction: Direction,
}

impl NamespaceList {
    /// # Errors
    /// 400 for the first parameter that makes no sense; upstream answers 500 to a limit that is no number, and to an unknown key.
    pub(super) fn parse(query: &str, limits: PageLimits) -> Result<Self, Error> {
        let mut pairs = Pairs::decode(query)?;
        let (limit, marker, direction) = (pairs.pop("limit"), pairs.pop("marker"), pairs.pop("sort_dir"));
        let limit = match limit {
            Some(limit) => number(&limit)?.min(i64::try_from(limits.most).unwrap_or(i64::MAX)),
            None => i64::try_from(limits.default.min(limits.most)).unwrap_or(i64::MAX),
        };
        let sort = pairs.pop("sort_key");
        let direction = parse_direction(direction.as_deref())?;
        check_visibility(&pairs, &["public", "private"])?;
        let limit = u64::try_from(limit).map_err(|_| not_positive())?;
        let sort = sort.as_deref().map_or(Some(NamespaceColumn::CreatedAt), NamespaceColumn::from_name);
        Ok(Self {
            limit,
            marker,
            sort: sort.ok_or_else(bad_key)?,
            direction,
            resource_types: pairs.get("resource_types").map(|types| types.split(',').map(str::to_owned).collect()),
            visibility: pairs.pop("visibility"),
        })
    }
}

impl ItemList {
    /// # Errors
    /// 400 for the first parameter that makes no sense. `least`: the smallest limit.
    pub(super) fn parse(query: &str, least: i64) -> Result<Self, Error> {
        let mut pairs = Pairs::decode(query)?;
        let (limit, marker, direction) = (pairs.pop("limit"), pairs.pop("marker"), pairs.pop("sort_dir"));
        let sort = pairs.pop("sort_key");
        let direction = parse_direction(direction.as_deref())?;
        check_visibility(&pairs, &["public", "private", "shared"])?;
        // An empty limit is none for tags, but no number for objects.
        let limit = limit.filter(|limit| least > 0 || !limit.is_empty()).as_deref().map(number).transpose()?;
        if limit.is_some_and(|limit| limit < least) {
            return Err(not_positive().into());
        }
        let limit = limit.map(|limit| u64::try_from(limit).unwrap_or(0));
        Ok(Self { limit, marker: marker.filter(|marker| !marker.is_empty()), sort, direction })
    }

    /// # Errors
    /// 400 for a column that tags do not have, where upstream answers 500.
    pub(super) fn sort(&self) -> Result<TagColumn, QueryError> {
        self.sort.as_deref().map_or(Some(TagColumn::CreatedAt), TagColumn::from_name).ok_or_else(bad_key)
    }
}

fn number(text: &str) -> Result<i64, QueryError> {
    column(text).ok_or_else(|| QueryError::new("limit param must be an integer"))
}

fn not_positive() -> QueryError {
    QueryError::new("limit param must be positive")
}

fn bad_key() -> QueryError {
    QueryError::new("Sort key supplied is invalid.")
}

fn parse_direction(word: Option<&str>) -> Result<Direction, QueryError> {
    match word {
        Some("asc") => Ok(Direction::Ascending),
        None | Some("desc") => Ok(Direction::Descending),
        Some(other) => Err(QueryError::new(format!("Invalid sort direction: {}", Excerpt(other)))),
    }
}

fn check_visibility(pairs: &Pairs, known: &[&str]) -> Result<(), QueryError> {
    match pairs.get("visibility") {
        Some(other) if !other.is_empty() && !known.contains(&other) => {
            Err(QueryError::new(format!("Invalid visibility value: {}", Excerpt(other))))
        }
        _ => Ok(()),
    }
}

/// The resource type whose prefix is wanted, in a request for one definition.
///
/// # Errors
/// 400 for a visibility that there is not.
pub(super) fn resource_type(query: &str, checks_visibility: bool) -> Result<Option<String>, Error> {
    let pairs = Pairs::decode(query)?;
    if checks_visibility {
        check_visibility(&pairs, &["public", "private"])?;
    }
    Ok(pairs.get("resource_type").filter(|name| !name.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Text;

    const LIMITS: PageLimits = PageLimits { default: 25, most: 1000 };

    fn text(error: Error) -> String {
        match error.text {
            Text::Explanation(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lists_of_namespaces_have_defaults_and_bounds() {
        let list = NamespaceList::parse("", LIMITS).unwrap();
        assert_eq!((list.limit, list.sort, list.direction), (25, NamespaceColumn::CreatedAt, Direction::Descending));
        let query = "limit=5000&sort_key=owner&sort_dir=asc&visibility=public&resource_types=a,b&x=y";
        let list = NamespaceList::parse(query, LIMITS).unwrap();
        let expected = NamespaceList {
            limit: 1000,
            marker: None,
            sort: NamespaceColumn::Owner,
            direction: Direction::Ascending,
            visibility: Some("public".to_owned()),
            resource_types: Some(vec!["a".to_owned(), "b".to_owned()]),
        };
        assert_eq!(list, expected);
    }

    /// The order is upstream's; a limit that is no number comes first there, with 500.
    #[test]
    fn the_first_fault_is_told() {
        let integer = "limit param must be an integer";
        for (query, expected) in [
            ("limit=x&sort_dir=y", integer),
            ("limit=-1&sort_dir=y", "Invalid sort direction: y"),
            ("limit=-1&visibility=shared", "Invalid visibility value: shared"),
            ("limit=-1&sort_key=x", "limit param must be positive"),
            ("sort_key=", "Sort key supplied is invalid."),
        ] {
            assert_eq!(text(NamespaceList::parse(query, LIMITS).unwrap_err()), expected, "{query}");
        }
        for (query, least, expected) in [
            ("limit=x&sort_dir=y", 0, "Invalid sort direction: y"),
            ("limit=x&visibility=z", 0, "Invalid visibility value: z"),
            ("limit=x", 0, integer),
            ("limit=", 1, integer),
            ("limit=0", 1, "limit param must be positive"),
            ("limit=-1", 0, "limit param must be positive"),
        ] {
            assert_eq!(text(ItemList::parse(query, least).unwrap_err()), expected, "{query}");
        }
        let tags = ItemList::parse("limit=&visibility=shared&sort_key=namespace_id", 0).unwrap();
        assert_eq!((tags.limit, tags.sort().unwrap()), (None, TagColumn::NamespaceId));
        assert_eq!(ItemList::parse("limit=0", 0).unwrap().limit, Some(0));
        assert!(ItemList::parse("sort_key=x", 0).unwrap().sort().is_err());
    }
}
