//! The steps of a comparison: what is sent, one after the other, for the cases of a file.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Case, Many};
use crate::common::images::image;
use crate::common::{Body, Request, shared_database};

/// What of a request a step sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Whole,
    /// All but the second half of the body.
    Beginning,
    /// The second half of the body.
    Rest,
}

/// A case for one user, one `Accept` and one value of `each`.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) part: Part,
    pub(crate) who: String,
    pub(crate) case: Case,
    accept: String,
    each: Option<Value>,
    /// The values of `vary`.
    picked: BTreeMap<String, String>,
}

/// All steps of these cases on the database of this run in order, the variations of a case one after the other. `default_who` sends what does not say.
pub(crate) fn steps(cases: &[Case], default_who: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let database = shared_database::name();
    for (index, case) in cases.iter().enumerate().filter(|(_, case)| !case.not_on.contains_key(database)) {
        let mut case = case.clone();
        case.ours = case.ours_on.remove(database).or(case.ours);
        let (method, path) = case.line();
        let title = case.name.clone().map_or_else(String::new, |name| format!(" ({name})"));
        let each: Vec<Option<Value>> =
            if case.each.is_empty() { vec![None] } else { case.each.iter().cloned().map(Some).collect() };
        let (whos, accepts) = (
            case.who.as_ref().map_or_else(|| vec![default_who.to_owned()], Many::list),
            case.accept.as_ref().map_or_else(|| vec!["*/*".to_owned()], Many::list),
        );
        for picked in up_to_two_faults(&case.vary) {
            for (who, accept) in whos.iter().flat_map(|who| accepts.iter().map(move |accept| (who, accept))) {
                for each in &each {
                    let who = picked.get(who.trim_matches(['<', '>'])).unwrap_or(who);
                    let mut label = format!("#{} {method} {path}{title} as {who}", index + 1);
                    if let Some(each) = each {
                        label += &format!(", each {each}");
                    }
                    if accept != "*/*" {
                        label += &format!(", accept {accept}");
                    }
                    if !picked.is_empty() {
                        label += &format!(", {picked:?}");
                    }
                    let (case, each, picked) = (case.clone(), each.clone(), picked.clone());
                    let part = Part::Whole;
                    let step = Step { label, part, who: who.clone(), case, accept: accept.clone(), each, picked };
                    steps.extend(with_meanwhile(step, default_who));
                }
            }
        }
    }
    steps
}

/// A step, or its beginning, the steps of what is asked meanwhile, and its rest.
fn with_meanwhile(step: Step, default_who: &str) -> Vec<Step> {
    if step.case.meanwhile.is_empty() {
        return vec![step];
    }
    let within = steps(&step.case.meanwhile, default_who).into_iter();
    let within = within.map(|inner| Step { label: format!("{} > {}", step.label, inner.label), ..inner });
    let beginning = Step { part: Part::Beginning, ..step.clone() };
    let rest = Step { part: Part::Rest, ..step.clone() };
    [beginning].into_iter().chain(within).chain([rest]).collect()
}

/// The first value of each name, but with another one for one name or two. Each two faults of different names come together
/// once. Without names, one case that picks nothing.
fn up_to_two_faults(vary: &BTreeMap<String, Vec<String>>) -> Vec<BTreeMap<String, String>> {
    let good: BTreeMap<String, String> = vary.iter().map(|(name, values)| (name.clone(), values[0].clone())).collect();
    let faults: Vec<(&String, &String)> =
        vary.iter().flat_map(|(name, values)| values[1..].iter().map(move |value| (name, value))).collect();
    let mut all = if faults.is_empty() { vec![good.clone()] } else { Vec::new() };
    for (index, (name, value)) in faults.iter().enumerate() {
        let one = with(&good, name, value);
        let later = faults[index + 1..].iter().filter(|(other, _)| other != name);
        all.extend(later.map(|(name, value)| with(&one, name, value)));
        all.push(one);
    }
    all
}

fn with(picked: &BTreeMap<String, String>, name: &str, value: &str) -> BTreeMap<String, String> {
    let mut picked = picked.clone();
    picked.insert(name.to_owned(), value.to_owned());
    picked
}

impl Step {
    /// Method, path and name, without values.
    pub(crate) fn title(&self) -> String {
        let (method, path) = self.case.line();
        let each = self.each.as_ref().map(text_of);
        let title = format!("{method} {}", path.replace("<each>", each.as_deref().unwrap_or_default()));
        let is_in_path = path.contains("<each>");
        let rest = [self.case.name.clone(), each.filter(|_| !is_in_path)];
        rest.into_iter().flatten().fold(title, |title, word| format!("{title}, {word}"))
    }

    /// The value of `each` as text, and whether it is the first one.
    pub(crate) fn each(&self) -> (String, bool) {
        let text = self.each.as_ref().map(text_of);
        (text.expect("`each` for `alike`"), self.each.as_ref() == self.case.each.first())
    }

    /// Whether the request may make something.
    pub(crate) fn makes(&self) -> bool {
        self.case.line().0 == "POST"
    }

    /// The request, with placeholders replaced by the values of one side.
    pub(crate) fn request(&self, values: &BTreeMap<String, String>, token: Option<&str>) -> Request {
        let case = &self.case;
        let fill = |text: &str| self.fill(text, values);
        let (method, path) = case.line();
        let mut request = Request::new(&fill(method), &fill(path));
        if let Some(token) = token {
            request = request.header("X-Auth-Token", token);
        }
        if self.accept != "none" {
            request = request.header("Accept", &fill(&self.accept));
        }
        for (name, values) in &case.headers {
            for value in values.list().iter().map(|value| fill(value)).filter(|value| value != "none") {
                request = request.header(name, &value);
            }
        }
        let (bytes, default_type) = if let Some(json) = &case.json {
            (Some(self.fill_json(json, values).to_string().into_bytes()), "application/json")
        } else if let Some(patch) = &case.patch {
            let text = self.fill_json(patch, values).to_string();
            (Some(text.into_bytes()), "application/openstack-images-v2.1-json-patch")
        } else if let Some(body) = &case.body {
            (Some(fill(body).into_bytes()).filter(|body| body != b"none"), "application/octet-stream")
        } else if let Some(name) = &case.image {
            (Some(image(&fill(name))), "application/octet-stream")
        } else if let Some(size) = case.fill {
            (Some(vec![b'x'; size]), "application/octet-stream")
        } else {
            (None, "none")
        };
        let content_type = case.content_type.as_deref().map_or_else(|| default_type.to_owned(), fill);
        if content_type != "none" {
            request = request.header("Content-Type", &content_type);
        }
        request.body = match bytes {
            None => Body::None,
            Some(bytes) if case.chunked => Body::Chunked(bytes.chunks(1000).map(<[u8]>::to_vec).collect()),
            Some(bytes) => Body::Sized(bytes),
        };
        request
    }

    fn fill(&self, text: &str, values: &BTreeMap<String, String>) -> String {
        let mut filled = text.to_owned();
        if let Some(each) = &self.each {
            filled = filled.replace("<each>", &text_of(each));
        }
        for (name, value) in &self.picked {
            filled = filled.replace(&format!("<{name}>"), value);
        }
        for (name, value) in values {
            filled = filled.replace(&format!("<{name}>"), value);
        }
        while let Some((before, rest)) = filled.split_once("<long:") {
            let (count, after) = rest.split_once('>').expect("an end of <long:N>");
            filled = format!("{before}{}{after}", "a".repeat(count.parse().expect("a number in <long:N>")));
        }
        filled
    }

    fn fill_json(&self, value: &Value, values: &BTreeMap<String, String>) -> Value {
        match value {
            Value::String(text) if text == "<each>" => match self.each.clone().expect("`each` for <each>") {
                Value::String(text) => Value::String(self.fill(&text, values)),
                other => self.fill_json(&other, values),
            },
            Value::String(text) => Value::String(self.fill(text, values)),
            Value::Array(items) => items.iter().map(|item| self.fill_json(item, values)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, item)| (self.fill(name, values), self.fill_json(item, values))).collect()
            }
            other => other.clone(),
        }
    }
}

/// A text as it is, and any other value as JSON.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::held_back;
    use super::*;

    #[test]
    fn each_two_faults_come_together_once() {
        let vary = serde_norway::from_str("{a: [ok, a1, a2], b: [ok, b1], c: [ok, c1]}").unwrap();
        let all: Vec<String> = up_to_two_faults(&vary)
            .iter()
            .map(|picked| picked.values().filter(|value| *value != "ok").cloned().collect::<Vec<_>>().join("+"))
            .collect();
        let wanted = ["a1+b1", "a1+c1", "a1", "a2+b1", "a2+c1", "a2", "b1+c1", "b1", "c1"];
        assert_eq!(all, wanted);
        assert_eq!(up_to_two_faults(&BTreeMap::new()).len(), 1);
    }

    #[test]
    fn what_is_asked_meanwhile_comes_between_the_halves() {
        let text =
            "[{GET: /}, {PUT: /a, fill: 2, meanwhile: [{GET: /b}, {GET: /c, let_go: /x}]}, {GET: /, let_go: /y}]";
        let cases: Vec<Case> = serde_norway::from_str(text).unwrap();
        let all: Vec<(String, Part)> =
            steps(&cases, "demo").iter().map(|step| (step.case.line().1.to_owned(), step.part)).collect();
        let (whole, beginning, rest) = (Part::Whole, Part::Beginning, Part::Rest);
        let wanted = [("/", whole), ("/a", beginning), ("/b", whole), ("/c", whole), ("/a", rest), ("/", whole)];
        assert_eq!(all, wanted.map(|(path, part)| (path.to_owned(), part)));
        assert_eq!(held_back(&cases), BTreeSet::from(["/x", "/y"].map(str::to_owned)));
    }
}
