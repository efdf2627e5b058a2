//! What may be asked of a list.

use std::collections::HashSet;

use time::PrimitiveDateTime;

use crate::db::model::Column;

/// Lists with more values than this in all are rare: nothing of their statements is kept.
pub(super) const VALUES: usize = 40;

/// Which images, in which order, how many (`image_get_all` in `glance/db/sqlalchemy/api.py`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListQuery {
    /// Who asks.
    pub viewer: Viewer,
    /// Shared images count only if the viewer's membership has this status; `None` is any.
    pub member_status: Option<String>,
    pub visibility: VisibilityCondition,
    /// `None` is both. With `Some(false)`, images in the status `killed` are left out too, as upstream does.
    pub deleted: Option<bool>,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The image must have all of these properties with these values.
    pub properties: Vec<(String, String)>,
    /// The image must have all of these tags.
    pub tags: Vec<String>,
    /// Most important first. `created_at` and `id` are added, in [`Self::tie_break`], if they are not there.
    pub sort: Vec<(Column, Direction)>,
    pub tie_break: Direction,
    /// Id of the last image of the page before.
    pub marker: Option<String>,
    /// Most images to return; the caller has capped it.
    pub limit: u64,
}

/// Smallest or largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    Ascending,
    #[default]
    Descending,
}

impl ListQuery {
    /// What upstream's API asks for when the client asks for nothing in particular: not deleted, newest first, shared
    /// images only once accepted. Hidden images are in it; the API adds the condition.
    pub fn new(viewer: Viewer, limit: u64) -> Self {
        Self {
            viewer,
            member_status: Some("accepted".to_owned()),
            visibility: VisibilityCondition::Default,
            deleted: Some(false),
            conditions: Vec::new(),
            properties: Vec::new(),
            tags: Vec::new(),
            sort: Vec::new(),
            tie_break: Direction::Descending,
            marker: None,
            limit,
        }
    }

    /// Sets the order as upstream makes it from its parameters: no key is `created_at`; no direction is descending, one
    /// direction is for all keys and for the tie-breakers too. With several, keys without one are descending.
    pub fn set_sort(&mut self, keys: &[Column], directions: &[Direction]) {
        let keys = if keys.is_empty() { &[Column::CreatedAt] } else { keys };
        self.tie_break = match directions {
            [one] => *one,
            _ => Direction::Descending,
        };
        let direction = |index: usize| directions.get(index).copied().unwrap_or(self.tie_break);
        self.sort = keys.iter().enumerate().map(|(index, key)| (*key, direction(index))).collect();
    }

    /// Leaves values out of lists that have them already.
    pub(super) fn drop_repetitions(&mut self) {
        for condition in &mut self.conditions {
            if let Condition::In(_, texts) = condition {
                let mut seen = HashSet::new();
                let is_new: Vec<bool> = texts.iter().map(|text| seen.insert(text.as_str())).collect();
                let mut is_new = is_new.into_iter();
                texts.retain(|_| is_new.next().unwrap_or(true));
            }
        }
    }

    /// The values of all lists of which a column must have one.
    pub(super) fn listed_values(&self) -> usize {
        let values = |condition: &Condition| if let Condition::In(_, texts) = condition { texts.len() } else { 0 };
        self.conditions.iter().map(values).sum()
    }

    /// Whether one of its conditions [is long](Condition::is_long).
    pub(super) fn has_long_list(&self) -> bool {
        self.conditions.iter().any(Condition::is_long)
    }

    /// The order with the columns that make it unambiguous.
    pub(in crate::db::images) fn order(&self) -> Vec<(Column, Direction)> {
        let mut order: Vec<(Column, Direction)> = Vec::new();
        let ties = [(Column::CreatedAt, self.tie_break), (Column::Id, self.tie_break)];
        for (column, direction) in self.sort.iter().copied().chain(ties) {
            // Once more says nothing new.
            if !order.iter().any(|(known, _)| *known == column) {
                order.push((column, direction));
            }
        }
        order
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Viewer {
    pub is_admin: bool,
    /// `None` without a project, and for the anonymous.
    pub project: Option<String>,
}

/// The `visibility` filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum VisibilityCondition {
    /// Everything that the viewer can see but the community images of others.
    #[default]
    Default,
    /// Also those.
    All,
    /// `public`, `community`, `shared` or `private` images only.
    Only(String),
}

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The column has this value; a text that is no number is in no column of numbers.
    Equal(Column, String),
    Is(Column, bool),
    /// The column has one of these values.
    In(Column, Vec<String>),
    AtLeast(Column, i64),
    AtMost(Column, i64),
    Time(Column, Comparison, PrimitiveDateTime),
}

impl Condition {
    /// Whether it is a list of more than [`VALUES`] values.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::In(_, texts) if texts.len() > VALUES)
    }
}

/// How a time must lie to the one that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}
