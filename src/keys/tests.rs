//! Who is asked to delete a key, with whose tokens, and what becomes of the answers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use serde_json::json;

use super::*;
use crate::config::Secret;
use crate::keystone::fake::{Answer, Server, plain};

const KEY: &str = "d152fa13-2b41-42ca-a934-6c21566c0f40";
const PATH: &str = "/v1/secrets/d152fa13-2b41-42ca-a934-6c21566c0f40";

fn caller() -> Context {
    Context { token: Some(Secret::from("caller's")), ..Context::default() }
}

/// A Barbican, or whoever else answers there.
async fn server(answer: impl Fn(&str, &Request<Bytes>) -> Answer + Send + Sync + 'static) -> Server {
    Server::start(move |request| answer(&format!("{} {}", request.method(), request.uri()), request)).await
}

/// With an endpoint of its own.
fn config(barbican: &Server) -> Config {
    let mut config = Config::default();
    config.barbican.barbican_endpoint = Some(barbican.url("/"));
    config
}

fn header<'a>(request: &'a Request<Bytes>, name: &str) -> &'a str {
    request.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn requests(server: &Server) -> Vec<String> {
    server.seen.lock().unwrap().iter().map(|(method, path, _)| format!("{method} {path}")).collect()
}

#[tokio::test]
async fn one_request_with_the_callers_token_deletes_a_key() {
    let barbican = server(|_, request| {
        let told = (header(request, "x-auth-token"), header(request, "openstack-api-version"));
        let is_right = told == ("caller's", "key-manager 1.2") && header(request, "x-service-token").is_empty();
        Answer::Now(plain(if is_right { 204 } else { 400 }, ""))
    })
    .await;
    KeyManager::new(&config(&barbican)).unwrap().delete(&caller(), &format!("http://b/{KEY}")).await.unwrap();
    assert_eq!(requests(&barbican), [format!("DELETE {PATH}")]);
}

#[tokio::test]
async fn barbican_is_found_in_the_catalog_of_the_caller() {
    let barbican = server(|what, _| {
        let status = if what == format!("DELETE /two{PATH}") { 204 } else { 404 };
        Answer::Now(plain(status, ""))
    })
    .await;
    let endpoint = |interface: &str, region: &str, path: &str| json!({"interface": interface, "region": region, "url": barbican.url(path)});
    let endpoints = json!([
        endpoint("public", "Two", "/public"),
        endpoint("internal", "One", "/one"),
        endpoint("internal", "Two", "/two/v1"),
    ]);
    let catalog = json!([{"type": "image", "endpoints": []}, {"type": "key-manager", "endpoints": endpoints}]);
    let mut config = Config::default();
    config.barbican.barbican_endpoint_type = "internal".to_owned();
    config.barbican.barbican_region_name = Some("Two".to_owned());
    let known = Context { service_catalog: Some(Arc::new(catalog.clone())), ..caller() };
    KeyManager::new(&config).unwrap().delete(&known, KEY).await.unwrap();

    // One of whom nothing is known has Keystone tell it.
    let keystone = server(move |what, request| {
        let is_right = what == "GET /v3/auth/catalog" && header(request, "x-auth-token") == "caller's";
        let document = json!({"catalog": catalog.clone(), "links": {}}).to_string();
        Answer::Now(if is_right { plain(200, document) } else { plain(404, "") })
    })
    .await;
    config.barbican.auth_endpoint = keystone.url("/v3");
    let keys = KeyManager::new(&config).unwrap();
    keys.delete(&caller(), KEY).await.unwrap();
    assert_eq!((barbican.count("DELETE", "/two/"), keystone.count("GET", "/")), (2, 1));

    config.barbican.barbican_region_name = Some("Three".to_owned());
    let error = KeyManager::new(&config).unwrap().delete(&known, KEY).await.unwrap_err().to_string();
    assert_eq!(error, "the service catalog has no internal endpoint of key-manager in region Three");
}

fn with_service_user(config: Config, keystone: &Server) -> Config {
    let mut config = config;
    config.barbican.send_service_user_token = true;
    let user = &mut config.barbican_service_user;
    user.auth_type = Some("v3password".to_owned());
    user.auth_url = Some(keystone.url("/v3"));
    user.user_id = Some("u".to_owned());
    user.password = Some(Secret::from("p"));
    config
}

/// Logs everybody in after `delay`, with tokens that count.
async fn keystone(delay: Duration) -> Server {
    let logins = Mutex::new(0);
    Server::start(move |_| {
        let mut logins = logins.lock().unwrap();
        *logins += 1;
        let user = json!({"id": "u", "name": "u", "domain": {"id": "d"}});
        let token = json!({"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "user": user}});
        let mut answer = plain(201, token.to_string());
        answer.headers_mut().insert("x-subject-token", format!("service {logins}").parse().unwrap());
        Answer::Late(delay, answer)
    })
    .await
}

#[tokio::test]
async fn a_service_user_goes_along_and_logs_in_again_when_it_is_refused() {
    let keystone = keystone(Duration::ZERO).await;
    let barbican = server(|_, request| {
        let told = (header(request, "x-auth-token"), header(request, "x-service-token"));
        Answer::Now(plain(if told == ("caller's", "service 2") { 204 } else { 401 }, ""))
    })
    .await;
    let config = with_service_user(config(&barbican), &keystone);
    let keys = KeyManager::new(&config).unwrap();
    keys.delete(&caller(), KEY).await.unwrap();
    keys.delete(&caller(), KEY).await.unwrap();
    assert_eq!((keystone.count("POST", "/v3/auth/tokens"), barbican.count("DELETE", PATH)), (2, 3));

    // Who is refused again is not asked for ever.
    let stranger = Context { token: Some(Secret::from("another")), ..Context::default() };
    assert_eq!(keys.delete(&stranger, KEY).await.unwrap_err().to_string(), "Barbican answers 401 Unauthorized");
    assert_eq!(barbican.count("DELETE", PATH), 5);
}

#[tokio::test]
async fn a_key_that_others_need_is_not_deleted_by_an_older_barbican_either() {
    for (consumers, outcome) in [
        (json!({"consumers": [{"service": "image"}]}), Err("it has consumers".to_owned())),
        (json!({"consumers": []}), Ok(())),
        (json!({"name": "a"}), Ok(())),
    ] {
        let document = consumers.to_string();
        let barbican = server(move |what, request| {
            Answer::Now(match (header(request, "openstack-api-version"), &what[..3]) {
                ("key-manager 1.1", "GET") => plain(200, document.clone()),
                ("key-manager 1.1", "DEL") => plain(204, ""),
                _ => plain(406, ""),
            })
        })
        .await;
        let deleted = KeyManager::new(&config(&barbican)).unwrap().delete(&caller(), KEY).await;
        let mut expected = vec![format!("DELETE {PATH}"), format!("GET {PATH}")];
        expected.extend(outcome.is_ok().then(|| format!("DELETE {PATH}")));
        assert_eq!((deleted.map_err(|error| error.to_string()), requests(&barbican)), (outcome, expected));
    }
}

#[tokio::test]
async fn what_keeps_a_key_is_told() {
    for (status, words) in [
        (403, "Barbican answers 403 Forbidden"),
        (404, "Barbican answers 404 Not Found"),
        (409, "Barbican answers 409 Conflict"),
        (500, "Barbican answers 500 Internal Server Error"),
    ] {
        let barbican = server(move |_, _| Answer::Now(plain(status, ""))).await;
        let error = KeyManager::new(&config(&barbican)).unwrap().delete(&caller(), KEY).await.unwrap_err();
        assert_eq!((error.is_missing(), error.to_string().as_str()), (status == 404, words));
    }
    let barbican = server(|_, _| Answer::Never).await;
    let keys = KeyManager::new(&config(&barbican)).unwrap();
    let error = keys.delete(&caller(), KEY).await.unwrap_err().to_string();
    assert!(error.starts_with("Barbican cannot be reached: "), "{error}");
    let asked = requests(&barbican).len();
    for key in ["", "a key", "../secrets"] {
        assert!(matches!(keys.delete(&caller(), key).await, Err(KeyError::Id)), "{key}");
    }
    assert!(matches!(keys.delete(&Context::default(), KEY).await, Err(KeyError::NoToken)));
    assert_eq!(requests(&barbican).len(), asked, "nobody is asked about what cannot be");
}

/// Each of the two answers in time.
#[tokio::test]
async fn all_requests_about_a_key_have_one_bound() {
    let keystone = keystone(Duration::from_millis(600)).await;
    let barbican = server(|_, _| Answer::Late(Duration::from_millis(600), plain(204, ""))).await;
    let mut config = with_service_user(config(&barbican), &keystone);
    config.barbican.timeout = Some(1.0);
    let keys = KeyManager::new(&config).unwrap();
    let started = Instant::now();
    let error = keys.delete(&caller(), KEY).await.unwrap_err().to_string();
    assert!(error == "no answer within 1s" || error.contains("Keystone cannot be reached"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn the_bound_is_what_the_option_says_up_to_ten_seconds() {
    let patience = |timeout| options::patience(&crate::config::BarbicanSection { timeout, ..Default::default() });
    let seconds =
        [None, Some(2.5), Some(60.0), Some(0.0), Some(-1.0), Some(f64::INFINITY), Some(f64::NAN)].map(patience);
    assert_eq!(seconds.map(|time| time.as_secs_f64()), [10.0, 2.5, 10.0, 10.0, 10.0, 10.0, 10.0]);
}

#[tokio::test]
async fn other_key_managers_keep_their_keys() {
    let mut config = Config::default();
    config.key_manager.backend = "vault".to_owned();
    let error = KeyManager::new(&config).unwrap().delete(&caller(), KEY).await.unwrap_err().to_string();
    assert_eq!(error, "[key_manager] backend vault is not part of this version");
}

#[test]
fn it_is_made_anew_when_its_options_change() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    let certificate = rcgen::generate_simple_self_signed(vec!["b".to_owned()]).unwrap();
    std::fs::write(&bundle, certificate.cert.pem()).unwrap();
    let mut config = Config::default();
    config.barbican.verify_ssl_path = Some(bundle.display().to_string());
    let keys = KeyManager::new(&config).unwrap();
    assert!(keys.is_made_from(&config));
    type Change = fn(&mut Config);
    let changes: [(Change, bool); 4] = [
        (|config| config.key_manager.backend = "vault".to_owned(), false),
        (|config| config.barbican.barbican_region_name = Some("Two".to_owned()), false),
        (|config| config.barbican_service_user.username = Some("u".to_owned()), false),
        (|config| config.default.limit_param_default = 7, true),
    ];
    for (change, is_same) in changes {
        let mut changed = config.clone();
        change(&mut changed);
        assert_eq!(keys.is_made_from(&changed), is_same);
    }
    std::fs::write(&bundle, "nothing").unwrap();
    assert!(!keys.is_made_from(&config));
    let error = KeyManager::new(&config).unwrap_err().to_string();
    assert!(error.starts_with(&format!("[barbican] verify_ssl_path: {}", bundle.display())), "{error}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let error = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        KeyManager::new(&config).unwrap_err().to_string()
    };
    let url = error(|config| config.barbican.barbican_endpoint = Some("//b".to_owned()));
    assert!(url.starts_with("[barbican] barbican_endpoint is no URL"), "{url}");
    let user = error(|config| config.barbican.send_service_user_token = true);
    assert_eq!(user, "[barbican_service_user] auth_type is missing");
}
