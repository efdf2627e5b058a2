//! The keywords of JSON Schema (upstream: `jsonschema/_keywords.py`, whose words these are).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::flaw::{Flaw, Step};
use super::python::{quote, repr};
use super::types::{canonical, is_any_type, is_equal};
use super::validator::{Schema, new};

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

/// The flaws that one keyword of a schema finds.
pub(super) fn apply<'a>(
    validator: &'a Schema,
    keyword: &'a str,
    value: &'a Value,
    instance: &'a Value,
    schema: &'a Value,
    depth: usize,
) -> Vec<Flaw<'a>> {
    let here = |message: String| new(message, Some(keyword), instance, schema);
    let shown = || repr(instance);
    match (keyword, value, instance) {
        ("$ref", Value::String(target), _) => match target.strip_prefix('#').and_then(|to| validator.raw().pointer(to))
        {
            Some(target) => validator.descend(instance, target, depth, None, None),
            None => vec![here(format!("Unresolvable: {target}"))],
        },
        ("allOf", Value::Array(schemas), _) => choices(validator, schemas, instance, depth).flatten().collect(),
        ("anyOf", Value::Array(schemas), _) => none_of(validator, schemas, instance, depth)
            .map(|context| Flaw { context, ..here(format!("{} is not valid under any of the given schemas", shown())) })
            .into_iter()
            .collect(),
        ("oneOf", Value::Array(schemas), _) => one_of(validator, schemas, instance, depth, &here),
        ("properties", Value::Object(schemas), Value::Object(members)) => schemas
            .iter()
            .filter_map(|(name, schema)| Some((name, schema, members.get(name)?)))
            .flat_map(|(name, schema, member)| {
                validator.descend(member, schema, depth, Some(Step::Key(name)), Some(Step::Key(name)))
            })
            .collect(),
        ("patternProperties", Value::Object(schemas), Value::Object(members)) => schemas
            .iter()
            .flat_map(|(pattern, schema)| members.iter().map(move |(name, member)| (pattern, schema, name, member)))
            .filter(|(pattern, _, name, _)| validator.matches(pattern, name))
            .flat_map(|(pattern, schema, name, member)| {
                validator.descend(member, schema, depth, Some(Step::Key(name)), Some(Step::Key(pattern)))
            })
            .collect(),
        ("additionalProperties", _, Value::Object(members)) => {
            let extras = members.iter().filter(|(name, _)| !is_described(validator, schema, name));
            if value.is_object() {
                return extras
                    .flat_map(|(name, member)| validator.descend(member, value, depth, Some(Step::Key(name)), None))
                    .collect();
            }
            let mut names: Vec<&str> = extras.map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            if value.as_bool() != Some(false) || names.is_empty() {
                Vec::new()
            } else {
                vec![here(extra(schema, &names))]
            }
        }
        ("items", _, Value::Array(items)) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| validator.descend(item, value, depth, Some(Step::Index(index)), None))
            .collect(),
        ("required", Value::Array(names), Value::Object(members)) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| !members.contains_key(*name))
            .map(|name| here(format!("{} is a required property", quote(name))))
            .collect(),
        ("dependentRequired", Value::Object(dependencies), Value::Object(members)) => dependencies
            .iter()
            .filter(|(name, _)| members.contains_key(*name))
            .flat_map(|(name, needed)| needed.as_array().into_iter().flatten().map(move |needed| (name, needed)))
            .filter(|(_, needed)| needed.as_str().is_some_and(|needed| !members.contains_key(needed)))
            .map(|(name, needed)| here(format!("{} is a dependency of {}", repr(needed), quote(name))))
            .collect(),
        _ => assertion(validator, keyword, value, instance).map(here).into_iter().collect(),
    }
}

/// The words of a keyword that looks at nothing within the value.
fn assertion(validator: &Schema, keyword: &str, value: &Value, instance: &Value) -> Option<String> {
    let says = |is_flawed: bool, text: &str| is_flawed.then(|| format!("{} {text}", repr(instance)));
    let length = match instance {
        Value::String(text) => text.chars().count() as u64,
        Value::Array(items) => items.len() as u64,
        Value::Object(members) => members.len() as u64,
        _ => 0,
    };
    let number = value.as_u64();
    match (keyword, instance) {
        ("type", _) if !is_any_type(instance, value) => {
            let names = match value {
                Value::Array(names) => names.iter().map(repr).collect::<Vec<_>>().join(", "),
                name => repr(name),
            };
            says(true, &format!("is not of type {names}"))
        }
        ("enum", _) => {
            let is_there =
                value.as_array().is_some_and(|choices| choices.iter().any(|choice| is_equal(choice, instance)));
            says(!is_there, &format!("is not one of {}", repr(value)))
        }
        ("const", _) if !is_equal(value, instance) => Some(format!("{} was expected", repr(value))),
        ("pattern", Value::String(text)) => {
            let pattern = value.as_str()?;
            says(!validator.matches(pattern, text), &format!("does not match {}", quote(pattern)))
        }
        ("minLength", Value::String(_)) | ("minItems", Value::Array(_)) => {
            says(length < number?, if number == Some(1) { "should be non-empty" } else { "is too short" })
        }
        ("maxLength", Value::String(_)) | ("maxItems", Value::Array(_)) => {
            says(length > number?, if number == Some(0) { "is expected to be empty" } else { "is too long" })
        }
        ("minProperties", Value::Object(_)) => {
            let text = if number == Some(1) { "should be non-empty" } else { "does not have enough properties" };
            says(length < number?, text)
        }
        ("maxProperties", Value::Object(_)) => says(
            length > number?,
            if number == Some(0) { "is expected to be empty" } else { "has too many properties" },
        ),
        ("uniqueItems", Value::Array(items)) => {
            let mut seen = HashSet::new();
            let is_flawed = value.as_bool() == Some(true) && !items.iter().all(|item| seen.insert(canonical(item)));
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
            says(is_flawed, &format!("{text} {}", repr(value)))
        }
        _ => None,
    }
}

fn choices<'a>(
    validator: &'a Schema,
    schemas: &'a [Value],
    instance: &'a Value,
    depth: usize,
) -> impl Iterator<Item = Vec<Flaw<'a>>> {
    let with_index = schemas.iter().enumerate();
    with_index.map(move |(index, schema)| validator.descend(instance, schema, depth, None, Some(Step::Index(index))))
}

/// The flaws under all of the schemas, if there are some under each.
fn none_of<'a>(
    validator: &'a Schema,
    schemas: &'a [Value],
    instance: &'a Value,
    depth: usize,
) -> Option<Vec<Flaw<'a>>> {
    let mut all = Vec::new();
    for flaws in choices(validator, schemas, instance, depth) {
        if flaws.is_empty() {
            return None;
        }
        all.extend(flaws);
    }
    Some(all)
}

fn one_of<'a>(
    validator: &'a Schema,
    schemas: &'a [Value],
    instance: &'a Value,
    depth: usize,
    here: &impl Fn(String) -> Flaw<'a>,
) -> Vec<Flaw<'a>> {
    if let Some(context) = none_of(validator, schemas, instance, depth) {
        let message = format!("{} is not valid under any of the given schemas", repr(instance));
        return vec![Flaw { context, ..here(message) }];
    }
    let found = choices(validator, schemas, instance, depth);
    let valid: Vec<&Value> =
        schemas.iter().zip(found).filter(|(_, flaws)| flaws.is_empty()).map(|(schema, _)| schema).collect();
    let [first, more @ ..] = valid.as_slice() else { return Vec::new() };
    if more.is_empty() {
        return Vec::new();
    }
    let reprs: Vec<String> = more.iter().chain([first]).map(|schema| repr(schema)).collect();
    vec![here(format!("{} is valid under each of {}", repr(instance), reprs.join(", ")))]
}

fn is_described(validator: &Schema, schema: &Value, name: &str) -> bool {
    let names = |keyword: &str| schema.get(keyword).and_then(Value::as_object).into_iter().flat_map(Map::keys);
    names("properties").any(|known| known == name)
        || names("patternProperties").any(|pattern| validator.matches(pattern, name))
}

fn extra(schema: &Value, names: &[&str]) -> String {
    let quoted = |names: &[&str]| names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let Some(patterns) = schema.get("patternProperties").and_then(Value::as_object) else {
        let verb = if names.len() == 1 { "was" } else { "were" };
        return format!("Additional properties are not allowed ({} {verb} unexpected)", quoted(names));
    };
    let verb = if names.len() == 1 { "does" } else { "do" };
    let mut patterns: Vec<&str> = patterns.keys().map(String::as_str).collect();
    patterns.sort_unstable();
    format!("{} {verb} not match any of the regexes: {}", quoted(names), quoted(&patterns))
}
