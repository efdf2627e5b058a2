//! What upstream answers, as `upstream/record.py` wrote it down; the expectations of this room's tests.

use serde_json::Value;

pub(in crate::http) fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// Compares status line, headers and body with the `answer` of a case.
pub(in crate::http) fn assert_same(response: crate::api::Response, case: &Value) {
    let answer = &case["answer"];
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = reason.map(|r| String::from_utf8(r.as_bytes().to_vec()).unwrap());
    let reason = reason.unwrap_or_else(|| response.status().canonical_reason().unwrap().to_owned());
    let line = format!("{} {reason}", response.status().as_str());
    assert!(line == answer["status"] || line[..3] == answer["status"], "{line}: {case}");
    let headers: serde_json::Map<String, Value> =
        response.headers().iter().map(|(k, v)| (k.to_string(), Value::from(v.to_str().unwrap()))).collect();
    assert_eq!(Value::Object(headers), answer["headers"], "{case}");
    let body = match response.body() {
        crate::api::Body::Empty => "",
        crate::api::Body::Bytes(bytes) => std::str::from_utf8(bytes).unwrap(),
        crate::api::Body::Data { .. } => panic!("image data: {case}"),
    };
    assert_eq!(body, answer["body"], "{case}");
}
