//! `GET /v2/info/stores`

use http::StatusCode;
use serde::Serialize;

use crate::api::{Api, Call, Error, Response, reply};
use crate::config::Config;

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
}

impl StoreView {
    /// The stores in the order of the configuration; `None` in a single-store cloud.
    pub(in crate::api) fn all(config: &Config) -> Option<Vec<Self>> {
        let backends = config.default.enabled_backends.as_ref().filter(|backends| !backends.is_empty())?;
        let view = |(id, _): &(String, String)| {
            let section = config.stores.get(id);
            let is = |holds: bool| holds.then_some("true");
            Self {
                id: id.clone(),
                description: section
                    .and_then(|section| section.store_description.clone())
                    .filter(|text| !text.is_empty()),
                default: is(config.glance_store.default_backend.as_ref() == Some(id)),
                read_only: is(section.and_then(|section| section.kind).is_some_and(|kind| kind.is_read_only)),
            }
        };
        Some(backends.iter().map(view).collect())
    }
}

#[derive(Serialize)]
struct StoresView<'a> {
    stores: &'a [StoreView],
}

/// The stores that clients may name.
pub(in crate::api) async fn handle(api: &Api, _call: &Call<'_>) -> Result<Response, Error> {
    match &api.stores {
        Some(stores) => reply::json(StatusCode::OK, &StoresView { stores }),
        None => Err(Error::explanation(StatusCode::NOT_FOUND, "Multi backend is not supported at this site.")),
    }
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
}
