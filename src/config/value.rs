//! From the texts of a file to typed values, by the rules of oslo.config's types (`oslo_config/types.py`).

use std::fmt::Display;
use std::net::IpAddr;

use super::Secret;
use super::ini::blank;
use super::option::{Format, OptionInfo, Rules};

/// Why a text is no value of its option: what would be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected(pub(super) String);

/// A type that an option can have.
pub(crate) trait OptionValue: Sized {
    /// Whether this is true or false.
    const BOOLEAN: bool = false;

    /// Reads the value. `texts` is never empty; an option that is not multi-valued takes the last of them. `None`: the
    /// text is empty and this type has no empty value, so the built-in default stands.
    ///
    /// # Errors
    ///
    /// What is allowed, in words.
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected>;

    /// The value as it would be written in a file.
    fn text(&self) -> Option<String>;
}

/// How a built-in default is written in a declaration.
pub(crate) trait IntoDefault<T> {
    fn into_default(self) -> T;
}

impl OptionValue for String {
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
        check_text(last(texts), &info.rules).map(|()| Some(last(texts).to_owned()))
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// Python takes an empty text for false wherever these are used, so it is the same as an unset option.
impl OptionValue for Option<String> {
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
        if last(texts).is_empty() { Ok(Some(None)) } else { Ok(Some(String::parse(texts, info)?)) }
    }

    fn text(&self) -> Option<String> {
        self.clone()
    }
}

impl OptionValue for Secret {
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
        check_text(last(texts), &info.rules).map(|()| Some(Self::from(last(texts))))
    }

    fn text(&self) -> Option<String> {
        Some(self.expose().to_owned())
    }
}

impl OptionValue for bool {
    const BOOLEAN: bool = true;

    fn parse(texts: &[String], _: &OptionInfo) -> Result<Option<Self>, Rejected> {
        match last(texts).to_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Ok(Some(true)),
            "false" | "0" | "off" | "no" => Ok(Some(false)),
            _ => Err(Rejected("must be true, false, yes, no, on, off, 1 or 0".to_owned())),
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl OptionValue for i64 {
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
        integer(last(texts), &info.rules)
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl OptionValue for u16 {
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
        let rules = Rules { min: Some(0.0), max: Some(65535.0), ..info.rules };
        match integer(last(texts), &rules)? {
            Some(number) => Self::try_from(number).map(Some).map_err(|_| allowed_integer(&rules)),
            None => Ok(None),
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl OptionValue for f64 {
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
        let text = last(texts).trim_matches(blank);
        if text.is_empty() {
            return Ok(None);
        }
        // Infinity and not-a-number are floats to Python; as a time they could only do harm.
        match without_underscores(text).and_then(|digits| digits.parse::<Self>().ok()) {
            Some(number) if number.is_finite() && in_range(number, &info.rules) => Ok(Some(number)),
            _ => Err(Rejected(format!("must be a number{}", range(info.rules.min, info.rules.max)))),
        }
    }

    fn text(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl OptionValue for Vec<String> {
    fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
        if info.rules.multi {
            for text in texts {
                check_text(text, &info.rules)?;
            }
            return Ok(Some(texts.to_vec()));
        }
        list(last(texts), &info.rules).map(Some)
    }

    fn text(&self) -> Option<String> {
        Some(self.join(","))
    }
}

impl OptionValue for Vec<(String, String)> {
    fn parse(texts: &[String], _: &OptionInfo) -> Result<Option<Self>, Rejected> {
        pairs(last(texts)).map(Some)
    }

    fn text(&self) -> Option<String> {
        Some(self.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(","))
    }
}

/// An empty number is unset; an empty list or map is empty.
macro_rules! optional {
    ($($type:ty),+) => { $(
        impl OptionValue for Option<$type> {
            fn parse(texts: &[String], info: &OptionInfo) -> Result<Option<Self>, Rejected> {
                <$type>::parse(texts, info).map(Some)
            }

            fn text(&self) -> Option<String> {
                self.as_ref().and_then(OptionValue::text)
            }
        }
    )+ };
}
optional!(Secret, i64, u16, f64, Vec<String>, Vec<(String, String)>);

macro_rules! plain_default {
    ($($type:ty),+) => { $(
        impl IntoDefault<$type> for $type {
            fn into_default(self) -> $type {
                self
            }
        }
    )+ };
}
plain_default!(bool, i64, u16, f64);

impl<T> IntoDefault<Option<T>> for Option<T> {
    fn into_default(self) -> Option<T> {
        self
    }
}

impl IntoDefault<String> for &str {
    fn into_default(self) -> String {
        self.to_owned()
    }
}

impl IntoDefault<Secret> for &str {
    fn into_default(self) -> Secret {
        Secret::from(self)
    }
}

impl<const N: usize> IntoDefault<Vec<String>> for [&str; N] {
    fn into_default(self) -> Vec<String> {
        self.into_iter().map(str::to_owned).collect()
    }
}

impl<const N: usize> IntoDefault<Vec<(String, String)>> for [(&str, &str); N] {
    fn into_default(self) -> Vec<(String, String)> {
        self.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

fn last(texts: &[String]) -> &str {
    texts.last().map_or("", String::as_str)
}

fn check_text(text: &str, rules: &Rules) -> Result<(), Rejected> {
    if !rules.choices.is_empty() {
        let known = |choice: &&str| **choice == *text || rules.ignore_case && choice.eq_ignore_ascii_case(text);
        if !rules.choices.iter().any(known) {
            return Err(Rejected(format!("must be one of {}", rules.choices.join(", "))));
        }
    }
    match rules.format {
        Format::Any => Ok(()),
        Format::HostOrNone if text.is_empty() => Ok(()),
        Format::Host | Format::HostOrNone if is_host(text) => Ok(()),
        Format::Host | Format::HostOrNone => Err(Rejected("must be an IP address or a host name".to_owned())),
        Format::Uri if url::Url::parse(text).is_ok_and(|url| url.has_host()) => Ok(()),
        Format::Uri => Err(Rejected("must be a URI with a scheme and a host".to_owned())),
        Format::Integer => {
            integer(text, rules).and_then(|number| number.map(|_| ()).ok_or_else(|| allowed_integer(rules)))
        }
    }
}

/// `int()` of Python: blanks around, a sign, single underscores between digits. An empty text is no number.
fn integer(text: &str, rules: &Rules) -> Result<Option<i64>, Rejected> {
    let text = text.trim_matches(blank);
    if text.is_empty() {
        return Ok(None);
    }
    let number = without_underscores(text).and_then(|digits| digits.parse::<i128>().ok());
    // Exactly: as a float, the numbers just above 2^63 would be equal to it.
    let above = |number: i128| rules.min.is_none_or(|min| number >= min as i128);
    let below = |number: i128| rules.max.is_none_or(|max| number <= max as i128);
    let number = number.filter(|number| above(*number) && below(*number)).ok_or_else(|| allowed_integer(rules))?;
    match i64::try_from(number) {
        Ok(number) => Ok(Some(number)),
        // One above our largest number is allowed upstream for sizes; no image is that large.
        Err(_) if rules.max.is_some() && number > 0 => Ok(Some(i64::MAX)),
        Err(_) => Err(allowed_integer(rules)),
    }
}

fn without_underscores(text: &str) -> Option<String> {
    let digits: Vec<_> = text.chars().collect();
    let misplaced = digits.iter().enumerate().any(|(at, c)| {
        let beside = |other: Option<&char>| other.is_some_and(char::is_ascii_digit);
        *c == '_' && !(at > 0 && beside(digits.get(at - 1)) && beside(digits.get(at + 1)))
    });
    (!misplaced).then(|| text.replace('_', ""))
}

fn in_range(number: f64, rules: &Rules) -> bool {
    rules.min.is_none_or(|min| number >= min) && rules.max.is_none_or(|max| number <= max)
}

fn allowed_integer(rules: &Rules) -> Rejected {
    Rejected(format!("must be an integer{}", integer_range(rules)))
}

/// Large floats are shown rounded.
fn integer_range(rules: &Rules) -> String {
    range(rules.min.map(|min| min as i128), rules.max.map(|max| max as i128))
}

fn range(min: Option<impl Display>, max: Option<impl Display>) -> String {
    match (min, max) {
        (None, None) => String::new(),
        (Some(min), None) => format!(", {min} or greater"),
        (None, Some(max)) => format!(", {max} or less"),
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
    }
}

/// `List` of oslo.config: separated by commas, commas at the end ignored. Where an item is not valid alone, it is tried
/// together with the next one, so that a quoted item may hold commas.
fn list(text: &str, rules: &Rules) -> Result<Vec<String>, Rejected> {
    let mut text = text.trim_matches(blank).trim_end_matches(',');
    if rules.bounded {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        text = inner.ok_or_else(|| Rejected("must be a list in brackets: [first,second]".to_owned()))?;
    }
    let mut items = Vec::new();
    if text.is_empty() {
        return Ok(items);
    }
    let mut parts = text.split(',');
    while let Some(part) = parts.next() {
        // An item that is no number is none to Python either; it would only trip up whoever uses the list.
        if rules.format == Format::Integer && part.trim_matches(blank).is_empty() {
            continue;
        }
        let mut candidate = part.to_owned();
        let value = loop {
            match item(candidate.trim_matches(blank), rules) {
                Ok(value) => break value,
                Err(error) => match parts.next() {
                    Some(next) => {
                        candidate.push(',');
                        candidate.push_str(next);
                    }
                    None => return Err(error),
                },
            }
        };
        items.push(value);
    }
    Ok(items)
}

fn item(text: &str, rules: &Rules) -> Result<String, Rejected> {
    let mut text = text;
    if rules.quoted
        && let Some(quote) = text.chars().next().filter(|c| ['"', '\''].contains(c))
    {
        let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        text = inner.ok_or_else(|| Rejected(format!("has an item with an open quote: {text}")))?;
    }
    if rules.format == Format::Integer {
        let number = integer(text, rules).ok().flatten();
        let number = number.ok_or_else(|| Rejected(format!("must be a list of integers{}", integer_range(rules))))?;
        return Ok(number.to_string());
    }
    let of_items = |Rejected(words): Rejected| Rejected(format!("each item {words}"));
    check_text(text, rules).map_err(of_items)?;
    Ok(text.to_owned())
}

/// `Dict` of oslo.config: `key:value` pairs separated by commas; keys neither empty nor twice.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Rejected> {
    let text = text.trim_matches(blank);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if text.is_empty() {
        return Ok(pairs);
    }
    for pair in text.split(',') {
        let (key, value) =
            pair.split_once(':').ok_or_else(|| Rejected("must be NAME:VALUE pairs separated by commas".to_owned()))?;
        let key = key.trim_matches(blank);
        if key.is_empty() {
            return Err(Rejected("has a pair without a name".to_owned()));
        }
        if pairs.iter().any(|(known, _)| known == key) {
            return Err(Rejected(format!("names {key} twice")));
        }
        pairs.push((key.to_owned(), value.trim_matches(blank).to_owned()));
    }
    Ok(pairs)
}

/// `HostAddress` of oslo.config. The last label of a name must not be all digits: that is a mistyped address.
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let named = |last: &str| last.bytes().any(|b| b.is_ascii_alphabetic() || b == b'-');
    text.len() <= 253 && name.split('.').all(label) && name.rsplit('.').next().is_some_and(named)
}

#[cfg(test)]
mod tests;
