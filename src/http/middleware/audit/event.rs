//! The records themselves (upstream: `OpenStackAuditApi` in `keystonemiddleware/audit/_api.py`, and pycadf).

use http::StatusCode;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use url::Url;
use uuid::Uuid;

use super::map::{AuditMap, UNKNOWN};
use crate::http::exchange::Exchange;
use crate::http::path;
use crate::identity::Context;

/// The record of a request whose answer is not known yet.
pub(super) fn of_request(exchange: &Exchange, map: &AuditMap) -> Map<String, Value> {
    let place =
        path::encode(&exchange.prefix).into_owned() + &path::encode(exchange.path.as_deref().unwrap_or_default());
    let with_query = match exchange.query.as_deref().filter(|query| !query.is_empty()) {
        Some(query) => format!("{place}?{query}"),
        None => place.clone(),
    };
    object(json!({
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "id": Uuid::new_v4().to_string(),
        "eventTime": now(),
        "action": map.action(&exchange.method, &place),
        "outcome": "pending",
        "observer": {"id": "target"},
        "initiator": initiator(exchange),
        "target": target(exchange, map, &place),
        "requestPath": with_query,
        "tags": [format!("correlation_id?value={}", Uuid::new_v4())],
    }))
}

/// The same record once the answer is known.
pub(super) fn of_response(mut event: Map<String, Value>, status: StatusCode) -> Map<String, Value> {
    let outcome = if status.is_success() || status.is_redirection() { "success" } else { "failure" };
    event.insert("outcome".to_owned(), json!(outcome));
    event.insert("reason".to_owned(), json!({"reasonType": "HTTP", "reasonCode": status.as_str()}));
    let step = json!({"role": "modifier", "reporter": {"id": "target"}, "reporterTime": now()});
    event.insert("reporterchain".to_owned(), json!([step]));
    event
}

/// Who asks. Of a caller who is known, what Keystone does not say is left out; of others all is `unknown`.
fn initiator(exchange: &Exchange) -> Map<String, Value> {
    let caller = exchange.context.as_deref().or(exchange.confirmed.as_ref());
    let caller = caller.filter(|caller| caller.user_id.is_some());
    let told = |of: fn(&Context) -> Option<&String>| match caller {
        Some(caller) => of(caller).cloned(),
        None => Some(UNKNOWN.to_owned()),
    };
    let status = match caller {
        Some(_) => "Confirmed",
        None if exchange.is_authenticated => "Invalid",
        None => UNKNOWN,
    };
    let forwarded = exchange.header("x-forwarded-for").map(|all| all.split(',').next().unwrap_or_default().trim());
    let address = forwarded.or_else(|| exchange.peer.is_some().then_some(exchange.remote.as_str()));
    without_null(json!({
        "typeURI": "service/security/account/user",
        "id": told(|caller| caller.user_id.as_ref()),
        "name": told(|caller| caller.user_name.as_ref()),
        "host": without_null(json!({"address": address, "agent": exchange.header("user-agent")})),
        "credential": {
            "token": masked(exchange.header("x-auth-token").unwrap_or_default()),
            "identity_status": status,
        },
        "project_id": told(|caller| caller.project_id.as_ref()),
    }))
}

/// What is asked: the service in the caller's catalog that has this address, else the one of `target_endpoint_type`.
fn target(exchange: &Exchange, map: &AuditMap, place: &str) -> Value {
    let caller = exchange.context.as_deref().or(exchange.confirmed.as_ref());
    let services =
        caller.and_then(|caller| caller.service_catalog.as_deref()?.as_array()).map_or(&[][..], Vec::as_slice);
    let own = Url::parse(&exchange.host_url()).ok().filter(|url| url.port().is_some());
    let with_endpoints = || services.iter().filter_map(|service| Some((service, Endpoints::first(service)?)));
    let at_this_address = with_endpoints().find(|(_, endpoints)| {
        [endpoints.admin, endpoints.public].into_iter().flatten().any(|url| {
            let url = Url::parse(url).ok();
            own.as_ref().zip(url.as_ref()).is_some_and(|(own, url)| own.authority() == url.authority())
        })
    });
    let of_the_type = || {
        let wanted = map.target_endpoint_type.as_deref().filter(|wanted| !wanted.is_empty())?;
        with_endpoints().rev().find(|(service, _)| service["type"] == wanted)
    };
    let Some((service, endpoints)) = at_this_address.or_else(of_the_type) else {
        return json!({"typeURI": UNKNOWN, "id": UNKNOWN, "name": UNKNOWN});
    };
    let service_type = map.service_type(service["type"].as_str().unwrap_or_default());
    let type_uri = if service_type == UNKNOWN { UNKNOWN.to_owned() } else { map.type_uri(service_type, place) };
    let name = service["name"].as_str().unwrap_or(UNKNOWN);
    let address = |name: &str, url: Option<&str>| json!({"name": name, "url": url.unwrap_or(UNKNOWN)});
    json!({
        "typeURI": type_uri,
        // Catalogs of Keystone v3, as the middleware converts them, have no id of a group of endpoints.
        "id": name,
        "name": name,
        "addresses": [
            address("admin", endpoints.admin),
            address("private", endpoints.internal),
            address("public", endpoints.public),
        ],
    })
}

/// The addresses of a service in the first region that it has.
#[derive(Default)]
struct Endpoints<'a> {
    admin: Option<&'a str>,
    internal: Option<&'a str>,
    public: Option<&'a str>,
}

impl<'a> Endpoints<'a> {
    fn first(service: &'a Value) -> Option<Self> {
        let all = service["endpoints"].as_array()?;
        let region = &all.first()?["region"];
        let mut found = Self::default();
        for endpoint in all.iter().filter(|endpoint| endpoint["region"] == *region) {
            let url = endpoint["url"].as_str();
            match endpoint["interface"].as_str().unwrap_or_default().to_lowercase().as_str() {
                "admin" => found.admin = url,
                "internal" => found.internal = url,
                "public" => found.public = url,
                _ => {}
            }
        }
        Some(found)
    }
}

/// An eighth of the token at each end, at most 32 characters (pycadf's `mask_value`). Of one so short that an eighth is
/// nothing, upstream shows all.
fn masked(token: &str) -> String {
    let characters: Vec<char> = token.chars().collect();
    // Python rounds halves to the even neighbour.
    let shown = ((characters.len() as f64 / 8.0).round_ties_even() as usize).min(32);
    let start: String = characters.iter().take(shown).collect();
    let end: String = characters.iter().skip(characters.len() - shown).collect();
    format!("{start} xxxxxxxx {end}")
}

fn now() -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+0000");
    OffsetDateTime::now_utc().format(form).unwrap_or_default()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn without_null(value: Value) -> Map<String, Value> {
    let mut fields = object(value);
    fields.retain(|_, value| !value.is_null());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_token_the_ends_are_shown() {
        for (token, expected) in [
            ("", " xxxxxxxx "),
            ("abc", " xxxxxxxx "),
            ("abcdefgh", "a xxxxxxxx h"),
            ("abcdefghijkl", "ab xxxxxxxx kl"),
            (&"a".repeat(1000), &format!("{0} xxxxxxxx {0}", "a".repeat(32))),
        ] {
            assert_eq!(masked(token), expected);
        }
    }
}
