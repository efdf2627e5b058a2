//! The domain: images, their status machine, visibility, properties, quotas, data.

mod activate;
mod copies;
mod create;
mod delete;
mod edit;
mod error;
mod events;
mod field_value;
mod fields;
mod images;
mod import;
mod intent_log;
mod limits;
mod locations;
mod members;
mod model;
/// What a list is asked for.
pub mod listing {
    pub use crate::db::images::list::{Comparison, Condition, Direction, ListQuery, Viewer, VisibilityCondition};
}
pub mod patch;
mod properties;
mod quota;
mod recover;
mod remove;
mod save;
pub mod schema;
mod stage;
mod staging;
mod status;
mod tags;
mod text;
mod transitions;
mod unified_limits;
mod upload;
mod validation;
mod visibility;
mod word;

pub use crate::db::model::{Column, Kind};
pub(crate) use crate::db::reserved::HOSTS;
pub use edit::Edit;
pub use error::Error;
pub use events::Sending;
pub use field_value::FieldValue;
pub use images::Images;
pub(crate) use import::{
    FAILED, Fault, Findings, HashFault, Hold, IMPORTING, Imported, LEASE, LOCK, Making, Placement, Plan, Transformed,
    hashed, without_stores,
};
pub use import::{TaskKind, TaskStatus};
pub use intent_log::{FOREIGN_AGE, IntentLog};
use limits::Limits;
pub use limits::RESERVED_NAMESPACE;
pub use members::{Member, MemberStatus, UnknownMemberStatus};
pub use model::Image;
pub(crate) use model::KEY_PROPERTIES;
pub use properties::Properties;
pub use status::Status;
pub use unified_limits::{LimitUsage, Resource, mebibytes};
pub use upload::Upload;
pub use validation::ExpectedDigest;
pub use visibility::{Viewer, Visibility};
