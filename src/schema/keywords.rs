//! The keywords of JSON Schema (upstream: `jsonschema/_keywords.py`, whose words these are).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::flaw::{Spot, Step};
use super::python::{quote, quotes, repr, reprs};
use super::types::{Same, is_any_type, is_equal};
use super::validator::Schema;
use super::walk::Walk;

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];
/// Keywords that assert something and that are not implemented.
const UNSUPPORTED: [&str; 14] = [
    "$dynamicRef",
    "contains",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "multipleOf",
    "not",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Calls `look` with every keyword of a schema and of those within it.
pub(super) fn visit<'a>(schema: &'a Value, look: &mut impl FnMut(&'a str, &'a Value)) {
    let Value::Object(members) = schema else { return };
    for (keyword, value) in members {
        look(keyword, value);
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "definitions" | "$defs", Value::Object(schemas)) => {
                schemas.values().for_each(|schema| visit(schema, look));
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter().for_each(|schema| visit(schema, look))
            }
            ("items" | "additionalProperties", schema) => visit(schema, look),
            _ => {}
        }
    }
}

/// The regular expressions in a keyword.
pub(super) fn patterns<'a>(keyword: &str, value: &'a Value) -> impl Iterator<Item = &'a str> {
    let one = value.as_str().filter(|_| keyword == "pattern");
    let several = value.as_object().filter(|_| keyword == "patternProperties");
    one.into_iter().chain(several.into_iter().flat_map(Map::keys).map(String::as_str))
}

/// Why a keyword can not be used.
pub(super) fn problem(keyword: &str, value: &Value) -> Option<String> {
    let is_usable = match keyword {
        "type" => match value {
            Value::String(name) => TYPES.contains(&name.as_str()),
            Value::Array(names) => names.iter().all(|name| name.as_str().is_some_and(|name| TYPES.contains(&name))),
            _ => false,
        },
        "properties" | "patternProperties" | "dependentRequired" => value.is_object(),
        "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
        "enum" | "allOf" | "anyOf" | "oneOf" => value.is_array(),
        "items" | "additionalProperties" => value.is_object() || value.is_boolean(),
        "pattern" => value.is_string(),
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => value.is_u64(),
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => value.is_number(),
        "$ref" => value.as_str().is_some_and(|target| target.starts_with('#')),
        other => !UNSUPPORTED.contains(&other),
    };
    (!is_usable).then(|| format!("keyword {keyword} can not have the value {value}"))
}

/// Looks for the flaws that one keyword of a schema finds.
pub(super) fn apply<'a>(walk: &mut Walk<'a>, spot: Spot<'a>, value: &'a Value) {
    let Spot { keyword, instance, schema } = spot;
    match (keyword.unwrap_or_default(), value, instance) {
        ("$ref", Value::String(target), _) => {
            match target.strip_prefix('#').and_then(|to| walk.schema.raw().pointer(to)) {
                Some(target) => drop(walk.descend(instance, target, None, None)),
                None => walk.tell(spot, || format!("Unresolvable: {target}")),
            }
        }
        ("allOf", Value::Array(schemas), _) => {
            for (index, schema) in schemas.iter().enumerate() {
                walk.descend(instance, schema, None, Some(Step::Index(index)));
            }
        }
        ("anyOf", Value::Array(schemas), _) => any_of(walk, spot, schemas),
        ("oneOf", Value::Array(schemas), _) => one_of(walk, spot, schemas),
        ("properties", Value::Object(schemas), Value::Object(members)) => {
            for (name, schema) in schemas {
                if let Some(member) = members.get(name) {
                    walk.descend(member, schema, Some(Step::Key(name)), Some(Step::Key(name)));
                }
            }
        }
        ("patternProperties", Value::Object(schemas), Value::Object(members)) => {
            for (pattern, schema) in schemas {
                for (name, member) in members {
                    if walk.schema.matches(pattern, name) {
                        walk.descend(member, schema, Some(Step::Key(name)), Some(Step::Key(pattern)));
                    }
                }
            }
        }
        ("additionalProperties", Value::Object(_), Value::Object(members)) => {
            for (name, member) in members {
                if !is_described(walk.schema, schema, name) {
                    walk.descend(member, value, Some(Step::Key(name)), None);
                }
            }
        }
        ("additionalProperties", Value::Bool(false), Value::Object(members)) => {
            let is_extra = |name: &&String| !is_described(walk.schema, schema, name);
            let mut names: Vec<&str> = members.keys().filter(is_extra).map(String::as_str).collect();
            names.sort_unstable();
            if !names.is_empty() {
                walk.tell(spot, || extra(schema, &names));
            }
        }
        ("items", _, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                walk.descend(item, value, Some(Step::Index(index)), None);
            }
        }
        ("required", Value::Array(names), Value::Object(members)) => {
            for name in names.iter().filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
                walk.tell(spot, || format!("{} is a required property", quote(name)));
            }
        }
        ("dependentRequired", Value::Object(dependencies), Value::Object(members)) => {
            for (name, needed) in dependencies.iter().filter(|(name, _)| members.contains_key(*name)) {
                let is_missing = |needed: &&Value| needed.as_str().is_some_and(|needed| !members.contains_key(needed));
                for needed in needed.as_array().into_iter().flatten().filter(is_missing) {
                    walk.tell(spot, || format!("{} is a dependency of {}", repr(needed), quote(name)));
                }
            }
        }
        (keyword, ..) => {
            if let Some(flaw) = assertion(walk.schema, keyword, value, instance) {
                walk.tell(spot, || flaw.words(instance));
            }
        }
    }
}

/// What is wrong, for words that are made only if they are told.
enum Wrong<'a> {
    /// The value, then these.
    Instance(&'static str),
    /// The value, these words, and what the schema says.
    InstanceAnd(&'static str, &'a Value),
    /// As [`Wrong::InstanceAnd`], with the several values of a list.
    InstanceAndEach(&'static str, &'a [Value]),
    /// What the schema says, then these.
    Schema(&'a Value, &'static str),
}

impl Wrong<'_> {
    fn words(&self, instance: &Value) -> String {
        match self {
            Self::Instance(text) => format!("{} {text}", repr(instance)),
            Self::InstanceAnd(text, value) => format!("{} {text} {}", repr(instance), repr(value)),
            Self::InstanceAndEach(text, values) => format!("{} {text} {}", repr(instance), reprs(*values)),
            Self::Schema(value, text) => format!("{} {text}", repr(value)),
        }
    }
}

/// What is wrong by a keyword that looks at nothing within the value.
fn assertion<'a>(schema: &Schema, keyword: &str, value: &'a Value, instance: &Value) -> Option<Wrong<'a>> {
    let number = value.as_u64();
    let says = |is_flawed: bool, text: &'static str| is_flawed.then_some(Wrong::Instance(text));
    let is_one = |one: u64, text: &'static str, other: &'static str| if number == Some(one) { text } else { other };
    match (keyword, instance) {
        ("type", _) if !is_any_type(instance, value) => Some(match value {
            Value::Array(names) => Wrong::InstanceAndEach("is not of type", names),
            name => Wrong::InstanceAnd("is not of type", name),
        }),
        ("enum", _) => {
            let is_there = value.as_array().is_some_and(|all| all.iter().any(|choice| is_equal(choice, instance)));
            (!is_there).then_some(Wrong::InstanceAnd("is not one of", value))
        }
        ("const", _) if !is_equal(value, instance) => Some(Wrong::Schema(value, "was expected")),
        ("pattern", Value::String(text)) => {
            let is_matched = schema.matches(value.as_str()?, text);
            (!is_matched).then_some(Wrong::InstanceAnd("does not match", value))
        }
        ("minLength" | "minItems", Value::String(_) | Value::Array(_)) if is_measured(keyword, instance) => {
            says(length(instance) < number?, is_one(1, "should be non-empty", "is too short"))
        }
        ("maxLength" | "maxItems", Value::String(_) | Value::Array(_)) if is_measured(keyword, instance) => {
            says(length(instance) > number?, is_one(0, "is expected to be empty", "is too long"))
        }
        ("minProperties", Value::Object(_)) => {
            says(length(instance) < number?, is_one(1, "should be non-empty", "does not have enough properties"))
        }
        ("maxProperties", Value::Object(_)) => {
            says(length(instance) > number?, is_one(0, "is expected to be empty", "has too many properties"))
        }
        ("uniqueItems", Value::Array(items)) => {
            let mut seen = HashSet::new();
            let is_flawed = value.as_bool() == Some(true) && !items.iter().all(|item| seen.insert(Same(item)));
            says(is_flawed, "has non-unique elements")
        }
        ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum", Value::Number(_)) => {
            let (given, limit) = (instance.as_f64()?, value.as_f64()?);
            let (is_flawed, text) = match keyword {
                "minimum" => (given < limit, "is less than the minimum of"),
                "maximum" => (given > limit, "is greater than the maximum of"),
                "exclusiveMinimum" => (given <= limit, "is less than or equal to the minimum of"),
                _ => (given >= limit, "is greater than or equal to the maximum of"),
            };
            is_flawed.then_some(Wrong::InstanceAnd(text, value))
        }
        _ => None,
    }
}

/// Lengths are of texts, items are of lists.
fn is_measured(keyword: &str, instance: &Value) -> bool {
    keyword.ends_with("Length") == instance.is_string()
}

fn length(instance: &Value) -> u64 {
    match instance {
        Value::String(text) => text.chars().count() as u64,
        Value::Array(items) => items.len() as u64,
        Value::Object(members) => members.len() as u64,
        _ => 0,
    }
}

fn any_of<'a>(walk: &mut Walk<'a>, spot: Spot<'a>, schemas: &'a [Value]) {
    let mut choices = walk.among_choices();
    let indexed = schemas.iter().enumerate();
    for (index, schema) in indexed {
        if choices.descend(spot.instance, schema, None, Some(Step::Index(index))) {
            return;
        }
    }
    walk.tell_choices(spot, || none_fits(spot.instance), choices);
}

fn one_of<'a>(walk: &mut Walk<'a>, spot: Spot<'a>, schemas: &'a [Value]) {
    let mut choices = walk.among_choices();
    let mut fitting = Vec::new();
    for (index, schema) in schemas.iter().enumerate() {
        if choices.descend(spot.instance, schema, None, Some(Step::Index(index))) {
            fitting.push(schema);
        }
    }
    match fitting.as_slice() {
        [] => walk.tell_choices(spot, || none_fits(spot.instance), choices),
        [_] => {}
        [first, more @ ..] => walk.tell(spot, || {
            let all = reprs(more.iter().copied().chain([*first]));
            format!("{} is valid under each of {all}", repr(spot.instance))
        }),
    }
}

fn none_fits(instance: &Value) -> String {
    format!("{} is not valid under any of the given schemas", repr(instance))
}

fn is_described(validator: &Schema, schema: &Value, name: &str) -> bool {
    let of = |keyword: &str| schema.get(keyword).and_then(Value::as_object);
    of("properties").is_some_and(|known| known.contains_key(name))
        || of("patternProperties").is_some_and(|known| known.keys().any(|pattern| validator.matches(pattern, name)))
}

fn extra(schema: &Value, names: &[&str]) -> String {
    let quoted = quotes(names.iter().copied());
    let Some(patterns) = schema.get("patternProperties").and_then(Value::as_object) else {
        let verb = if names.len() == 1 { "was" } else { "were" };
        return format!("Additional properties are not allowed ({quoted} {verb} unexpected)");
    };
    let verb = if names.len() == 1 { "does" } else { "do" };
    let mut patterns: Vec<&str> = patterns.keys().map(String::as_str).collect();
    patterns.sort_unstable();
    format!("{quoted} {verb} not match any of the regexes: {}", quotes(patterns))
}
