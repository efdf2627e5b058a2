//! Records as JSON objects, one a line, with the keys of oslo.log's JSONFormatter (`use_json`).

use serde_json::{Map, Value as Json, json};
use tracing::Level;

use super::date::strftime;
use super::record::{CONTEXT, PROCESS, Record, Value, level_name};
use super::text::{file_name, message};

/// One line, without its end. `date`: `log_date_format`.
pub(super) fn line(record: &Record, date: &str, host: &str) -> String {
    let time = record.local_time();
    let is_context = |name: &str| CONTEXT.iter().any(|(_, field)| *field == name);
    let mut extra: Map<String, Json> = record
        .spans
        .iter()
        .filter(|(name, _)| !is_context(name))
        .map(|(name, value)| ((*name).to_owned(), Json::from(value.clone())))
        .collect();
    extra.extend(record.fields().map(|(name, value)| (name.to_owned(), json(value))));
    let level = *record.metadata.level();
    let error = record.field("error").filter(|_| level <= Level::WARN).unwrap_or_default();
    json!({
        "message": message(record),
        "asctime": strftime(date, time),
        "name": record.name(),
        "msg": record.message(),
        "args": [],
        "levelname": level_name(level),
        "levelno": number(level),
        "pathname": record.metadata.file(),
        "filename": file_name(record),
        "module": record.metadata.module_path(),
        "lineno": record.metadata.line(),
        "funcname": null,
        "created": time.unix_timestamp_nanos() as f64 / 1e9,
        "msecs": time.millisecond(),
        "relative_created": record.relative(),
        "thread": record.thread.id,
        "thread_name": record.thread.name(),
        "process": *PROCESS,
        "process_name": "glance-api",
        "traceback": null,
        "hostname": host,
        "error_summary": error,
        "context": context(record),
        "extra": extra,
    })
    .to_string()
}

/// Of a request, all that is known of it or not; else nothing. `user_identity` has the form that oslo.context gives it.
fn context(record: &Record) -> Map<String, Json> {
    let mut context = Map::new();
    if record.context("request_id").is_some() {
        context.extend(CONTEXT.iter().map(|(oslo, _)| ((*oslo).to_owned(), Json::from(record.context(oslo)))));
        context.insert("project_id".to_owned(), Json::from(record.context("project")));
        let identity = ["user", "project", "domain", "user_domain", "project_domain"];
        let identity = identity.map(|name| record.context(name).unwrap_or("-")).join(" ");
        context.insert("user_identity".to_owned(), Json::from(identity));
    }
    context
}

fn json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::from(text.clone()),
        Value::Signed(number) => Json::from(*number),
        Value::Unsigned(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Bool(truth) => Json::from(*truth),
    }
}

/// Python's number of a level.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG | Level::TRACE => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::record;
    use super::*;

    #[test]
    fn a_record_is_one_object() {
        let mut record = record(|| tracing::error!(image_id = "i", bytes = 7_u64, error = "full", "upload \"failed\""));
        record.spans.push(("request_id", "req-1".to_owned()));
        record.spans.push(("user_id", "u".to_owned()));
        record.spans.push(("path", "/v2/images".to_owned()));
        let text = line(&record, "%Y", "host");
        assert!(!text.contains('\n'));
        let parsed: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["msg"], "upload \"failed\"");
        let context = json!({
            "request_id": "req-1", "global_request_id": null, "user": "u", "project": null, "domain": null,
            "system_scope": null, "user_domain": null, "project_domain": null, "project_id": null,
            "user_identity": "u - - - -",
        });
        assert_eq!(parsed["context"], context);
        assert_eq!(parsed["thread"], nix::unistd::gettid().as_raw());
        assert_eq!(parsed["extra"]["bytes"], 7);
        assert_eq!(parsed["extra"]["path"], "/v2/images");
        assert_eq!((&parsed["levelname"], &parsed["levelno"]), (&json!("ERROR"), &json!(40)));
        assert_eq!(parsed["error_summary"], "full");
        let alone: Json = serde_json::from_str(&line(&Record { spans: Vec::new(), ..record }, "%Y", "host")).unwrap();
        assert_eq!(alone["context"], json!({}));
    }
}
