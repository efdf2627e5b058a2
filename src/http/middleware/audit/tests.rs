use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::json;

use super::*;
use crate::api::Body;
use crate::http::exchange::tests::exchange;
use crate::http::upstream;
use crate::identity::Context;

/// What is made anew each time, as `record.py` names it.
fn without_chance(mut event: Map<String, Value>) -> Value {
    for (pointer, form) in [
        ("/id", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        ("/eventTime", "dddd-dd-ddTdd:dd:dd.dddddd+dddd"),
        ("/tags/0", "correlation_id?value=xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        ("/reporterchain/0/reporterTime", "dddd-dd-ddTdd:dd:dd.dddddd+dddd"),
    ] {
        let mut whole = Value::Object(event);
        if let Some(value) = whole.pointer_mut(pointer) {
            let text = value.as_str().unwrap();
            assert_eq!(text.len(), form.len(), "{pointer} {text}");
            *value = Value::Null;
        }
        let Value::Object(fields) = whole else { unreachable!() };
        event = fields;
    }
    Value::Object(event)
}

fn caller(told: &Value) -> Option<Context> {
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    told.is_object().then(|| Context {
        user_id: text("user_id"),
        user_name: text("user_name"),
        project_id: text("project_id"),
        service_catalog: Some(Arc::new(told["catalog"].clone())),
        ..Context::default()
    })
}

#[test]
fn records_are_those_of_upstream() {
    let cases = upstream::cases(include_str!("../../upstream/audit.json"));
    let (tables, cases) = cases.split_first().unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let named = |kind: &str, name: &str| tables[kind][case[name].as_str().unwrap()].clone();
        let folder = tempfile::tempdir().unwrap();
        let mut options: BTreeMap<String, String> = serde_json::from_value(case["options"].clone()).unwrap();
        if let Some(text) = named("maps", "map").as_str() {
            let file = folder.path().join("map.conf");
            std::fs::write(&file, text).unwrap();
            options.insert("audit_map_file".to_owned(), file.display().to_string());
        }
        let audit = Audit::new(&options).unwrap();
        let headers: Vec<(&str, &str)> =
            case["headers"].as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
        let mut exchange = exchange(case["method"].as_str().unwrap(), case["target"].as_str().unwrap(), &headers);
        exchange.is_authenticated = case["authenticated"].as_bool().unwrap();
        exchange.confirmed = caller(&named("callers", "caller"));
        audit.request(&mut exchange);
        let Some(event) = exchange.audit.clone() else {
            assert_eq!(case["request"], Value::Null, "{case}");
            continue;
        };
        assert_eq!(without_chance(event.clone()), case["request"], "{case}");
        let status = StatusCode::from_u16(u16::try_from(case["status"].as_u64().unwrap()).unwrap()).unwrap();
        let mut answered = case["request"].clone();
        answered.as_object_mut().unwrap().extend(case["response"].as_object().unwrap().clone());
        assert_eq!(without_chance(event::of_response(event, status)), answered, "{case}");
    }
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

#[test]
fn a_request_and_its_answer_are_logged() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let audit = Audit::new(&BTreeMap::from([("ignore_req_list".to_owned(), "head, Options".to_owned())])).unwrap();
    for (method, expected) in [("GET", 2), ("OPTIONS", 0), ("HEAD", 0), ("DELETE", 2)] {
        lines.0.lock().unwrap().clear();
        let mut exchange = exchange(method, "/v2/images?limit=1", &[("x-auth-token", "a-token-that-nobody-may-see")]);
        audit.request(&mut exchange);
        Audit::response(&exchange, &Response::new(Body::Empty));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), expected, "{method}: {text}");
        assert!(!text.contains("nobody"), "{text}");
        if let Some(line) = text.lines().last() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["target"], "glance_api::audit");
            let message = line["fields"]["message"].as_str().unwrap();
            let payload = message.strip_prefix("Event type: audit.http.response, Payload: ").unwrap();
            let payload: Value = serde_json::from_str(payload).unwrap();
            assert_eq!(payload["reason"], json!({"reasonType": "HTTP", "reasonCode": "200"}));
            assert_eq!(payload["requestPath"], "/v2/images?limit=1");
        }
    }
}

#[test]
fn a_map_that_cannot_be_used_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.conf");
    std::fs::write(&broken, "[path_keywords]\nimages = image\nnonsense\n").unwrap();
    let odd = folder.path().join("odd.conf");
    std::fs::write(&odd, b"[path_keywords]\nimages = \xfc\n").unwrap();
    for (file, expected) in [
        (odd.display().to_string(), "cannot be read: line 2: is not UTF-8 text"),
        (broken.display().to_string(), "line 3: neither a section nor an option: nonsense"),
        ("/no/such/map.conf".to_owned(), "cannot be read: No such file or directory"),
    ] {
        let error = Audit::new(&BTreeMap::from([("audit_map_file".to_owned(), file)])).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
