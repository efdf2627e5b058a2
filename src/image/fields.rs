//! Setting the fields of an image from JSON values that the schema has let through.

use std::collections::HashSet;

use serde_json::Value;

use super::model::{Image, Setter};
use super::status::Status;
use super::text::{check_plane, field_message};
use super::visibility::Visibility;
use super::{Error, Limits};
use crate::db::Dialect;
use crate::schema::python::{Excerpt, display};

/// A field that a client may set (upstream: the setters of `glance/domain/__init__.py`, `Image`).
#[derive(Clone, Copy)]
pub(super) enum Field {
    Column(Setter),
    Tags,
}

impl Field {
    /// The field of this name in the image document.
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "tags" {
            return Some(Self::Tags);
        }
        Image::column_named(name).and_then(Image::setter).map(Self::Column)
    }

    /// Sets the field.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value out of range or that not every database can hold, [`Error::Forbidden`] for a format once
    /// there is data, [`Error::TooMany`] for tags.
    pub(super) fn set(self, image: &mut Image, value: &Value, limits: &Limits) -> Result<(), Error> {
        match self {
            Self::Column(set) => set(image, value),
            Self::Tags => {
                image.tags = tags(value, limits)?;
                Ok(())
            }
        }
    }
}

/// Sets a custom property. They are stored as text, whatever type an operator's schema gives them.
///
/// # Errors
/// [`Error::Invalid`] for text that not every database can hold, and for values that are no text and have no usual one.
pub(super) fn set_property(image: &mut Image, name: &str, value: &Value, dialect: Dialect) -> Result<(), Error> {
    check_plane(name, || "Property names can't contain 4 byte unicode.".to_owned())?;
    let value = property_text(value, dialect)
        .ok_or_else(|| Error::Invalid(format!("The value of {} cannot be stored.", Excerpt(name))))?;
    check_plane(value.as_deref().unwrap_or(""), || field_message(name))?;
    image.properties.set(name, value);
    Ok(())
}

/// The text by which the database knows a value; `Some(None)` is NULL. Upstream fails on a list, an object or an integer that is
/// not within 64 bits.
fn property_text(value: &Value, dialect: Dialect) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::Bool(flag) => Some(Some(dialect.truth(*flag).to_owned())),
        Value::Number(number) if number.is_i64() => Some(Some(number.to_string())),
        Value::Number(number) if number.is_f64() => Some(Some(dialect.float(&display(value)).to_owned())),
        Value::String(text) => Some(Some(text.clone())),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn name(_: &Image, field: &str, value: &Value) -> Result<Option<String>, Error> {
    let name = text(value);
    check_plane(name.as_deref().unwrap_or(""), || field_message(field))?;
    Ok(name)
}

pub(super) fn owner(image: &Image, field: &str, value: &Value) -> Result<Option<String>, Error> {
    Ok(name(image, field, value)?.filter(|owner| !owner.is_empty()))
}

pub(super) fn format(image: &Image, field: &str, value: &Value) -> Result<Option<String>, Error> {
    if matches!(image.status, Status::Queued | Status::Importing) {
        Ok(text(value))
    } else {
        Err(Error::Forbidden(format!("Attribute {field} can be only replaced for a queued image.")))
    }
}

pub(super) fn visibility(_: &Image, _: &str, value: &Value) -> Result<Visibility, Error> {
    value.as_str().and_then(|word| word.parse().ok()).ok_or_else(|| {
        Error::Invalid("Visibility must be one of \"community\", \"public\", \"private\", or \"shared\"".to_owned())
    })
}

pub(super) fn flag(_: &Image, _: &str, value: &Value) -> Result<bool, Error> {
    Ok(value.as_bool().unwrap_or(false))
}

/// A number of GiB or MiB; upstream's columns hold 31 bits.
pub(super) fn count(_: &Image, field: &str, value: &Value) -> Result<i32, Error> {
    // JSON has one kind of number: 2.0 is an integer.
    let number = value.as_i64().map_or_else(|| value.as_f64().unwrap_or(0.0), |n| n as f64);
    if number < 0.0 {
        return Err(Error::Invalid(format!(
            "Invalid value '{value}' for parameter '{field}': Cannot be a negative value"
        )));
    }
    if number > f64::from(i32::MAX) {
        return Err(Error::Invalid(format!("'{field}' value out of range, must not exceed {}.", i32::MAX)));
    }
    Ok(number as i32)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn tags(value: &Value, limits: &Limits) -> Result<Vec<String>, Error> {
    let given = value.as_array().map_or(&[][..], Vec::as_slice);
    // Upstream counts first; what a database holds is looked at when the image is saved.
    limits.check_tags(given.len())?;
    let mut seen = HashSet::new();
    let mut tags = Vec::new();
    for tag in given.iter().filter_map(Value::as_str) {
        check_plane(tag, || "Param values can't contain 4 byte unicode.".to_owned())?;
        if seen.insert(tag) {
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}
