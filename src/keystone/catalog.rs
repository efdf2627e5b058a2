//! Looking endpoints up in a service catalog, as Keystone's v3 API writes it.

use std::collections::BTreeSet;

use serde_json::Value;

/// The URL of a service in the catalog of a token. `interface`: `public`, `internal` or `admin`, also with `URL` behind it.
/// Without a region the first one found is taken.
pub(crate) fn endpoint<'a>(
    catalog: &'a Value,
    service: &str,
    interface: &str,
    region: Option<&str>,
) -> Option<&'a str> {
    let interface = interface.strip_suffix("URL").unwrap_or(interface);
    let text = |value: &'a Value, key: &str| value.get(key).and_then(Value::as_str);
    let in_region = |endpoint: &'a Value| {
        region.is_none_or(|region| ["region", "region_id"].iter().any(|key| text(endpoint, key) == Some(region)))
    };
    catalog
        .as_array()?
        .iter()
        .filter(|entry| text(entry, "type") == Some(service))
        .filter_map(|entry| entry.get("endpoints")?.as_array())
        .flatten()
        .find(|endpoint| text(endpoint, "interface") == Some(interface) && in_region(endpoint))
        .and_then(|endpoint| text(endpoint, "url"))
}

/// As [`endpoint`], for a region that a user names, in any case.
pub(crate) fn endpoint_in_region<'a>(
    catalog: &'a Value,
    service: &str,
    interface: &str,
    region: &str,
) -> Option<&'a str> {
    let wanted = region.to_lowercase();
    let known = regions(catalog).into_iter().filter(|known| known.to_lowercase() == wanted);
    known.into_iter().find_map(|known| endpoint(catalog, service, interface, Some(&known)))
}

/// The names of all regions that have an endpoint, in order.
pub(crate) fn regions(catalog: &Value) -> Vec<String> {
    let entries = catalog.as_array().into_iter().flatten();
    let endpoints = entries.filter_map(|entry| entry.get("endpoints")?.as_array()).flatten();
    let region = |endpoint: &Value| {
        ["region", "region_id"].iter().find_map(|key| endpoint.get(key)?.as_str().map(str::to_owned))
    };
    endpoints.filter_map(region).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether the catalog has a service of this type.
pub(crate) fn has_service(catalog: &Value, service: &str) -> bool {
    let is_it = |entry: &Value| entry.get("type").and_then(Value::as_str) == Some(service);
    catalog.as_array().is_some_and(|entries| entries.iter().any(is_it))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_are_found_by_interface_and_region() {
        let endpoint_of = |interface, region, url| json!({"interface": interface, "region": region, "url": url});
        let catalog = json!([
            {"type": "image", "endpoints": [endpoint_of("public", "One", "http://i")]},
            {"type": "identity", "endpoints": []},
            {"type": "identity", "endpoints": [
                endpoint_of("public", "One", "http://p1"),
                endpoint_of("public", "Two", "http://p2"),
                endpoint_of("internal", "Two", "http://n2"),
            ]},
        ]);
        for (interface, region, expected) in [
            ("public", None, Some("http://p1")),
            ("publicURL", Some("Two"), Some("http://p2")),
            ("internal", None, Some("http://n2")),
            ("internal", Some("One"), None),
            ("admin", None, None),
        ] {
            assert_eq!(endpoint(&catalog, "identity", interface, region), expected, "{interface} {region:?}");
        }
        assert_eq!(regions(&catalog), ["One", "Two"]);
        for (interface, region, expected) in [
            ("public", "tWO", Some("http://p2")),
            ("public", "Two", Some("http://p2")),
            ("admin", "two", None),
            ("public", "Three", None),
        ] {
            assert_eq!(endpoint_in_region(&catalog, "identity", interface, region), expected, "{interface} {region}");
        }
        assert!(has_service(&catalog, "image") && !has_service(&catalog, "volume"));
        for nonsense in
            [json!(null), json!({"type": "identity"}), json!([1]), json!([{"type": "identity", "endpoints": 1}])]
        {
            assert_eq!(endpoint(&nonsense, "identity", "public", None), None);
            assert!(regions(&nonsense).is_empty());
            assert_eq!(endpoint_in_region(&nonsense, "identity", "public", "One"), None);
        }
    }
}
