//! What the fields of an image hold, whatever each means.

use time::PrimitiveDateTime;

use super::status::Status;
use super::visibility::Visibility;

/// What is in one field of an image, as borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    Text(Option<&'a str>),
    Integer(Option<i64>),
    Flag(bool),
    /// Naive UTC.
    Time(PrimitiveDateTime),
}

impl<'a> From<&'a String> for FieldValue<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<&'a Option<String>> for FieldValue<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::Text(text.as_deref())
    }
}

impl From<&Option<i64>> for FieldValue<'_> {
    fn from(number: &Option<i64>) -> Self {
        Self::Integer(*number)
    }
}

impl From<&i32> for FieldValue<'_> {
    fn from(number: &i32) -> Self {
        Self::Integer(Some(i64::from(*number)))
    }
}

impl From<&bool> for FieldValue<'_> {
    fn from(flag: &bool) -> Self {
        Self::Flag(*flag)
    }
}

impl From<&PrimitiveDateTime> for FieldValue<'_> {
    fn from(time: &PrimitiveDateTime) -> Self {
        Self::Time(*time)
    }
}

impl From<&Status> for FieldValue<'_> {
    fn from(status: &Status) -> Self {
        Self::Text(Some(status.as_str()))
    }
}

impl From<&Visibility> for FieldValue<'_> {
    fn from(visibility: &Visibility) -> Self {
        Self::Text(Some(visibility.as_str()))
    }
}
