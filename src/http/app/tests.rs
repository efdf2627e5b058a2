use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};

use super::*;
use crate::api::json;
use crate::http::health::tests::Database;
use crate::http::middleware::identity::tests::FakeIdentity;

/// Routes with one of each kind of answer.
struct Routes;

impl Handler for Routes {
    async fn handle(&self, request: api::Request) -> Result<Response, Error> {
        match request.path.as_str() {
            "/v2/panic" => panic!("out of luck"),
            "/v2/failure" => Err(Error::internal(std::io::Error::other("disk on fire"))),
            "/v2/refused" => Err(Error::stock(StatusCode::UNAUTHORIZED)),
            "/v2/method" => Err(Error::method_not_allowed(&request.method, "GET, POST")),
            "/v2/read" => {
                let read = request.body.collect().await.unwrap().to_bytes();
                Ok(Response::new(Body::Bytes(read.len().to_string().into())))
            }
            "/v2/seen" => {
                let context = &request.context;
                let seen = serde_json::json!({
                    "path": request.path, "query": request.query, "host_url": request.host_url, "request_id": context.request_id,
                    "project": context.project_id, "is_admin": context.is_admin, "read_only": context.read_only,
                });
                let mut response = Response::new(Body::Bytes(json::to_bytes(&seen).unwrap()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(response)
            }
            _ => Err(Error::not_found_path()),
        }
    }
}

fn app(flavor: &str, change: impl FnOnce(&mut Config)) -> App<Routes> {
    let mut config = Config::default();
    config.paste_deploy.flavor = Some(flavor.to_owned());
    change(&mut config);
    let plan = Plan::from_config(&config).unwrap();
    App::new(&config, &plan, Routes, Arc::new(Database(Ok(()))), Some(Arc::new(FakeIdentity)), false).unwrap()
}

async fn ask(
    app: &App<Routes>,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> (http::response::Parts, String) {
    let mut request = http::Request::builder().method(method).uri(target).header("host", "h:9292");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body: api::RequestBody = Box::pin(Empty::<Bytes>::new().map_err(|never| match never {}));
    let reply = app.serve(request.body(body).unwrap(), &Connection::default()).await;
    let (parts, body) = reply.response.into_parts();
    let text = match body {
        Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => String::new(),
    };
    (parts, text)
}

fn header<'a>(parts: &'a http::response::Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).map(|value| value.to_str().unwrap())
}

const GOOD: (&str, &str) = ("x-auth-token", "good");

/// As the running upstream with Keystone answered the same requests, with the stand-in's routes for Glance's.
#[tokio::test]
async fn requests_meet_the_filters_in_upstreams_order() {
    let app = app("keystone+cachemanagement", |_| {});
    let signed = true;
    for (method, target, headers, status, content_type, length, is_signed) in [
        ("GET", "/", &[][..], 300, Some("application/json"), None, !signed),
        ("HEAD", "/", &[], 300, Some("application/json"), None, !signed),
        ("FOO", "/", &[], 300, Some("application/json"), None, !signed),
        ("POST", "/versions/x", &[], 200, Some("application/json"), None, !signed),
        ("GET", "/v9/x", &[], 300, Some("application/json"), None, !signed),
        ("GET", "/healthcheckx", &[], 300, Some("application/json"), None, !signed),
        ("GET", "/healthcheck", &[], 200, Some("text/plain; charset=UTF-8"), Some("2"), !signed),
        ("OPTIONS", "//healthcheck//x", &[], 200, Some("text/plain; charset=UTF-8"), Some("2"), !signed),
        ("OPTIONS", "/", &[], 200, None, Some("0"), !signed),
        ("OPTIONS", "/versions", &[], 200, Some("application/json"), None, !signed),
        ("OPTIONS", "/v2/images", &[], 200, None, Some("0"), !signed),
        ("OPTIONS", "*", &[], 200, None, Some("0"), !signed),
        ("GET", "/v2/nope", &[("accept", "*/*")], 401, Some("text/html; charset=UTF-8"), Some("358"), !signed),
        ("GET", "/v2/nope", &[("accept", "application/json")], 401, Some("application/json"), Some("316"), !signed),
        ("GET", "/v2", &[], 401, Some("text/plain; charset=UTF-8"), Some("253"), !signed),
        ("GET", "/v2", &[GOOD], 302, Some("text/plain; charset=utf8"), Some("0"), signed),
        ("FOO", "/v2.3?x=1", &[GOOD], 302, Some("text/plain; charset=utf8"), Some("0"), signed),
        ("GET", "/v2/", &[GOOD, ("accept", "*/*")], 404, Some("text/html; charset=UTF-8"), Some("154"), signed),
        ("GET", "/v2/nope", &[GOOD], 404, Some("text/plain; charset=UTF-8"), Some("52"), signed),
        ("HEAD", "/v2/nope", &[GOOD], 404, Some("text/html; charset=UTF-8"), Some("0"), signed),
        ("HEAD", "/v2/method", &[GOOD], 405, Some("text/html; charset=UTF-8"), Some("0"), signed),
        ("PUT", "/v2/method", &[GOOD], 405, Some("text/plain; charset=UTF-8"), Some("76"), signed),
        ("GET", "//v2///seen", &[GOOD], 200, Some("application/json"), None, signed),
        ("GET", "/v2%2Fseen", &[GOOD], 200, Some("application/json"), None, signed),
        ("GET", "/v2/%ff", &[GOOD], 404, Some("text/plain; charset=UTF-8"), Some("52"), !signed),
        ("GET", "/v2/failure", &[GOOD], 500, Some("text/plain; charset=UTF-8"), Some("114"), signed),
        ("GET", "/v2/panic", &[GOOD], 500, Some("text/plain; charset=UTF-8"), Some("114"), signed),
        ("GET", "/v2/seen", &[("x-auth-token", "down")], 503, Some("text/plain; charset=UTF-8"), None, !signed),
    ] {
        let (parts, text) = ask(&app, method, target, headers).await;
        let case = format!("{method} {target} {headers:?}: {parts:?} {text}");
        assert_eq!(parts.status.as_u16(), status, "{case}");
        assert_eq!(header(&parts, "content-type"), content_type, "{case}");
        assert!(length.is_none() || header(&parts, "content-length") == length, "{case}");
        assert_eq!(parts.headers.contains_key("x-openstack-request-id"), is_signed, "{case}");
        assert!(method != "HEAD" || text.is_empty(), "{case}");
        assert!(!text.contains("disk") && !text.contains("luck"), "{case}");
    }
}

#[tokio::test]
async fn a_refused_caller_learns_where_to_log_in() {
    let app = app("keystone", |_| {});
    for (target, headers, expected) in [
        ("/v2/seen", &[][..], true),
        ("/v2/seen", &[("x-auth-token", "bad")], true),
        // Also what a handler says itself.
        ("/v2/refused", &[GOOD], true),
        ("/v2/nope", &[GOOD], false),
    ] {
        let (parts, _) = ask(&app, "GET", target, headers).await;
        let challenge = header(&parts, "www-authenticate");
        assert_eq!(challenge, expected.then_some("Keystone uri=\"http://k/v3\""), "{target} {headers:?}");
    }
    let (parts, text) = ask(&app, "GET", "/v2/seen", &[("x-auth-token", "down")]).await;
    assert_eq!(parts.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("The Keystone service is temporarily unavailable."), "{text}");
}

#[tokio::test]
async fn handlers_see_the_caller_and_the_way_back_to_them() {
    let keystone = app("keystone", |config| config.default.allow_anonymous_access = true);
    let open = app("", |config| config.oslo_middleware.enable_proxy_headers_parsing = true);
    let plain = app("", |_| {});
    let id = ("x-openstack-request-id", "mine");
    let proxy =
        [("x-forwarded-proto", "https"), ("x-forwarded-host", "public.example"), ("x-forwarded-prefix", "/image"), id];
    for (app, headers, expected) in [
        (&keystone, &[GOOD, id][..], ("http://h:9292", Some("p"), false, false)),
        (&keystone, &[id], ("http://h:9292", None, false, true)),
        (&open, &proxy, ("https://public.example", None, true, false)),
        (&plain, &proxy, ("http://h:9292", None, true, false)),
    ] {
        let (parts, text) = ask(app, "GET", "/v2.1/seen?limit=1", headers).await;
        assert_eq!(header(&parts, "x-openstack-request-id"), Some("req-mine"));
        let (host_url, project, is_admin, read_only) = expected;
        let expected = serde_json::json!({
            "path": "/v2/seen", "query": "limit=1", "host_url": host_url, "request_id": "req-mine", "project": project,
            "is_admin": is_admin, "read_only": read_only,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    }
    let (parts, _) = ask(&open, "GET", "/v2", &proxy).await;
    assert_eq!(header(&parts, "location"), Some("https://public.example/image/v2/"));
}

#[tokio::test]
async fn a_request_id_that_is_too_long_is_refused_in_words() {
    let app = app("keystone", |config| config.default.max_request_id_length = 5);
    let headers = [("x-auth-token", "good"), ("x-openstack-request-id", "123456"), ("accept", "text/html")];
    let (parts, text) = ask(&app, "GET", "/v2/seen", &headers).await;
    assert_eq!(parts.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(text.contains("<!-- x-openstack-request-id is too long, max size 5 -->"), "{text}");
}

#[tokio::test]
async fn an_operators_own_pipeline_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paste.ini");
    let packaged = include_str!("../upstream/glance-api-paste.ini");
    let own = "[pipeline:glance-api-own]\npipeline = gzip versionnegotiation unauthenticated-context rootapp\n";
    std::fs::write(&file, format!("{packaged}\n{own}")).unwrap();
    let app = app("own", |config| config.paste_deploy.config_file = file.to_str().map(str::to_owned));
    let request = http::Request::get("/v2/seen").header("accept-encoding", "gzip");
    let body: api::RequestBody = Box::pin(Empty::<Bytes>::new().map_err(|never| match never {}));
    let reply = app.serve(request.body(body).unwrap(), &Connection::default()).await;
    assert_eq!(reply.response.headers()["content-encoding"], "gzip");
    // Neither CORS nor the health check is in it.
    assert_eq!(ask(&app, "OPTIONS", "/v2/nope", &[]).await.0.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&app, "GET", "/healthcheck", &[]).await.0.status, StatusCode::MULTIPLE_CHOICES);
}

#[test]
fn authentication_needs_somebody_to_ask() {
    let mut config = Config::default();
    config.paste_deploy.flavor = Some("keystone".to_owned());
    let plan = Plan::from_config(&config).unwrap();
    let error = App::new(&config, &plan, Routes, Arc::new(Database(Ok(()))), None, false).err().unwrap();
    assert!(matches!(error, PipelineError::NoIdentity));
}

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_all_but_secrets() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut config = Config::default();
    config.paste_deploy.flavor = Some("keystone".to_owned());
    let plan = Plan::from_config(&config).unwrap();
    let app = App::new(&config, &plan, Routes, Arc::new(Database(Ok(()))), Some(Arc::new(FakeIdentity)), true).unwrap();
    let request = http::Request::get("/v2/failure?x=1").header("x-auth-token", "good").header("host", "h");
    let body: api::RequestBody = Box::pin(Empty::<Bytes>::new().map_err(|never| match never {}));
    let connection = Connection { peer: Some("192.0.2.1:1".parse().unwrap()), local: None, tls: false };
    app.serve(request.body(body).unwrap(), &connection).await.log.finish(114, true);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("good"), "{text}");
    assert!(text.contains("disk on fire") && text.contains("caught error"), "{text}");
    let access: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let fields = &access["fields"];
    for (name, expected) in [("method", "GET"), ("path", "/v2/failure?x=1"), ("remote", "192.0.2.1")] {
        assert_eq!(fields[name], expected, "{access}");
    }
    assert_eq!((&fields["status"], &fields["bytes"]), (&500.into(), &114.into()));
    assert!(fields["microseconds"].is_u64());
    let caught = text.lines().find(|line| line.contains("caught error")).unwrap();
    for line in [&access, &serde_json::from_str(caught).unwrap()] {
        let caller = &line["span"];
        assert!(caller["request_id"].as_str().unwrap().starts_with("req-"), "{line}");
        assert_eq!((&caller["project_id"], &caller["user_id"]), (&"p".into(), &serde_json::Value::Null), "{line}");
    }
    let message = fields["message"].as_str().unwrap();
    assert!(message.starts_with("192.0.2.1 \"GET /v2/failure?x=1 HTTP/1.1\" 500 114 0.0"), "{message}");
}

#[tokio::test]
async fn bodies_are_shown_within_bounds() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let config = Config::default();
    let plan = Plan::from_config(&config).unwrap();
    let app = App::new(&config, &plan, Routes, Arc::new(Database(Ok(()))), None, true).unwrap();
    let long = "é".repeat(4000);
    for (kind, sent, expected) in [
        ("application/json", "{\"url\": \"http://u:t0p@h/\"}", "{\"url\": \"http://****@h/\"}\n"),
        ("application/json", &long, &format!("\n  {}\n", "é".repeat(2048))),
        ("application/octet-stream", "data", "(4 bytes)"),
    ] {
        lines.0.lock().unwrap().clear();
        let body: api::RequestBody = Box::pin(Full::new(Bytes::from(sent.to_owned())).map_err(|never| match never {}));
        let request = http::Request::post("/v2/read").header("host", "h").header("content-type", kind);
        let connection = Connection { peer: None, local: None, tls: false };
        let reply = app.serve(request.body(body).unwrap(), &connection).await;
        let Body::Bytes(read) = reply.response.body() else { panic!("no text") };
        assert_eq!(read, &sent.len().to_string());
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let text = text.split_once("body of the request").unwrap().1;
        assert!(text.contains(expected) && !text.contains("t0p"), "{text}");
    }
}
