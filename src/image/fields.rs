//! Setting the fields of an image from JSON values that the schema has let through.

use std::collections::HashSet;

use serde_json::Value;

use super::model::Image;
use super::status::Status;
use super::text::{check_plane, field_message};
use super::visibility::Visibility;
use super::{Error, Limits};
use crate::db::Dialect;
use crate::schema::python::{Excerpt, display};

/// A field that a client may set (upstream: the setters of `glance/domain/__init__.py`, `Image`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    DiskFormat,
    ContainerFormat,
    Visibility,
    Protected,
    Hidden,
    MinDisk,
    MinRam,
    Tags,
    Owner,
}

impl Field {
    /// The field of this name in the image document.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "name" => Self::Name,
            "disk_format" => Self::DiskFormat,
            "container_format" => Self::ContainerFormat,
            "visibility" => Self::Visibility,
            "protected" => Self::Protected,
            "os_hidden" => Self::Hidden,
            "min_disk" => Self::MinDisk,
            "min_ram" => Self::MinRam,
            "tags" => Self::Tags,
            "owner" => Self::Owner,
            _ => return None,
        })
    }

    /// Sets the field.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value out of range or that not every database can hold, [`Error::Forbidden`] for a format once
    /// there is data, [`Error::TooMany`] for tags.
    pub(super) fn set(self, image: &mut Image, value: &Value, limits: &Limits) -> Result<(), Error> {
        match self {
            Self::Name => {
                let name = text(value);
                check_plane(name.as_deref().unwrap_or(""), || field_message("name"))?;
                image.name = name;
            }
            Self::DiskFormat => image.disk_format = format(image.status, "disk_format", value)?,
            Self::ContainerFormat => image.container_format = format(image.status, "container_format", value)?,
            Self::Visibility => image.visibility = visibility(value)?,
            Self::Protected => image.protected = value.as_bool().unwrap_or(false),
            Self::Hidden => image.os_hidden = value.as_bool().unwrap_or(false),
            Self::MinDisk => image.min_disk = count("min_disk", value)?,
            Self::MinRam => image.min_ram = count("min_ram", value)?,
            Self::Tags => image.tags = tags(value, limits)?,
            Self::Owner => {
                let owner = text(value);
                check_plane(owner.as_deref().unwrap_or(""), || field_message("owner"))?;
                image.owner = owner.filter(|owner| !owner.is_empty());
            }
        }
        Ok(())
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

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn format(status: Status, field: &str, value: &Value) -> Result<Option<String>, Error> {
    if matches!(status, Status::Queued | Status::Importing) {
        Ok(text(value))
    } else {
        Err(Error::Forbidden(format!("Attribute {field} can be only replaced for a queued image.")))
    }
}

fn visibility(value: &Value) -> Result<Visibility, Error> {
    value.as_str().and_then(|word| word.parse().ok()).ok_or_else(|| {
        Error::Invalid("Visibility must be one of \"community\", \"public\", \"private\", or \"shared\"".to_owned())
    })
}

/// A number of GiB or MiB; upstream's columns hold 31 bits.
fn count(field: &str, value: &Value) -> Result<i32, Error> {
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
