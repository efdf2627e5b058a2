//! The policy as Glance asks it about images (upstream: `glance/api/v2/policy.py`, `ImageAPIPolicy`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use time::PrimitiveDateTime;
use time::macros::format_description;

use super::Error;
use super::domain_errors::Refusal;
use super::property_access::PropertyAccess;
use crate::identity::Context;
use crate::image::{Column, FieldValue, Image, Viewer};
use crate::policy::{Rules, Target};
use crate::schema::python::{boolean, number_or_none, or_none};

/// Asks the policy on behalf of one request.
#[derive(Clone, Copy)]
pub(super) struct PolicyCheck<'a> {
    pub rules: &'a Rules,
    pub context: &'a Context,
    /// What of an image is hidden from the caller, and so from the rules that are asked about it.
    pub properties: &'a PropertyAccess<'a>,
    /// Whether that is known of all properties that are met, as somebody sees to it: an image of thousands of properties is not gone
    /// through for each of thousands of changes.
    pub knows_properties: bool,
    /// The owner of an image is checked beside the rules, as it was before secure defaults (`enforce_new_defaults = false`).
    pub checks_owner: bool,
}

impl PolicyCheck<'_> {
    /// Whether `rule` allows `target`.
    ///
    /// # Errors
    /// 403 in upstream's words.
    pub(super) async fn enforce(&self, rule: &str, target: &dyn Target) -> Result<(), Error> {
        if self.allows(rule, target).await? { Ok(()) } else { Err(Refusal::NotAuthorized(rule).into()) }
    }

    /// Whether `rule` allows something with an image that exists. A caller who may not even see the image gets 404.
    ///
    /// # Errors
    /// 403 or 404.
    pub(super) async fn enforce_on(&self, rule: &str, image: &Image) -> Result<(), Error> {
        self.enforce_at(rule, &self.target(image).await?).await
    }

    /// As [`PolicyCheck::enforce_on`], and so that the rule must also allow it when it sees what is hidden from the caller.
    ///
    /// # Errors
    /// 403 or 404.
    pub(super) async fn enforce_on_whole(&self, rule: &str, image: &Image) -> Result<(), Error> {
        let target = self.target(image).await?;
        self.enforce_at(rule, &target).await?;
        let is_whole = image.properties.names().all(|name| target.shows(name));
        if is_whole { Ok(()) } else { self.enforce_at(rule, &ImageTarget::whole(image)).await }
    }

    async fn enforce_at(&self, rule: &str, target: &ImageTarget<'_>) -> Result<(), Error> {
        if self.allows(rule, target).await? {
            return Ok(());
        }
        if rule == "get_image" || !self.allows("get_image", target).await? {
            return Err(Refusal::Unseen.into());
        }
        Err(Refusal::NotAuthorized(rule).into())
    }

    /// An image that exists, as the rules see it: without the properties that are hidden from the caller.
    ///
    /// # Errors
    /// 500 when the policy itself cannot be asked.
    pub(super) async fn target<'i>(&self, image: &'i Image) -> Result<ImageTarget<'i>, Error> {
        if !self.knows_properties {
            self.properties.learn(image.properties.names()).await?;
        }
        Ok(ImageTarget { image, hidden: self.properties.hidden() })
    }

    /// As [`PolicyCheck::enforce_on`], for rules that before secure defaults also meant that the caller owns the image.
    ///
    /// # Errors
    /// 403 or 404.
    pub(super) async fn enforce_on_own(&self, rule: &str, image: &Image) -> Result<(), Error> {
        self.enforce_on(rule, image).await?;
        let viewer = viewer(self.context);
        if self.checks_owner && !viewer.may_change(image.owner.as_deref()) {
            return Err(Refusal::NotOwner.into());
        }
        Ok(())
    }

    /// Whether `rule` allows something with the members of an image. A caller who may not see the image gets 404, whatever the
    /// rule says (upstream: `MemberAPIPolicy`).
    ///
    /// # Errors
    /// 403 or 404.
    pub(in crate::api) async fn enforce_on_members(&self, rule: &str, image: &Image) -> Result<(), Error> {
        if self.allows_on_members(rule, image).await? { Ok(()) } else { Err(Refusal::NotAuthorized(rule).into()) }
    }

    /// Whether [`PolicyCheck::enforce_on_members`] would let the caller through who may see the image.
    ///
    /// # Errors
    /// 404
    pub(in crate::api) async fn allows_on_members(&self, rule: &str, image: &Image) -> Result<bool, Error> {
        self.enforce_on("get_image", image).await?;
        self.allows(rule, &self.target(image).await?).await
    }

    /// The rule for making an image public or community, where `visibility` is one of these.
    ///
    /// # Errors
    /// 403
    pub(super) async fn enforce_visibility(&self, visibility: Option<&str>, target: &dyn Target) -> Result<(), Error> {
        match visibility {
            Some("public") => self.enforce("publicize_image", target).await,
            Some("community") => self.enforce("communitize_image", target).await,
            _ => Ok(()),
        }
    }

    /// Whether `rule` allows `target`, for rows that vanish from a list.
    ///
    /// # Errors
    /// 500 when the policy itself cannot be asked.
    pub(super) async fn allows(&self, rule: &str, target: &dyn Target) -> Result<bool, Error> {
        Ok(self.rules.check(rule, target, self.context).await?)
    }
}

/// The caller, as the domain's checks of visibility and ownership know them.
pub(super) fn viewer(context: &Context) -> Viewer {
    Viewer { project: context.project_id.clone(), is_admin: context.is_admin }
}

/// An image that exists, as the rules see it (upstream: `glance/api/policy.py`, `ImageTarget`).
pub(super) struct ImageTarget<'a> {
    image: &'a Image,
    /// Properties that are not there for the rules.
    hidden: Arc<HashSet<String>>,
}

impl<'a> ImageTarget<'a> {
    /// With all properties that the image has.
    pub(super) fn whole(image: &'a Image) -> Self {
        Self { image, hidden: Arc::default() }
    }

    fn shows(&self, property: &str) -> bool {
        !self.hidden.contains(property)
    }
}

impl Target for ImageTarget<'_> {
    fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        let image = self.image;
        Some(match key {
            "image_id" => Cow::Borrowed(&image.id),
            "project_id" => shown(image.owner.as_deref()),
            "member_id" | "member" => shown(image.member.as_deref()),
            _ => match Column::from_name(key).and_then(|column| image.value(column)) {
                Some(FieldValue::Text(text)) => shown(text),
                Some(FieldValue::Integer(value)) => number(value),
                Some(FieldValue::Flag(value)) => flag(value),
                // Rules compare no times.
                Some(FieldValue::Time(_)) | None => {
                    return (image.has_property(key) && self.shows(key)).then(|| shown(image.property(key)));
                }
            },
        })
    }

    /// What upstream means to send; there the server never gets it, as an image cannot be copied.
    fn document(&self) -> Map<String, Value> {
        let image = self.image;
        let properties = image.properties.iter().filter(|(name, _)| self.shows(name));
        // The image's own fields stand above custom properties of their names.
        let mut document: Map<String, Value> =
            properties.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        let extra_properties = document.clone();
        let columns = Image::COLUMNS.iter().filter(|column| **column != Column::Id);
        let columns = columns.filter_map(|column| Some((column.name(), json_value(image.value(*column)?))));
        let others = [
            ("extra_properties", Value::Object(extra_properties)),
            ("image_id", json!(image.id)),
            ("member", json!(image.member)),
            ("project_id", json!(image.owner)),
            ("tags", json!(image.tags)),
        ];
        let by_name: BTreeMap<&str, Value> = columns.chain(others).collect();
        document.extend(by_name.into_iter().map(|(name, value)| (name.to_owned(), value)));
        document
    }
}

fn json_value(value: FieldValue<'_>) -> Value {
    match value {
        FieldValue::Text(text) => text.into(),
        FieldValue::Integer(number) => number.into(),
        FieldValue::Flag(flag) => flag.into(),
        FieldValue::Time(time) => moment(time).into(),
    }
}

/// An image that is about to be made.
pub(super) struct ProposedImage<'a> {
    pub owner: Option<&'a str>,
    pub visibility: &'a str,
}

impl Target for ProposedImage<'_> {
    fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        match key {
            "project_id" | "owner" => Some(shown(self.owner)),
            "visibility" => Some(Cow::Borrowed(self.visibility)),
            _ => None,
        }
    }

    fn document(&self) -> Map<String, Value> {
        fields(json!({"project_id": self.owner, "owner": self.owner, "visibility": self.visibility}))
    }
}

/// Nothing, for rules that are about the caller alone.
pub(super) struct NoTarget;

impl Target for NoTarget {
    fn get(&self, _key: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }
}

/// The caller's own project, for rules without an image.
pub(super) struct OwnProject<'a>(pub Option<&'a str>);

impl Target for OwnProject<'_> {
    fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        (key == "project_id").then(|| shown(self.0))
    }

    fn document(&self) -> Map<String, Value> {
        fields(json!({"project_id": self.0}))
    }
}

fn fields(document: Value) -> Map<String, Value> {
    match document {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// As `oslo_serialization` writes a time.
pub(super) fn moment(time: PrimitiveDateTime) -> Option<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]");
    time.format(&format).ok()
}

/// A value as Python's `str` shows it, which is what rules compare with.
fn shown(text: Option<&str>) -> Cow<'_, str> {
    Cow::Borrowed(or_none(text))
}

fn number(value: Option<i64>) -> Cow<'static, str> {
    number_or_none(value.map(i128::from))
}

fn flag(value: bool) -> Cow<'static, str> {
    Cow::Borrowed(boolean(value))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::image::Status;

    #[test]
    fn a_server_that_decides_gets_the_whole_target() {
        let image = Image {
            name: Some("n".to_owned()),
            size: Some(3),
            status: Status::Active,
            disk_format: Some("raw".to_owned()),
            owner: Some("p1".to_owned()),
            min_disk: 1,
            min_ram: 2,
            os_hidden: true,
            updated_at: datetime!(2024-01-02 03:04:06.7),
            properties: vec![("key".to_owned(), Some("value".to_owned())), ("owner".to_owned(), None)].into(),
            tags: vec!["t".to_owned()],
            member: Some("p2".to_owned()),
            ..Image::new("i", datetime!(2024-01-02 03:04:05))
        };
        // The image's own owner stands where the property of that name does; its other fields come by their names.
        let expected = json!({
            "key": "value", "owner": "p1", "checksum": null, "container_format": null,
            "created_at": "2024-01-02T03:04:05.000000", "disk_format": "raw",
            "extra_properties": {"key": "value", "owner": null}, "image_id": "i", "member": "p2", "min_disk": 1,
            "min_ram": 2, "name": "n", "os_hash_algo": null, "os_hash_value": null, "os_hidden": true,
            "project_id": "p1", "protected": false, "size": 3, "status": "active", "tags": ["t"],
            "updated_at": "2024-01-02T03:04:06.700000", "virtual_size": null, "visibility": "shared",
        });
        assert_eq!(Value::from(ImageTarget::whole(&image).document()).to_string(), expected.to_string());
        let target = ImageTarget { image: &image, hidden: Arc::new(["key".to_owned()].into()) };
        let document = target.document();
        assert_eq!((document.get("key"), document.get("extra_properties")), (None, Some(&json!({"owner": null}))));
        assert_eq!((target.get("key"), target.get("owner").as_deref()), (None, Some("p1")));
        assert_eq!(ImageTarget::whole(&image).get("key").as_deref(), Some("value"));
        let proposed = ProposedImage { owner: Some("p1"), visibility: "public" };
        let expected = json!({"project_id": "p1", "owner": "p1", "visibility": "public"});
        assert_eq!(Value::from(proposed.document()), expected);
        assert_eq!(Value::from(OwnProject(None).document()), json!({"project_id": null}));
    }
}
