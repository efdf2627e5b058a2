//! `$name`, `${name}` and `${section.name}` in values: the templates of oslo.config (`ConfigOpts._substitute`).

use super::DefaultSection;
use super::layers::Merged;
use super::option::{Section as _, Written};
use super::schema::{self, Schema};

/// References within references are followed so far. Nobody nests deeper; a circle ends here.
const DEPTH: u8 = 16;

/// What names are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) schema: &'a Schema,
    pub(super) merged: &'a Merged,
}

/// Replaces references by the values they name. `$$` and `\$` are a dollar; a dollar before anything else stays.
///
/// A plain name is looked for in the option's own section (`chain`), then in `[DEFAULT]`. Booleans read as `True` and
/// `False`, an unset option as nothing.
///
/// # Errors
///
/// A reference to no option, to itself, or to an option with a bad value, in words.
pub(super) fn substitute(known: Known<'_>, chain: &[String], text: &str) -> Result<String, String> {
    replace(known, chain, text, DEPTH)
}

fn replace(known: Known<'_>, chain: &[String], text: &str, depth: u8) -> Result<String, String> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    let text = text.replace("\\$", "$$");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(after) {
            let next = depth.checked_sub(1).ok_or("refers to itself by way of its references")?;
            out.push_str(&value(known, chain, name, next)?);
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The name after a dollar, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        Some(inner) => {
            let (name, after) = inner.split_at(name_length(inner));
            Some((name, after.strip_prefix('}')?)).filter(|_| !name.is_empty())
        }
        None => Some(text.split_at(name_length(text))).filter(|(name, _)| !name.is_empty()),
    }
}

/// `[_a-z][._a-z0-9]*` without regard to case.
fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
        return 0;
    }
    text.find(|c: char| !(c == '_' || c == '.' || c.is_ascii_alphanumeric())).unwrap_or(text.len())
}

fn value(known: Known<'_>, chain: &[String], name: &str, depth: u8) -> Result<String, String> {
    let default = [DefaultSection::NAME.to_owned()];
    let found = match name.split_once('.') {
        None => in_section(known, chain, name, depth).or_else(|| in_section(known, &default, name, depth)),
        Some((section, option)) => {
            let section = schema::normal_section(section);
            let chain = if known.schema.is_fixed(&section) {
                vec![section]
            } else {
                vec![section, schema::BACKEND_DEFAULTS.to_owned()]
            };
            in_section(known, &chain, option, depth)
        }
    };
    found.unwrap_or_else(|| Err(format!("refers to ${name}, which is no option; write $$ for a dollar")))
}

fn in_section(known: Known<'_>, chain: &[String], name: &str, depth: u8) -> Option<Result<String, String>> {
    let text = text_of(known, chain, name, |text| replace(known, chain, text, depth))?;
    Some(text.map(|text| match text.as_str() {
        "true" if is_boolean(known, chain, name) => "True".to_owned(),
        "false" if is_boolean(known, chain, name) => "False".to_owned(),
        _ => text,
    }))
}

/// The value of an option as another one's `$name` sees it.
fn text_of(
    known: Known<'_>,
    chain: &[String],
    name: &str,
    substituted: impl Fn(&str) -> Result<String, String>,
) -> Option<Result<String, String>> {
    let section = chain.first()?;
    let info = known.schema.any_option(section, name)?;
    let Some((texts, _)) = chain.iter().find_map(|section| known.merged.texts(section, name)) else {
        return Some(Ok((info.default)().unwrap_or_default()));
    };
    let texts = if info.rules.multi { texts.as_slice() } else { texts.get(texts.len() - 1..).unwrap_or(&[]) };
    let texts = texts.iter().map(|text| substituted(text)).collect::<Result<Vec<_>, _>>();
    Some(texts.and_then(|texts| match (info.check)(&texts, info) {
        Ok(written) => Ok(written.and_then(|Written(text)| text).unwrap_or_default()),
        Err(rejected) => Err(format!("refers to ${name}, whose value {}", rejected.0)),
    }))
}

fn is_boolean(known: Known<'_>, chain: &[String], name: &str) -> bool {
    chain.first().and_then(|section| known.schema.any_option(section, name)).is_some_and(|info| info.boolean)
}
