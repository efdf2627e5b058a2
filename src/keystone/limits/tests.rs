use std::sync::Mutex as StdMutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::keystone::fake::{Answer as FakeAnswer, Server, plain};

/// A Keystone with these documents below `/v3`.
struct Fake {
    server: Server,
    documents: Arc<StdMutex<HashMap<&'static str, (u16, Value)>>>,
}

impl Fake {
    async fn start() -> Self {
        let documents = Arc::new(StdMutex::new(HashMap::from([
            ("/v3/limits/model", (200, json!({"model": {"name": "flat"}}))),
            ("/v3/endpoints/e", (200, json!({"endpoint": {"service_id": "s", "region_id": "r"}}))),
            ("/v3/endpoints", (200, json!({"endpoints": [{"service_id": "s", "region_id": null}]}))),
            ("/v3/services", (200, json!({"services": [{"id": "s"}]}))),
            ("/v3/regions/r", (200, json!({"region": {"id": "r"}}))),
            (
                "/v3/limits",
                (
                    200,
                    json!({"limits": [
                        {"resource_name": "a", "resource_limit": 7}, {"resource_name": "a", "resource_limit": 8},
                    ]}),
                ),
            ),
            (
                "/v3/registered_limits",
                (
                    200,
                    json!({"registered_limits": [
                        {"resource_name": "a", "default_limit": 1}, {"resource_name": "b", "default_limit": -1},
                    ]}),
                ),
            ),
            ("/v3/projects/p", (200, json!({"project": {"id": "p", "domain_id": "d"}}))),
            ("/v3/projects", (200, json!({"projects": [{"id": "p"}, {"id": "q"}]}))),
        ])));
        let known = Arc::clone(&documents);
        let server = Server::start(move |request| FakeAnswer::Now(respond(request, &known.lock().unwrap()))).await;
        Self { server, documents }
    }

    fn set(&self, path: &'static str, status: u16, document: Value) {
        self.documents.lock().unwrap().insert(path, (status, document));
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        let section = &mut config.oslo_limit;
        section.auth_type = Some("password".to_owned());
        section.auth_url = Some(self.server.url("/v3"));
        section.endpoint_override = section.auth_url.clone();
        section.username = Some("u".to_owned());
        section.password = Some("p".into());
        section.system_scope = Some("all".to_owned());
        section.endpoint_id = Some("e".to_owned());
        config
    }

    fn limits(&self) -> UnifiedLimits {
        limits(&self.config())
    }
}

fn limits(config: &Config) -> UnifiedLimits {
    UnifiedLimits::new(config).unwrap()
}

fn respond(request: &Request<Bytes>, documents: &HashMap<&'static str, (u16, Value)>) -> Response<Full<Bytes>> {
    if request.method() == http::Method::POST {
        let token = json!({"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}}, "methods": ["password"]}});
        let mut response = plain(201, token.to_string());
        response.headers_mut().insert("x-subject-token", http::HeaderValue::from_static("token"));
        return response;
    }
    match documents.get(request.uri().path()) {
        Some((status, document)) => plain(*status, document.to_string()),
        None => plain(404, "{}"),
    }
}

#[tokio::test]
async fn a_projects_own_limit_stands_above_the_registered_one() {
    let fake = Fake::start().await;
    let limits = fake.limits();
    let found = limits.of_project(Some("p")).await.unwrap();
    assert_eq!((found.of("a"), found.of("b"), found.of("c"), &found.tree), (7, -1, 0, &None));
    let nobody = limits.of_project(None).await.unwrap();
    assert_eq!(nobody.of("a"), 1);
    assert_eq!(fake.server.count("GET", "/v3/limits?service_id=s&region_id=r&project_id=p"), 1);
    assert_eq!(fake.server.count("GET", "/v3/registered_limits?service_id=s&region_id=r"), 2);
    assert_eq!(fake.server.count("GET", "/v3/endpoints/e"), 1);
    // Asked anew each time.
    fake.set("/v3/limits", 200, json!({"limits": []}));
    assert_eq!(limits.of_project(Some("p")).await.unwrap().of("a"), 1);
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_share_a_question() {
    let fake = Fake::start().await;
    let limits = fake.limits();
    let asked = futures_util::future::join_all((0..50).map(|_| limits.of_project(Some("p")))).await;
    assert!(asked.into_iter().all(|found| found.unwrap().of("a") == 7));
    let questions = fake.server.count("GET", "/v3/limits/model");
    assert!(questions < 5, "{questions}");
}

#[tokio::test]
async fn those_who_wait_for_the_endpoint_share_a_failure() {
    let fake = Fake::start().await;
    fake.set("/v3/endpoints/e", 500, json!({}));
    let limits = fake.limits();
    let projects: Vec<String> = (0..50).map(|n| format!("p{n}")).collect();
    let asked = futures_util::future::join_all(projects.iter().map(|project| limits.of_project(Some(project)))).await;
    assert!(asked.into_iter().all(|found| found.unwrap_err().is_away()));
    let questions = fake.server.count("GET", "/v3/endpoints/e");
    assert!(questions < 5, "{questions}");
}

#[tokio::test]
async fn the_endpoint_is_looked_up_again_only_where_it_may_be_another() {
    let fake = Fake::start().await;
    let limits = fake.limits();
    let looked = || fake.server.count("GET", "/v3/endpoints/e");
    let good = fake.documents.lock().unwrap()["/v3/registered_limits"].clone();
    let mut wanted = 1;
    for (status, document, is_again) in [
        (503, json!({}), false),
        (403, json!({}), false),
        (404, json!({}), true),
        (200, json!({"registered_limits": []}), true),
    ] {
        fake.set("/v3/registered_limits", status, document);
        let _ = limits.of_project(Some("p")).await;
        fake.set("/v3/registered_limits", 200, good.1.clone());
        assert_eq!(limits.of_project(Some("p")).await.unwrap().of("b"), -1);
        wanted += usize::from(is_again);
        assert_eq!(looked(), wanted, "{status}");
    }
}

#[tokio::test]
async fn an_answer_is_kept_where_the_operator_wants_that() {
    let fake = Fake::start().await;
    let mut config = fake.config();
    config.service.keystone_limits_cache_time = 60;
    let limits = limits(&config);
    for _ in 0..3 {
        limits.of_project(Some("p")).await.unwrap();
    }
    assert_eq!(fake.server.count("GET", "/v3/limits/model"), 1);
}

#[tokio::test]
async fn the_endpoint_is_found_by_service_and_region() {
    let fake = Fake::start().await;
    let mut config = fake.config();
    config.oslo_limit.endpoint_id = None;
    config.oslo_limit.endpoint_service_type = Some("image".to_owned());
    config.oslo_limit.endpoint_interface = "internalURL".to_owned();
    config.oslo_limit.endpoint_region_name = Some("r".to_owned());
    limits(&config).of_project(Some("p")).await.unwrap();
    assert_eq!(fake.server.count("GET", "/v3/services?type=image"), 1);
    assert_eq!(fake.server.count("GET", "/v3/endpoints?service_id=s&region_id=r&interface=internal"), 1);
    // Without a region of the endpoint, limits of any are asked for.
    assert_eq!(fake.server.count("GET", "/v3/registered_limits?service_id=s"), 1);
    assert_eq!(fake.server.count("GET", "region_id=r&project_id"), 0);

    for (path, document, words) in [
        ("/v3/services", json!({"services": []}), "endpoint_service_type and endpoint_service_name: Keystone has 0"),
        ("/v3/services", json!({"services": [{"id": "s"}, {"id": "t"}]}), "Keystone has 2 of the service"),
        ("/v3/endpoints", json!({"endpoints": []}), "endpoint_region_name and endpoint_interface: Keystone has 0"),
    ] {
        let before = fake.documents.lock().unwrap()[path].clone();
        fake.set(path, 200, document);
        let error = limits(&config).of_project(Some("p")).await.unwrap_err();
        assert!(error.to_string().contains(words) && !error.is_away(), "{error}");
        fake.set(path, before.0, before.1);
    }
    config.oslo_limit.endpoint_region_name = Some("nowhere".to_owned());
    let error = limits(&config).of_project(Some("p")).await.unwrap_err().to_string();
    assert_eq!(error, "[oslo_limit] endpoint_region_name: Keystone has no region nowhere");
    config.oslo_limit.endpoint_id = Some("none".to_owned());
    let error = limits(&config).of_project(Some("p")).await.unwrap_err().to_string();
    assert_eq!(error, "[oslo_limit] endpoint_id: Keystone has no endpoint none");
}

#[tokio::test]
async fn a_region_that_is_not_there_is_told_with_the_place_of_its_option() {
    let fake = Fake::start().await;
    let mut config = fake.config();
    config.oslo_limit.endpoint_override = None;
    config.oslo_limit.region_name = Some("Two".to_owned());
    let option = ("oslo_limit".to_owned(), "region_name".to_owned());
    config.origins = Arc::new([(option, crate::config::Origin::from("/etc/glance/glance-api.conf:9"))].into());
    let error = limits(&config).of_project(Some("p")).await.unwrap_err().to_string();
    let expected = "/etc/glance/glance-api.conf:9: [oslo_limit] region_name is Two, but the service catalog has no public \
                    endpoint of identity there; its regions are none";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn in_two_strict_levels_the_domain_has_limits_too() {
    let fake = Fake::start().await;
    fake.set("/v3/limits/model", 200, json!({"model": {"name": "strict_two_level"}}));
    let found = fake.limits().of_project(Some("p")).await.unwrap();
    let tree = found.tree.as_ref().unwrap();
    assert_eq!((tree.of("a"), tree.of("b"), tree.domain.as_str()), (7, -1, "d"));
    assert_eq!(tree.projects, ["p", "q", "d"]);
    assert_eq!(fake.server.count("GET", "/v3/projects?domain_id=d"), 1);
    assert_eq!(fake.server.count("GET", "/v3/limits?service_id=s&region_id=r&domain_id=d"), 1);
    assert!(fake.limits().of_project(None).await.unwrap().tree.is_none());

    fake.set("/v3/limits/model", 200, json!({"model": {"name": "circles"}}));
    let error = fake.limits().of_project(Some("p")).await.unwrap_err();
    assert!(error.to_string().contains("circles") && !error.is_away(), "{error}");
}

#[tokio::test]
async fn a_keystone_that_is_away_is_told_from_one_that_refuses() {
    let fake = Fake::start().await;
    fake.set("/v3/limits", 503, json!({}));
    assert!(fake.limits().of_project(Some("p")).await.unwrap_err().is_away());
    fake.set("/v3/limits", 403, json!({}));
    assert!(!fake.limits().of_project(Some("p")).await.unwrap_err().is_away());
    let mut config = fake.config();
    config.oslo_limit.auth_url = Some("http://127.0.0.1:1/v3".to_owned());
    assert!(limits(&config).of_project(Some("p")).await.unwrap_err().is_away());
    // What failed is asked again.
    let limits = fake.limits();
    limits.of_project(Some("p")).await.unwrap_err();
    fake.set("/v3/limits", 200, json!({"limits": []}));
    assert_eq!(limits.of_project(Some("p")).await.unwrap().of("a"), 1);
}

#[test]
fn options_that_are_missing_are_named() {
    let error = |config: &Config| UnifiedLimits::new(config).err().unwrap().to_string();
    let mut config = Config::default();
    assert_eq!(error(&config), "[oslo_limit] auth_type is missing");
    let section = &mut config.oslo_limit;
    (section.auth_type, section.auth_url) = (Some("password".to_owned()), Some("http://k".to_owned()));
    (section.username, section.password) = (Some("u".to_owned()), Some("p".into()));
    assert_eq!(error(&config), "[oslo_limit] endpoint_id is missing");
    config.oslo_limit.endpoint_override = Some("nonsense".to_owned());
    assert!(error(&config).starts_with("[oslo_limit] endpoint_override is no URL"));
}
