//! Query strings of the list of tasks (upstream: `RequestDeserializer.index` in `glance/api/v2/tasks.py`).

use uuid::Uuid;

use super::error::QueryError;
use super::pairs::Pairs;
use super::{PageLimits, parse_limit};
use crate::schema::python::Excerpt;

/// A request for a list of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct TaskListQuery {
    /// Tasks on a page, already capped.
    pub(in crate::api) limit: u64,
    pub(in crate::api) marker: Option<String>,
    pub(in crate::api) sort_key: String,
    pub(in crate::api) is_descending: bool,
    /// Whatever else the client wrote.
    pub(in crate::api) filters: Vec<(String, String)>,
}

impl TaskListQuery {
    /// # Errors
    /// The first parameter that makes no sense.
    pub(in crate::api) fn parse(query: &str, limits: PageLimits) -> Result<Self, QueryError> {
        let mut pairs = Pairs::decode(query)?;
        let (limit, marker) = (pairs.pop("limit"), pairs.pop("marker"));
        let direction = pairs.pop("sort_dir").unwrap_or_else(|| "desc".to_owned());
        let sort_key = pairs.pop("sort_key").unwrap_or_else(|| "created_at".to_owned());
        if direction != "asc" && direction != "desc" {
            return Err(QueryError(format!("Invalid sort direction: {}", Excerpt(&direction))));
        }
        for (name, allowed) in [("status", &["pending", "processing", "success", "failure"][..]), ("type", &["import"])]
        {
            if let Some(value) = pairs.get(name).filter(|value| !value.is_empty() && !allowed.contains(value)) {
                return Err(QueryError(format!("Invalid {name} value: {}", Excerpt(value))));
            }
        }
        if marker.as_deref().is_some_and(|marker| !marker.is_empty() && Uuid::try_parse(marker).is_err()) {
            return Err(QueryError::new("Invalid marker format"));
        }
        let limit = limit.map_or(Ok(limits.default), |limit| parse_limit(&limit))?;
        Ok(Self {
            limit: limit.min(limits.most),
            marker,
            sort_key,
            is_descending: direction == "desc",
            filters: pairs.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PageLimits = PageLimits { default: 25, most: 1000 };

    #[test]
    fn parameters_are_read_in_upstreams_order() {
        let parsed = TaskListQuery::parse("limit=2000&sort_key=type&sort_dir=asc&status=&owner=a&x=1", LIMITS).unwrap();
        assert_eq!((parsed.limit, parsed.sort_key.as_str(), parsed.is_descending), (1000, "type", false));
        let filters: Vec<_> = parsed.filters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(filters, [("status", ""), ("owner", "a"), ("x", "1")]);
        for (query, expected) in [
            ("sort_dir=up&status=x", "Invalid sort direction: up"),
            ("status=x&type=y&marker=z", "Invalid status value: x"),
            ("type=api_image_import&marker=z", "Invalid type value: api_image_import"),
            ("marker=z&limit=q", "Invalid marker format"),
            ("limit=q", "limit param must be an integer"),
            ("limit=-1", "limit param must be positive"),
        ] {
            assert_eq!(TaskListQuery::parse(query, LIMITS).unwrap_err().to_string(), expected, "{query}");
        }
    }
}
