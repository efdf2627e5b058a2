//! Query strings of the image routes, as typed requests (upstream: `RequestDeserializer.index` in `glance/api/v2/images.py` and
//! `_make_conditions_from_filters` in `glance/db/sqlalchemy/api.py`).

mod error;
mod filter;
mod moment;
mod pairs;
mod sort;
mod tasks;

pub(in crate::api) use self::pairs::Pairs;
pub use error::QueryError;
pub use filter::Filter;
pub(in crate::api) use tasks::TaskListQuery;

use crate::config::Config;
use crate::image::Column;
use crate::image::listing::Direction;
use crate::schema::python::integer::column;
use crate::schema::python::{Excerpt, strip};

/// How many images a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// When the client does not say.
    pub default: u64,
    /// At most.
    pub most: u64,
}

impl PageLimits {
    /// From `limit_param_default` and `api_limit_max`.
    pub fn new(config: &Config) -> Self {
        let images = |option: i64| u64::try_from(option).unwrap_or(0);
        Self { default: images(config.default.limit_param_default), most: images(config.default.api_limit_max) }
    }
}

/// Which visibilities a list is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisibilityFilter {
    /// All but community images of others.
    Default,
    All,
    /// Of this visibility alone; an empty text is no image's.
    Only(String),
}

/// A request for a list of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Images on a page, already capped.
    pub limit: u64,
    /// Id of the last image of the page before.
    pub marker: Option<String>,
    /// Status of the caller's membership in shared images; `None` is any.
    pub member_status: Option<String>,
    pub visibility: VisibilityFilter,
    /// All of these must be there.
    pub tags: Vec<String>,
    /// Most important first; at least one.
    pub sort_keys: Vec<Column>,
    /// One for all keys, or one for each.
    pub sort_directions: Vec<Direction>,
    /// `os_hidden`
    pub is_hidden: bool,
    /// `protected`
    pub is_protected: Option<bool>,
    others: Pairs,
}

impl ListQuery {
    /// Reads all but the filters on fields and properties, which upstream looks at only after the policy has spoken.
    ///
    /// # Errors
    /// The first parameter that makes no sense.
    pub fn parse(query: &str, limits: PageLimits) -> Result<Self, QueryError> {
        let mut pairs = Pairs::decode(query)?;
        let limit = pairs.pop("limit");
        let marker = pairs.pop("marker");
        let member_status = pairs.pop("member_status");
        let mut tags: Vec<_> = pairs.pop_all("tag").iter().map(|tag| strip(tag).to_owned()).collect();
        check_visibility(&pairs)?;
        let member_status = parse_member_status(member_status)?;
        let limit = limit.map_or(Ok(limits.default), |limit| parse_limit(&limit))?;
        let (sort_keys, sort_directions) = sort::parse(&mut pairs)?;
        let is_hidden = parse_hidden(&pairs)?;
        let is_protected = parse_protected(&pairs)?;
        let visibility = match pairs.pop("visibility") {
            None => VisibilityFilter::Default,
            Some(name) if name == "all" => VisibilityFilter::All,
            Some(name) => VisibilityFilter::Only(name),
        };
        // Upstream has these under names of their own, which a client's parameters of the same name do not get past.
        for name in ["os_hidden", "protected", "deleted", "changes-since"] {
            pairs.pop_all(name);
        }
        let as_text = pairs.pop_all("tags");
        if tags.is_empty() {
            // A text where a list belongs: upstream takes its characters for the tags.
            tags.extend(as_text.first().into_iter().flat_map(|text| text.chars()).map(String::from));
        }
        Ok(Self {
            limit: limit.min(limits.most),
            marker,
            member_status,
            visibility,
            tags,
            sort_keys,
            sort_directions,
            is_hidden,
            is_protected,
            others: pairs,
        })
    }

    /// The filters on fields and properties, all of which must hold; [`ListQuery::is_hidden`] and
    /// [`ListQuery::is_protected`] are not among them.
    ///
    /// # Errors
    /// The first filter that makes no sense.
    pub fn filters(&self) -> Result<Vec<Filter>, QueryError> {
        filter::parse(&self.others)
    }
}

/// The path with the parameters of a list, for its document: all as the client sent them, but with the marker replaced.
/// Upstream keeps one of each name, and so loses all tags but one.
pub fn link(path: &str, query: &str, marker: Option<&str>) -> String {
    let pairs = Pairs::decode(query).unwrap_or_default();
    let kept = pairs.iter().filter(|(name, _)| *name != "marker");
    let encoded = pairs::encode(kept.chain(marker.map(|marker| ("marker", marker))));
    if encoded.is_empty() { path.to_owned() } else { format!("{path}?{encoded}") }
}

/// Stores that a download is to be read from if they have the image, from `prefer`.
///
/// # Errors
/// The query is not UTF-8.
pub fn preferred_stores(query: &str) -> Result<Vec<String>, QueryError> {
    let pairs = Pairs::decode(query)?;
    let names = pairs.get("prefer").unwrap_or("").split(',').map(strip);
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn check_visibility(pairs: &Pairs) -> Result<(), QueryError> {
    match pairs.get("visibility") {
        None | Some("" | "community" | "public" | "private" | "shared" | "all") => {}
        Some(other) => return Err(QueryError(format!("Invalid visibility value: {}", Excerpt(other)))),
    }
    // Upstream fails on an empty one.
    match pairs.get("changes-since") {
        None => Ok(()),
        Some(_) => Err(QueryError::new("The \"changes-since\" filter is no longer available on v2.")),
    }
}

fn parse_member_status(status: Option<String>) -> Result<Option<String>, QueryError> {
    let status = status.unwrap_or_else(|| "accepted".to_owned());
    match status.as_str() {
        "all" => Ok(None),
        "pending" | "accepted" | "rejected" => Ok(Some(status)),
        _ => Err(QueryError(format!("Invalid status: {}", Excerpt(&status)))),
    }
}

fn parse_limit(limit: &str) -> Result<u64, QueryError> {
    let limit = column(limit).ok_or_else(|| QueryError::new("limit param must be an integer"))?;
    u64::try_from(limit).map_err(|_| QueryError::new("limit param must be positive"))
}

fn parse_hidden(pairs: &Pairs) -> Result<bool, QueryError> {
    let value = pairs.get("os_hidden").unwrap_or("false").to_lowercase();
    flag(&value).ok_or_else(|| not_a_flag(&value, "os_hidden"))
}

fn parse_protected(pairs: &Pairs) -> Result<Option<bool>, QueryError> {
    let parse = |value| flag(value).ok_or_else(|| not_a_flag(value, "protected"));
    pairs.get("protected").map(parse).transpose()
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn not_a_flag(value: &str, name: &str) -> QueryError {
    QueryError(format!("Invalid value '{}' for '{name}' filter. Valid values are 'true' or 'false'.", Excerpt(value)))
}

#[cfg(test)]
mod tests;
