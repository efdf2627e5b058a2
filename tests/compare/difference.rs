//! What counts as the same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::case::{Case, Differs};
use crate::common::Answer;
use crate::names::Names;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    ignored_headers: BTreeMap<String, String>,
    no_content_length: Vec<u16>,
    /// By header: items of its comma-separated list that are not compared.
    dropped_values: BTreeMap<String, Vec<String>>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| serde_norway::from_str(include_str!("rules.yaml")).unwrap());

/// Stands for a true Content-Length.
const LENGTH_OF_BODY: &str = "that of the body";

/// An answer with everything replaced that differs from run to run.
#[derive(Clone, Debug)]
struct Comparable {
    status: u16,
    reason: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Comparable {
    fn new(answer: (&Answer, &Names)) -> Self {
        let (status, reason) = (answer.0.status, answer.0.reason.clone());
        Self { status, reason, headers: headers(answer), body: body(answer) }
    }

    /// The body as JSON; null where it is none.
    fn document(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// All of an answer but its time and the number of its request, with `<each>` for what the request's `each` was.
pub(crate) fn without_each(answer: &Answer, each: &str) -> String {
    let mut text = format!("{} {}", answer.status, answer.reason);
    for (name, value) in &answer.headers {
        if !["date", "x-openstack-request-id"].contains(&name.as_str()) {
            text += &format!("\n      {name}: {value}");
        }
    }
    format!("{text}\n      {}", answer.text()).replace(each, "<each>")
}

/// Everything in which our answer is not upstream's, in words. A deliberate difference replaces the fields that it names in
/// upstream's answer; all others must be upstream's.
pub(crate) fn differences(case: &Case, theirs: (&Answer, &Names), ours: (&Answer, &Names)) -> Vec<String> {
    let (mut wanted, mut got) = (Comparable::new(theirs), Comparable::new(ours));
    if let Some(deliberate) = &case.ours {
        overlay(deliberate, theirs.1, &mut wanted, &mut got);
    }
    let mut found = Vec::new();
    let mut compare = |what: &str, wanted: &str, got: &str| {
        if wanted != got && !case.ignore.iter().any(|ignored| ignored == what) {
            let (wanted, got) = around_first_difference(wanted, got);
            let wants = if case.ours.is_some() { "wanted:  " } else { "upstream:" };
            found.push(format!("{what}\n      {wants} {wanted}\n      ours:     {got}"));
        }
    };
    compare("status", &wanted.status.to_string(), &got.status.to_string());
    compare("reason", &wanted.reason, &got.reason);
    for name in wanted.headers.keys().chain(got.headers.keys()).collect::<BTreeSet<_>>() {
        let absent = "(absent)".to_owned();
        compare(name, wanted.headers.get(name).unwrap_or(&absent), got.headers.get(name).unwrap_or(&absent));
    }
    compare("body", &wanted.body, &got.body);
    found
}

/// Puts the named fields over upstream's answer. With fields of a document, both bodies are compared as documents.
fn overlay(deliberate: &Differs, names: &Names, wanted: &mut Comparable, got: &mut Comparable) {
    if let Some(status) = deliberate.status {
        wanted.status = status;
        // The words belong to the number.
        wanted.reason.clone_from(&got.reason);
    }
    for (name, value) in &deliberate.headers {
        match value {
            Some(value) => wanted.headers.insert(name.clone(), value.clone()),
            None => wanted.headers.remove(name),
        };
    }
    if let Some(text) = &deliberate.body {
        wanted.body = names.in_order(text.clone());
    }
    if let Some(text) = &deliberate.error {
        wanted.body = error_document(wanted.status, &wanted.reason, text);
        wanted.headers.insert("content-type".to_owned(), "text/html; charset=UTF-8".to_owned());
    }
    if !deliberate.json.is_empty() {
        let (mut document, ours) = (wanted.document(), got.document());
        if document.is_null() {
            // Upstream's body is no document. Of ours, what is named is looked at.
            document = ours.clone();
            wanted.headers.insert("content-type".to_owned(), "application/json".to_owned());
        }
        // From the end, so that items of a list can be taken away.
        for (pointer, value) in deliberate.json.iter().rev() {
            let own = ours.pointer(pointer);
            let value = if own.is_some_and(|own| contains(own, value)) { own } else { Some(value) };
            set(&mut document, pointer, value.filter(|value| !value.is_null() || own.is_some()));
        }
        (wanted.body, got.body) = (names.in_order(document.to_string()), names.in_order(ours.to_string()));
    }
    let names_body = deliberate.body.is_some() || deliberate.error.is_some() || !deliberate.json.is_empty();
    if names_body && got.headers.get("content-length").is_none_or(|length| length == LENGTH_OF_BODY) {
        // It follows from the body.
        wanted.headers.remove("content-length");
        got.headers.remove("content-length");
    }
}

/// Whether a document has all that is wanted: of objects the given fields, of lists as many items.
fn contains(document: &Value, wanted: &Value) -> bool {
    match (document, wanted) {
        (Value::Object(fields), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| contains(fields.get(name).unwrap_or(&Value::Null), wanted))
        }
        (Value::Array(items), Value::Array(wanted)) => {
            items.len() == wanted.len() && items.iter().zip(wanted).all(|(item, wanted)| contains(item, wanted))
        }
        (own, wanted) => own == wanted,
    }
}

/// An error as webob writes it for browsers. `text`: the explanation, and after `<br /><br />` and a line's end the detail.
fn error_document(status: u16, reason: &str, text: &str) -> String {
    let rest = if text.contains("<br /><br />") { "\n\n" } else { "<br /><br />\n\n\n" };
    let status = format!("{status} {reason}");
    format!(
        "<html>\n <head>\n  <title>{status}</title>\n </head>\n <body>\n  <h1>{status}</h1>\n  {text}{rest}\n </body>\n</html>"
    )
}

/// Sets what the pointer names, or removes it.
fn set(document: &mut Value, pointer: &str, value: Option<&Value>) {
    let (parent, name) = pointer.rsplit_once('/').expect("a JSON pointer");
    match (document.pointer_mut(parent), value) {
        (Some(Value::Object(fields)), Some(value)) => drop(fields.insert(name.to_owned(), value.clone())),
        (Some(Value::Object(fields)), None) => drop(fields.shift_remove(name)),
        (Some(Value::Array(items)), value) => {
            let index: usize = name.parse().expect("an index");
            if index < items.len() {
                items.remove(index);
            }
            if let Some(value) = value {
                items.insert(index.min(items.len()), value.clone());
            }
        }
        _ => {}
    }
}

/// Of long texts, the part where they begin to differ.
fn around_first_difference(one: &str, other: &str) -> (String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 400;
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let skipped = same.saturating_sub(BEFORE);
    let part = |text: &str| {
        let start = if skipped == 0 { "" } else { "…" };
        let end = if text.chars().count() > skipped + SHOWN { "…" } else { "" };
        format!("{start}{}{end}", text.chars().skip(skipped).take(SHOWN).collect::<String>())
    };
    (part(one), part(other))
}

/// The fields of a deliberate difference in which upstream answers as well what is stated.
pub(crate) fn out_of_date(deliberate: &Differs, theirs: (&Answer, &Names)) -> Vec<String> {
    let theirs = Comparable::new(theirs);
    let document = theirs.document();
    let mut same = Vec::new();
    let mut check = |what: &str, is_same: bool| {
        if is_same {
            same.push(format!("{what} is no difference: upstream answers so as well ({})", deliberate.why));
        }
    };
    check("status", deliberate.status == Some(theirs.status));
    check("body", deliberate.body.as_ref() == Some(&theirs.body));
    let error = deliberate.error.as_ref().map(|text| error_document(theirs.status, &theirs.reason, text));
    check("error", error.as_ref() == Some(&theirs.body));
    for (name, value) in &deliberate.headers {
        check(name, value.as_ref() == theirs.headers.get(name));
    }
    for (pointer, value) in &deliberate.json {
        check(pointer, document.pointer(pointer).unwrap_or(&Value::Null) == value);
    }
    same
}

fn headers((answer, names): (&Answer, &Names)) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &answer.headers {
        if RULES.ignored_headers.contains_key(name)
            || name == "content-length" && RULES.no_content_length.contains(&answer.status)
        {
            continue;
        }
        // The length of a text varies with ports and paths in it; it must be true, that is all.
        let value = match name.as_str() {
            "content-length" if *value == answer.body.len().to_string() => LENGTH_OF_BODY.to_owned(),
            _ => names.normal(&without_dropped(name, value)),
        };
        headers.entry(name.clone()).and_modify(|all| *all += &format!(" | {value}")).or_insert(value);
    }
    headers
}

fn without_dropped(name: &str, value: &str) -> String {
    let Some(dropped) = RULES.dropped_values.get(name) else { return value.to_owned() };
    value.split(',').filter(|item| !dropped.iter().any(|other| other == item)).collect::<Vec<_>>().join(",")
}

fn body((answer, names): (&Answer, &Names)) -> String {
    match str::from_utf8(&answer.body) {
        Ok(text) if answer.header("content-type") != Some("application/octet-stream") => {
            names.in_order(names.normal(text))
        }
        Ok(text) if text.len() < 200 => text.to_owned(),
        _ => format!("{} bytes, sha256 {}", answer.body.len(), digest(&answer.body)),
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, header: (&str, &str), body: &str) -> Answer {
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        Answer { status, reason: "OK".to_owned(), headers, body: body.into() }
    }

    fn found(theirs: &Answer, ours: &Answer) -> Vec<String> {
        let names = Names::default();
        differences(&Case::default(), (theirs, &names), (ours, &names))
    }

    #[test]
    fn what_differs_is_seen() {
        let one = answer(200, ("allow", "GET"), "{\"a\": 1}");
        assert_eq!(found(&one, &one), Vec::<String>::new());
        assert!(found(&one, &answer(201, ("allow", "GET"), "{\"a\": 1}"))[0].starts_with("status"));
        assert!(found(&one, &answer(200, ("allow", "PUT"), "{\"a\": 1}"))[0].starts_with("allow"));
        assert!(found(&one, &answer(200, ("allow", "GET"), "{\"a\":1}"))[0].starts_with("body"));
        assert_eq!(found(&one, &answer(200, ("x-other", "GET"), "{\"a\": 1}")).len(), 2, "absent and new header");
        let named = Answer { reason: "Fine".to_owned(), ..one.clone() };
        assert!(found(&one, &named)[0].starts_with("reason"));
        assert_eq!(found(&one, &answer(200, ("allow", "GET"), "{\"a\": 1} ")).len(), 1, "a blank at the end");
    }

    fn with_ours(ours: &str, theirs: &Answer, answer: &Answer) -> (Vec<String>, Vec<String>) {
        let case: Case = serde_norway::from_str(&format!("{{GET: /, ours: {{why: w, {ours}}}}}")).unwrap();
        let names = Names::default();
        let late = out_of_date(case.ours.as_ref().unwrap(), (theirs, &names));
        (differences(&case, (theirs, &names), (answer, &names)), late)
    }

    #[test]
    fn a_deliberate_difference_covers_the_fields_it_names_alone() {
        let theirs = answer(500, ("x-kind", "a"), "{\"a\": 1, \"list\": [1, 2], \"b\": 2}");
        let ours = answer(400, ("x-kind", "b"), "{\"a\": 1, \"list\": [1], \"b\": 3}");
        let seen = |ours_entry: &str| with_ours(ours_entry, &theirs, &ours).0;
        assert_eq!(seen("status: 400, headers: {x-kind: b}, json: {/b: 3, /list/1: null}"), Vec::<String>::new());
        for (entry, missed) in [
            ("headers: {x-kind: b}, json: {/b: 3, /list/1: null}", "status"),
            ("status: 400, json: {/b: 3, /list/1: null}", "x-kind"),
            ("status: 400, headers: {x-kind: b}, json: {/list/1: null}", "body"),
            ("status: 400, headers: {x-kind: b}, json: {/b: 3}", "body"),
            ("status: 400, headers: {x-kind: b}, json: {/b: 3, /list: [2]}", "body"),
            ("status: 400, headers: {x-kind: b}, json: {/b: 3, /list: []}", "body"),
            ("status: 400, headers: {x-kind: b}", "body"),
            ("status: 400, headers: {x-kind: null}, json: {/b: 3, /list/1: null}", "x-kind"),
        ] {
            let found = seen(entry);
            assert!(found.len() == 1 && found[0].starts_with(missed), "{entry}: {found:?}");
        }
        let refused = error_document(400, "OK", "No.");
        let error = Answer {
            headers: vec![("content-type".to_owned(), "text/html; charset=UTF-8".to_owned())],
            ..answer(400, ("", ""), &refused)
        };
        assert_eq!(
            with_ours("status: 400, headers: {x-kind: null}, error: No.", &theirs, &error).0,
            Vec::<String>::new()
        );
        assert_eq!(with_ours("status: 400, headers: {x-kind: null}, error: Yes.", &theirs, &error).0.len(), 1);
        let absent = answer(400, ("x-kind", "b"), "{\"list\": [1, 2], \"b\": 2}");
        assert_eq!(
            with_ours("status: 400, headers: {x-kind: b}, json: {/a: null}", &theirs, &absent).0,
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_upstream_answers_too_is_no_difference() {
        let theirs = answer(200, ("x-kind", "a"), "{\"a\": 1}");
        for (entry, late) in [
            ("status: 200, body: x", 1),
            ("status: 201, headers: {x-kind: a}", 1),
            ("status: 201, headers: {x-other: null}", 1),
            ("json: {/a: 1, /b: null}", 2),
            ("status: 201, headers: {x-kind: null}, json: {/a: 2}", 0),
        ] {
            assert_eq!(with_ours(entry, &theirs, &theirs).1.len(), late, "{entry}");
        }
    }

    #[test]
    fn a_false_content_length_is_seen() {
        let good = answer(200, ("content-length", "3"), "abc");
        let longer = answer(200, ("content-length", "4"), "abc");
        assert!(found(&good, &longer)[0].starts_with("content-length"));
    }

    #[test]
    fn answers_are_alike_but_for_what_was_asked() {
        let of = |each: &str, kind: &str| {
            let mut answer = answer(404, ("x-kind", kind), &format!("No {each}"));
            answer.headers.push(("date".to_owned(), each.to_owned()));
            without_each(&answer, each)
        };
        assert_eq!(of("one", "a"), of("two", "a"));
        assert_ne!(of("one", "a"), of("two", "b"));
    }

    #[test]
    fn what_has_no_order_may_come_in_any() {
        let one = answer(200, ("x-kind", "a"), "{\"b\": 1, \"members\": [{\"m\": 2}, {\"m\": 1}], \"list\": [2, 1]}");
        let two = answer(200, ("x-kind", "a"), "{\"members\": [{\"m\": 1}, {\"m\": 2}], \"list\": [2, 1], \"b\": 1}");
        let other = answer(200, ("x-kind", "a"), "{\"members\": [{\"m\": 1}, {\"m\": 2}], \"list\": [1, 2], \"b\": 1}");
        let names = Names::exact();
        let unordered = |ours: &Answer| differences(&Case::default(), (&one, &names), (ours, &names)).len();
        assert_eq!((unordered(&two), unordered(&other)), (0, 1));
        assert_eq!(found(&one, &two).len(), 1, "where the order is told it counts");
        let without = answer(200, ("x-kind", "a"), "{\"members\": [{\"m\": 1}, {\"m\": 2}], \"list\": [2, 1]}");
        let case: Case = serde_norway::from_str("{GET: /, ours: {why: x, json: {/b: 1}}}").unwrap();
        let names = Names::default().unordered();
        assert_eq!(differences(&case, (&without, &names), (&two, &names)), Vec::<String>::new(), "a deliberate one");
    }

    #[test]
    fn a_cached_image_has_a_number_of_its_own_on_a_server() {
        let cached = |id: u8| format!("{{\"id\": {id}, \"last_accessed\": 0, \"size\": {id}}}");
        let (one, two) = (answer(200, ("x-kind", "a"), &cached(1)), answer(200, ("x-kind", "a"), &cached(2)));
        assert_eq!(found(&one, &two).len(), 1);
        let names = Names::default().unordered();
        let ordered = body((&answer(200, ("x-kind", "a"), &cached(3)), &names));
        assert_eq!(ordered, "{\"id\":\"<number>\",\"last_accessed\":\"<seconds>\",\"size\":3}");
        assert_eq!(names.in_order("{\"b\": 1, \"a\": 2}".to_owned()), "{\"a\":2,\"b\":1}");
    }
}
