//! The image document (upstream: `glance/api/v2/images.py`, `ResponseSerializer._format_image`).

use std::collections::BTreeSet;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use time::PrimitiveDateTime;
use time::macros::format_description;

use crate::config::Config;
use crate::db::model::LocationRecord;
use crate::identity::Context;
use crate::image::schema::ImageSchema;
use crate::image::{FieldValue, HOSTS, Image};

/// What the configuration adds to the document.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub locations: bool,
    pub direct_url: bool,
    pub stores: bool,
    /// Properties that the schema names; one that is null is shown so, others as an empty text.
    pub named: BTreeSet<String>,
}

impl Shown {
    pub(crate) fn new(config: &Config, schema: &ImageSchema) -> Self {
        Self {
            named: schema.names().map(str::to_owned).collect(),
            locations: config.default.show_multiple_locations,
            direct_url: config.default.show_image_direct_url,
            stores: config.default.enabled_backends.is_some(),
        }
    }
}

/// An image on its way into JSON: custom properties first, then the base fields in upstream's order.
pub(super) struct ImageView<'a> {
    image: &'a Image,
    /// Those that the caller may know.
    locations: &'a [LocationRecord],
    shown: &'a Shown,
}

impl<'a> ImageView<'a> {
    pub(super) fn new(image: &'a Image, shown: &'a Shown, caller: &Context) -> Self {
        Self { image, locations: image.locations_for(caller.is_admin), shown }
    }
}

#[derive(Serialize)]
struct LocationView<'a> {
    url: &'a str,
    metadata: &'a Map<String, Value>,
}

impl Serialize for ImageView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let image = self.image;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in image.properties.iter().filter(|(name, _)| is_shown(name)) {
            let is_null = value.is_none() && self.shown.named.contains(name);
            map.serialize_entry(name, &value.or_else(|| (!is_null).then_some("")))?;
        }
        for column in Image::COLUMNS {
            map.serialize_entry(column.name(), &image.value(*column))?;
        }
        if self.shown.locations {
            let locations: Vec<_> =
                self.locations.iter().map(|l| LocationView { url: &l.url, metadata: &l.metadata }).collect();
            map.serialize_entry("locations", &locations)?;
        }
        if let Some(best) = self.locations.first().filter(|_| self.shown.direct_url) {
            map.serialize_entry("direct_url", &best.url)?;
        }
        map.serialize_entry("tags", &image.tags)?;
        map.serialize_entry("self", &format_args!("/v2/images/{}", image.id))?;
        map.serialize_entry("file", &format_args!("/v2/images/{}/file", image.id))?;
        map.serialize_entry("schema", "/v2/schemas/image")?;
        if self.shown.stores {
            let stores: Vec<&str> = self.locations.iter().filter_map(LocationRecord::store).collect();
            if !stores.is_empty() {
                map.serialize_entry("stores", &stores.join(","))?;
            }
        }
        map.end()
    }
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Integer(number) => number.serialize(serializer),
            Self::Flag(flag) => flag.serialize(serializer),
            Self::Time(time) => timestamp(*time).serialize(serializer),
        }
    }
}

/// What every document has beside the columns.
const OTHER_FIELDS: [&str; 4] = ["tags", "self", "file", "schema"];

/// A base field hides a custom property of the same name, which old databases may hold.
fn is_shown(name: &str) -> bool {
    let is_field = OTHER_FIELDS.contains(&name) || Image::column_named(name).is_some();
    !is_field && !HOSTS.contains(&name)
}

/// `YYYY-MM-DDTHH:MM:SSZ`; fractions are cut off.
pub(in crate::api) fn timestamp(time: PrimitiveDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    // Fails for years of more than four digits only, which no database holds.
    time.format(form).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::image::Status;

    fn image() -> Image {
        Image {
            name: Some("debian".to_owned()),
            size: Some(3),
            status: Status::Active,
            disk_format: Some("raw".to_owned()),
            container_format: Some("bare".to_owned()),
            owner: Some("p".to_owned()),
            min_disk: 1,
            min_ram: 2,
            updated_at: datetime!(2026-01-02 03:04:06),
            properties: vec![
                ("zeta".to_owned(), Some("1".to_owned())),
                ("os_glance_stage_host".to_owned(), Some("http://w".to_owned())),
                ("old".to_owned(), None),
                ("size".to_owned(), Some("forged".to_owned())),
            ]
            .into(),
            tags: vec!["t".to_owned()],
            locations: vec![LocationRecord {
                id: Some(1),
                url: "file:///x".to_owned(),
                status: "active".to_owned(),
                metadata: Map::from_iter([("store".to_owned(), Value::from("fast"))]),
            }],
            ..Image::new("5ddd5e2b-1b1a-4d4b-8f7a-111111111111", datetime!(2026-01-02 03:04:05.678901))
        }
    }

    const ALL: Shown = Shown { locations: true, direct_url: true, stores: true, named: BTreeSet::new() };

    fn render(image: &Image, shown: &Shown, is_admin: bool) -> String {
        let caller = Context { is_admin, ..Context::default() };
        serde_json::to_string(&ImageView::new(image, shown, &caller)).unwrap()
    }

    #[test]
    fn document_has_upstreams_order_and_hides_what_upstream_hides() {
        let shown = Shown { locations: false, direct_url: false, stores: false, named: BTreeSet::new() };
        let text = render(&image(), &shown, false);
        insta::assert_snapshot!(
            text,
            @r#"{"zeta":"1","old":"","name":"debian","disk_format":"raw","container_format":"bare","visibility":"shared","size":3,"virtual_size":null,"status":"active","checksum":null,"protected":false,"min_ram":2,"min_disk":1,"owner":"p","os_hidden":false,"os_hash_algo":null,"os_hash_value":null,"id":"5ddd5e2b-1b1a-4d4b-8f7a-111111111111","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z","tags":["t"],"self":"/v2/images/5ddd5e2b-1b1a-4d4b-8f7a-111111111111","file":"/v2/images/5ddd5e2b-1b1a-4d4b-8f7a-111111111111/file","schema":"/v2/schemas/image"}"#
        );
    }

    #[test]
    fn configuration_adds_locations_direct_url_and_stores() {
        let value: Value = serde_json::from_str(&render(&image(), &ALL, false)).unwrap();
        assert_eq!(value["locations"], serde_json::json!([{"url": "file:///x", "metadata": {"store": "fast"}}]));
        assert_eq!(value["direct_url"], "file:///x");
        assert_eq!(value["stores"], "fast");
    }

    #[test]
    fn null_is_shown_where_the_schema_names_it() {
        let shown = Shown { named: BTreeSet::from(["old".to_owned(), "zeta".to_owned()]), ..ALL };
        let value: Value = serde_json::from_str(&render(&image(), &shown, false)).unwrap();
        assert_eq!((&value["old"], &value["zeta"]), (&Value::Null, &Value::from("1")));
    }

    #[test]
    fn where_barred_data_lies_is_for_administrators() {
        let image = Image { status: Status::Deactivated, ..image() };
        for (is_admin, count) in [(false, 0), (true, 1)] {
            let value: Value = serde_json::from_str(&render(&image, &ALL, is_admin)).unwrap();
            assert_eq!(value["locations"].as_array().unwrap().len(), count);
            assert_eq!((value.get("direct_url").is_some(), value.get("stores").is_some()), (is_admin, is_admin));
        }
    }
}
