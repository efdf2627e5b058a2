//! Records as JSON objects, one a line, with the keys of oslo.log's JSONFormatter (`use_json`).

use serde_json::{Map, Value as Json, json};
use tracing::Level;

use super::date::strftime;
use super::record::{CONTEXT, Record, Value, level_name};
use super::text::{file_name, message};

/// One line, without its end. `date`: `log_date_format`.
pub(super) fn line(record: &Record, date: &str, host: &str) -> String {
    let time = record.local_time();
    let is_context = |name: &str| CONTEXT.iter().any(|(oslo, field)| *oslo == name || *field == name);
    let context: Map<String, Json> = CONTEXT
        .iter()
        .filter_map(|(oslo, field)| Some(((*field).to_owned(), Json::from(record.context(oslo)?))))
        .collect();
    let mut extra: Map<String, Json> = record
        .spans
        .iter()
        .filter(|(name, _)| !is_context(name))
        .map(|(name, value)| ((*name).to_owned(), Json::from(value.clone())))
        .collect();
    extra.extend(
        record.fields().filter(|(name, _)| !is_context(name)).map(|(name, value)| (name.to_owned(), json(value))),
    );
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
        "process": std::process::id(),
        "process_name": "glance-api",
        "traceback": null,
        "hostname": host,
        "error_summary": error,
        "context": context,
        "extra": extra,
    })
    .to_string()
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
        record.spans.push(("path", "/v2/images".to_owned()));
        let text = line(&record, "%Y", "host");
        assert!(!text.contains('\n'));
        let parsed: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["msg"], "upload \"failed\"");
        assert_eq!(parsed["context"]["request_id"], "req-1");
        assert_eq!(parsed["extra"]["bytes"], 7);
        assert_eq!(parsed["extra"]["path"], "/v2/images");
        assert_eq!((&parsed["levelname"], &parsed["levelno"]), (&json!("ERROR"), &json!(40)));
        assert_eq!(parsed["error_summary"], "full");
    }
}
