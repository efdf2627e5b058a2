//! `GET /v2/info/stores` and `GET /v2/info/stores/detail`

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::domain_errors::Refusal;
use crate::api::{Api, Call, Error, Response, reply};
use crate::config::Config;
use crate::store::Stores;

/// A store as clients see it. Flags are texts, and there only when they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct StoreView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    #[serde(rename = "read-only", skip_serializing_if = "Option::is_none")]
    read_only: Option<&'static str>,
    /// Type of its driver, as the configuration writes it.
    #[serde(skip)]
    kind: String,
    /// Preference when reading.
    #[serde(skip)]
    weight: i64,
}

impl StoreView {
    /// The stores in the order of the configuration; `None` in a single-store cloud.
    pub(in crate::api) fn all(config: &Config) -> Option<Vec<Self>> {
        let backends = config.default.enabled_backends.as_ref().filter(|backends| !backends.is_empty())?;
        let view = |(id, kind): &(String, String)| {
            let section = config.stores.get(id);
            let is = |holds: bool| holds.then_some("true");
            Self {
                id: id.clone(),
                description: section
                    .and_then(|section| section.store_description.clone())
                    .filter(|text| !text.is_empty()),
                default: is(config.glance_store.default_backend.as_ref() == Some(id)),
                read_only: is(section.and_then(|section| section.kind).is_some_and(|kind| kind.is_read_only)),
                kind: kind.clone(),
                weight: section.map_or(0, |section| section.weight),
            }
        };
        Some(backends.iter().map(view).collect())
    }
}

#[derive(Serialize)]
struct StoresView<'a> {
    stores: &'a [StoreView],
}

#[derive(Serialize)]
struct DetailsView<'a> {
    stores: Vec<DetailView<'a>>,
}

/// A store with what its driver says of it.
#[derive(Serialize)]
struct DetailView<'a> {
    #[serde(flatten)]
    store: &'a StoreView,
    #[serde(rename = "type")]
    kind: &'a str,
    properties: Map<String, Value>,
    weight: i64,
}

/// The stores that clients may name.
pub(in crate::api) async fn handle(api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    reply::json(StatusCode::OK, &StoresView { stores: known(api)? })
}

/// The same with type, weight and properties.
pub(in crate::api) async fn detail(api: &Api, call: &Call<'_>) -> Result<Response, Error> {
    let stores = known(api)?;
    call.policy.enforce(call.rule, &()).await?;
    let detail = |store| detail_of(store, &api.opened_stores);
    reply::json(StatusCode::OK, &DetailsView { stores: stores.iter().map(detail).collect() })
}

fn detail_of<'a>(store: &'a StoreView, opened: &Stores) -> DetailView<'a> {
    // One whose options are bad has been left out, and has no properties.
    let properties = opened.get(&store.id).map(|entry| entry.store.properties()).unwrap_or_default();
    DetailView { store, kind: &store.kind, properties, weight: store.weight }
}

fn known(api: &Api) -> Result<&[StoreView], Error> {
    Ok(api.stores.as_deref().ok_or(Refusal::NoStores)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::StoreSection;

    #[test]
    fn stores_are_shown_as_upstream_shows_them() {
        let mut config = Config::default();
        assert_eq!(StoreView::all(&config), None);
        let pair = |id: &str, driver: &str| (id.to_owned(), driver.to_owned());
        config.default.enabled_backends = Some(vec![pair("slow", "file"), pair("fast", "file"), pair("web", "http")]);
        config.glance_store.default_backend = Some("fast".to_owned());
        for (id, driver, description) in
            [("fast", "file", Some("quick disks")), ("slow", "file", Some("")), ("web", "http", None)]
        {
            let section = StoreSection {
                driver: driver.to_owned(),
                kind: crate::store::kinds().into_iter().find(|kind| kind.is_called(driver)),
                store_description: description.map(str::to_owned),
                ..StoreSection::default()
            };
            config.stores.insert(id.to_owned(), section);
        }
        let wanted = json!([
            {"id": "slow"},
            {"id": "fast", "description": "quick disks", "default": "true"},
            {"id": "web", "read-only": "true"},
        ]);
        assert_eq!(serde_json::to_value(StoreView::all(&config)).unwrap(), wanted);
    }

    #[test]
    fn details_follow_what_all_may_see() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.default.enabled_backends =
            Some(vec![("fast".to_owned(), "file".to_owned()), ("lost".to_owned(), "http".to_owned())]);
        config.glance_store.default_backend = Some("fast".to_owned());
        for id in ["fast", crate::store::STAGING_STORE, crate::store::TASKS_STORE] {
            let mut section = StoreSection { weight: 7, ..StoreSection::default() };
            section.options.set("filesystem_store_datadir", &[folder.path().join(id).to_str().unwrap()]);
            config.stores.insert(id.to_owned(), section);
        }
        let mut bad = StoreSection::default();
        bad.options.set("https_ca_certificates_file", &["/nowhere"]);
        config.stores.insert("lost".to_owned(), bad);
        let opened = Stores::open(&config).unwrap();
        let views = StoreView::all(&config).unwrap();
        let details: Vec<_> = views.iter().map(|store| detail_of(store, &opened)).collect();
        let data = folder.path().join("fast").display().to_string();
        let properties = json!({"data_dir": data, "chunk_size": 65536, "thin_provisioning": false});
        let wanted = json!([
            {"id": "fast", "default": "true", "type": "file", "properties": properties, "weight": 7},
            {"id": "lost", "type": "http", "properties": {}, "weight": 0},
        ]);
        assert_eq!(serde_json::to_value(&details).unwrap(), wanted);
        let text = serde_json::to_string(&details[0]).unwrap();
        assert!(text.starts_with(r#"{"id":"fast","default":"true","type":"file","properties":{"#), "{text}");
    }
}
