//! What an answer tells in a line: who sees what, or why not.

use serde_json::Value;

use crate::common::Answer;
use crate::names::Names;

/// Fields that name what a list holds; the first one counts.
const NAMES: [&str; 6] = ["name", "namespace", "member_id", "image_id", "type", "id"];

/// Status, and the reason of a refusal, the names of what is listed, or those of a document's fields.
pub(super) fn told(answer: &Answer, names: &Names) -> String {
    if answer.status == 401 {
        // It has one text.
        return "401".to_owned();
    }
    let body = names.normal(&answer.text());
    let rest = match serde_json::from_str::<Value>(&body) {
        Ok(Value::Object(fields)) => {
            let is_list = NAMES.iter().all(|field| !fields.contains_key(*field));
            let list = fields.values().find_map(Value::as_array).filter(|_| is_list);
            let mut words: Vec<String> = match list {
                Some(items) => items.iter().map(name).collect(),
                None => fields.keys().cloned().collect(),
            };
            words.sort();
            words.join(" ")
        }
        _ => reason(&body).split_whitespace().collect::<Vec<_>>().join(" "),
    };
    format!("{} {rest}", answer.status).trim_end().to_owned()
}

fn name(item: &Value) -> String {
    NAMES.iter().find_map(|field| item[field].as_str()).unwrap_or("?").to_owned()
}

/// The text of an error document.
fn reason(body: &str) -> &str {
    let text = body.split_once("</h1>").map_or(body, |(_, text)| text);
    text.split_once("<br />").map_or(text, |(text, _)| text)
}

#[test]
fn a_line_tells_the_essence_of_an_answer() {
    let line = |status, body: &str| {
        told(&Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }, &Names::default())
    };
    assert_eq!(line(200, r#"{"first": "x", "images": [{"name": "b"}, {"name": "a", "id": "i"}]}"#), "200 a b");
    assert_eq!(line(200, r#"{"id": "i", "tags": []}"#), "200 id tags");
    assert_eq!(
        line(403, "<html><body><h1>403 Forbidden</h1>\n  You may  not.<br /><br />\n</body></html>"),
        "403 You may not."
    );
    assert_eq!((line(204, ""), line(200, "data")), ("204".to_owned(), "200 data".to_owned()));
}
