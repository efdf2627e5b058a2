//! What becomes of callers and their tokens.

mod connections;
mod options;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::*;
use crate::config::Config;
use crate::keystone::KeystoneError;
use crate::keystone::fake::{Answer, Server, plain};

fn in_seconds(seconds: i64) -> String {
    (OffsetDateTime::now_utc() + time::Duration::seconds(seconds)).format(&Rfc3339).unwrap()
}

fn token(expires_in: i64, roles: &[&str]) -> Value {
    json!({
        "expires_at": in_seconds(expires_in),
        "user": {"id": "u1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": roles.iter().map(|name| json!({"id": "r", "name": name})).collect::<Vec<_>>(),
        "catalog": [{"type": "image", "endpoints": []}],
    })
}

fn known(token: &Value) -> Answer {
    Answer::Now(plain(200, json!({"token": token}).to_string()))
}

/// Keystone's login, whose catalog leads back to the same server.
fn logged_in(request: &Request<Bytes>, secret: &str) -> Answer {
    logged_in_with(request, secret, "/v3")
}

/// `api`: where the catalog says that Keystone is.
fn logged_in_with(request: &Request<Bytes>, secret: &str, api: &str) -> Answer {
    let host = request.headers()["host"].to_str().unwrap();
    let mut token = token(3600, &["service"]);
    token["catalog"] = json!([{"type": "identity", "endpoints": [
        {"interface": "internal", "region": "One", "url": format!("http://{host}{api}")}]}]);
    let mut response = plain(201, json!({"token": token}).to_string());
    response.headers_mut().insert("X-Subject-Token", secret.parse().unwrap());
    Answer::Now(response)
}

/// A Keystone that logs everyone in and answers validations as `validate` says.
async fn keystone(validate: impl Fn(&str, &Request<Bytes>) -> Answer + Send + Sync + 'static) -> Server {
    let logins = AtomicUsize::new(0);
    Server::start(move |request| match (request.method(), request.uri().path()) {
        (&Method::POST, "/v3/auth/tokens") => {
            logged_in(request, &format!("own-{}", logins.fetch_add(1, Ordering::Relaxed)))
        }
        (&Method::GET, "/v3/auth/tokens") => {
            let subject = request.headers()["x-subject-token"].to_str().unwrap().to_owned();
            validate(&subject, request)
        }
        _ => Answer::Now(plain(404, "{}")),
    })
    .await
}

fn config(url: String) -> Config {
    let mut config = Config::default();
    let section = &mut config.keystone_authtoken;
    section.auth_type = Some("password".to_owned());
    section.auth_url = Some(url);
    section.username = Some("glance".to_owned());
    section.password = Some("secret".into());
    section.project_name = Some("service".to_owned());
    section.http_request_max_retries = 0;
    section.http_connect_timeout = Some(2);
    config
}

fn authenticator(server: &Server) -> Authenticator {
    Authenticator::new(&config(server.url("/v3"))).unwrap()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

async fn ask(
    authenticator: &Authenticator,
    pairs: &[(&'static str, &'static str)],
) -> Result<Option<Context>, Arc<KeystoneError>> {
    authenticator.authenticate(&Method::GET, "/v2/images", &headers(pairs)).await
}

#[tokio::test]
async fn a_good_token_becomes_a_context() {
    let server = keystone(|_, _| known(&token(3600, &["Member", "reader"]))).await;
    let authenticator = authenticator(&server);
    let forged =
        [("x-auth-token", " t "), ("x-roles", "admin"), ("x-project-id", "p9"), ("openstack-system-scope", "all")];
    let context = ask(&authenticator, &forged).await.unwrap().unwrap();
    assert_eq!(context.user_id.as_deref(), Some("u1"));
    assert_eq!(context.project_id.as_deref(), Some("p1"));
    assert_eq!(context.project_domain_id.as_deref(), Some("default"));
    assert_eq!(context.roles, ["member", "reader"]);
    assert_eq!((context.system_scope, context.is_admin, context.is_admin_project), (None, false, true));
    assert_eq!(context.token.unwrap().expose(), "t");
    assert!(context.service_catalog.is_some());
    let seen = server.seen.lock().unwrap();
    let login: Value = serde_json::from_str(&seen[0].2).unwrap();
    assert_eq!(login["auth"]["scope"], json!({"project": {"name": "service"}}));
}

#[tokio::test]
async fn without_a_token_keystone_is_not_asked() {
    let server = keystone(|_, _| known(&token(3600, &[]))).await;
    let authenticator = authenticator(&server);
    for pairs in [
        &[][..],
        &[("x-auth-token", "")],
        &[("x-auth-token", " ")],
        &[("x-service-token", "s")],
        &[("x-auth-token", ""), ("x-storage-token", "t")],
    ] {
        assert!(ask(&authenticator, pairs).await.unwrap().is_none(), "{pairs:?}");
    }
    assert!(server.seen.lock().unwrap().is_empty());
    assert!(ask(&authenticator, &[("x-storage-token", "t")]).await.unwrap().is_some());
}

#[tokio::test]
async fn answers_are_kept_good_or_bad() {
    let server = keystone(|subject, _| match subject {
        "good" => known(&token(3600, &[])),
        _ => Answer::Now(plain(404, "{}")),
    })
    .await;
    let authenticator = authenticator(&server);
    for _ in 0..3 {
        assert!(ask(&authenticator, &[("x-auth-token", "good")]).await.unwrap().is_some());
        assert!(ask(&authenticator, &[("x-auth-token", "bad")]).await.unwrap().is_none());
    }
    assert_eq!(server.count("GET", "/auth/tokens"), 2);
    assert_eq!(server.count("POST", "/auth/tokens"), 1);
}

#[tokio::test]
async fn nothing_is_kept_with_a_cache_time_of_minus_one() {
    let server = keystone(|_, _| known(&token(3600, &[]))).await;
    let mut config = config(server.url("/v3"));
    config.keystone_authtoken.token_cache_time = -1;
    let authenticator = Authenticator::new(&config).unwrap();
    for _ in 0..3 {
        assert!(ask(&authenticator, &[("x-auth-token", "good")]).await.unwrap().is_some());
    }
    assert_eq!(server.count("GET", "/auth/tokens"), 3);
}

#[tokio::test]
async fn questions_about_one_token_are_one_request() {
    let server = keystone(|_, _| {
        let Answer::Now(response) = known(&token(3600, &[])) else { unreachable!() };
        Answer::Late(Duration::from_millis(100), response)
    })
    .await;
    let authenticator = Arc::new(authenticator(&server));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let authenticator = authenticator.clone();
            tokio::spawn(async move { ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap().is_some() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!((server.count("GET", ""), server.count("POST", "")), (1, 1));
}

#[tokio::test]
async fn a_token_ends_although_it_is_kept() {
    let token = token(1, &[]);
    let server = keystone(move |_, _| known(&token)).await;
    let authenticator = authenticator(&server);
    assert!(ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap().is_none());
}

#[tokio::test]
async fn service_tokens_let_ended_tokens_pass() {
    let server = keystone(|subject, request| match subject {
        "service" => known(&token(3600, &["service"])),
        "plain" => known(&token(3600, &["member"])),
        "ended" if request.uri().query() == Some("allow_expired=1") => known(&token(-60, &["member"])),
        "user" => known(&token(3600, &["member"])),
        _ => Answer::Now(plain(404, "{}")),
    })
    .await;
    let mut config = config(server.url("/v3"));
    for (required, user, service, expected) in [
        (true, "user", Some("service"), Some(true)),
        (true, "user", Some("plain"), Some(false)),
        (false, "user", Some("plain"), Some(true)),
        (true, "user", Some("unknown"), Some(false)),
        (true, "ended", Some("service"), Some(true)),
        (true, "ended", Some("plain"), None),
        (false, "ended", Some("plain"), None),
        (true, "ended", None, None),
    ] {
        config.keystone_authtoken.service_token_roles_required = required;
        let authenticator = Authenticator::new(&config).unwrap();
        let mut pairs = vec![("x-auth-token", user)];
        pairs.extend(service.map(|service| ("x-service-token", service)));
        let context = ask(&authenticator, &pairs).await.unwrap();
        let as_service = context.map(|context| {
            assert_eq!(context.service.is_some(), !context.service_roles.is_empty());
            context.service.is_some()
        });
        assert_eq!(as_service, expected, "{required} {user} {service:?}");
    }
}

#[tokio::test]
async fn a_bad_service_token_refuses_where_nobody_else_decides() {
    let server = keystone(|subject, _| match subject {
        "user" => known(&token(3600, &[])),
        _ => Answer::Now(plain(404, "{}")),
    })
    .await;
    let mut config = config(server.url("/v3"));
    for delay in [true, false] {
        config.keystone_authtoken.delay_auth_decision = delay;
        let authenticator = Authenticator::new(&config).unwrap();
        let context = ask(&authenticator, &[("x-auth-token", "user"), ("x-service-token", "bad")]).await.unwrap();
        assert_eq!(context.is_some(), delay);
    }
}

#[tokio::test]
async fn system_and_domain_scopes_are_told_apart() {
    let server = keystone(|subject, _| {
        let mut token = token(3600, &["admin"]);
        match subject {
            "system" => token["system"] = json!({"all": true}),
            _ => token["domain"] = json!({"id": "d1", "name": "D"}),
        }
        token["project"] = Value::Null;
        known(&token)
    })
    .await;
    let authenticator = authenticator(&server);
    let system = ask(&authenticator, &[("x-auth-token", "system")]).await.unwrap().unwrap();
    assert_eq!((system.system_scope.as_deref(), system.domain_id, system.project_id), (Some("all"), None, None));
    let domain = ask(&authenticator, &[("x-auth-token", "domain")]).await.unwrap().unwrap();
    assert_eq!((domain.system_scope, domain.domain_id.as_deref()), (None, Some("d1")));
}
