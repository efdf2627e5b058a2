//! Which part of an image a request wants (upstream: `glance/common/wsgi.py`, `get_range_from_request`; RFC 9110, part 14).

use http::header::{CONTENT_RANGE, HeaderMap, RANGE};

use crate::api::domain_errors::Refusal;
use crate::api::header::joined;

/// A part of an image, at least one byte long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) first: u64,
    pub(super) length: u64,
}

impl Part {
    /// The part named by `Range`, else by `Content-Range`, which old clients send; `None`: the whole image.
    ///
    /// # Errors
    /// 400 for several ranges, 416 for one that is malformed or lies behind the end of the image.
    pub(super) fn requested(headers: &HeaderMap, size: u64) -> Result<Option<Self>, Refusal<'static>> {
        if let Some(text) = joined(headers, RANGE) {
            return by_range(&text, size).map(Some);
        }
        if let Some(text) = joined(headers, CONTENT_RANGE) {
            return by_content_range(&text, size).map(Some);
        }
        Ok(None)
    }
}

fn by_range(text: &str, size: u64) -> Result<Part, Refusal<'static>> {
    if text.contains(',') {
        return Err(Refusal::SeveralRanges);
    }
    let (first, end) = match parse_range(text).ok_or(Refusal::MalformedRange("Range"))? {
        Wanted::From(first, end) => (first, end.map_or(size, |end| end.min(size))),
        // A suffix longer than the image is the whole image, and so is, as upstream reads it, a suffix of no bytes.
        Wanted::Last(0) => (0, size),
        Wanted::Last(count) => (size.saturating_sub(count), size),
    };
    if first >= size {
        return Err(Refusal::RangeStart { header: "Range", size });
    }
    Ok(Part { first, length: end - first })
}

fn by_content_range(text: &str, size: u64) -> Result<Part, Refusal<'static>> {
    let header = "Content-Range";
    let (first, end, total) = parse_content_range(text).ok_or(Refusal::MalformedRange(header))?;
    if total.is_none() && end > size {
        return Err(Refusal::RangeStop { header, size });
    }
    if first >= size {
        return Err(Refusal::RangeStart { header, size });
    }
    Ok(Part { first, length: end.min(size) - first })
}

enum Wanted {
    /// First byte, and the byte behind the last.
    From(u64, Option<u64>),
    /// As many bytes from the end.
    Last(u64),
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n`; what comes behind is not looked at, as in webob.
fn parse_range(text: &str) -> Option<Wanted> {
    let unit = text.get(..5).filter(|unit| unit.eq_ignore_ascii_case("bytes"))?;
    let bounds = text[unit.len()..].trim_start_matches(' ').strip_prefix('=')?.trim_start_matches(' ');
    let (first, rest) = digits(bounds);
    let rest = rest.trim_start_matches(' ').strip_prefix('-')?.trim_start_matches(' ');
    let (last, _) = digits(rest);
    match (first, last) {
        ("", "") => None,
        ("", count) => Some(Wanted::Last(number(count))),
        (first, "") => Some(Wanted::From(number(first), None)),
        (first, last) => {
            let (first, last) = (number(first), number(last));
            (first <= last).then(|| Wanted::From(first, Some(last.saturating_add(1))))
        }
    }
}

/// `bytes a-b/total` with `*` for an unknown total: first byte, the byte behind the last, total. What comes behind is not
/// looked at, as in webob.
fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (first, rest) = digits(text.strip_prefix("bytes ")?);
    let (last, rest) = digits(rest.strip_prefix('-')?);
    let total = rest.strip_prefix('/')?;
    let total = if total.starts_with('*') { None } else { Some(some_number(digits(total).0)?) };
    let (first, end) = (some_number(first)?, some_number(last)?.saturating_add(1));
    (first < end && total.is_none_or(|total| end <= total)).then_some((first, end, total))
}

/// The digits at the start, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn some_number(digits: &str) -> Option<u64> {
    (!digits.is_empty()).then(|| number(digits))
}

/// No image is larger than the largest number here.
fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Error;

    fn part(name: http::HeaderName, value: &str, size: u64) -> Result<Option<(u64, u64)>, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Part::requested(&headers, size)
            .map(|part| part.map(|part| (part.first, part.length)))
            .map_err(|refusal| Error::from(refusal).status.as_u16())
    }

    #[test]
    fn range_names_a_part() {
        let table = [
            ("bytes=0-0", 10, Ok(Some((0, 1)))),
            ("bytes=3-5", 10, Ok(Some((3, 3)))),
            ("bytes=3-", 10, Ok(Some((3, 7)))),
            ("bytes=3-99", 10, Ok(Some((3, 7)))),
            ("bytes=-2", 10, Ok(Some((8, 2)))),
            ("bytes=-20", 10, Ok(Some((0, 10)))),
            ("bytes=-0", 10, Ok(Some((0, 10)))),
            ("bytes=0-1,3-4", 10, Err(400)),
            ("bytes=10-", 10, Err(416)),
            ("bytes=5-3", 10, Err(416)),
            ("items=0-1", 10, Err(416)),
            ("bytes", 10, Err(416)),
            ("bytes=-", 10, Err(416)),
            ("bytes=a-b", 10, Err(416)),
            ("bytes=0-1-2", 10, Ok(Some((0, 2)))),
            (" bytes=0-1", 10, Err(416)),
            ("bytes = 0 - 1", 10, Ok(Some((0, 2)))),
            ("bytes=+1-2", 10, Err(416)),
            ("bytes=0-", 0, Err(416)),
            ("bytes=-1", 0, Err(416)),
            ("bytes=0-18446744073709551615", 10, Ok(Some((0, 10)))),
            ("bytes=99999999999999999999-", 10, Err(416)),
        ];
        for (value, size, wanted) in table {
            assert_eq!(part(RANGE, value, size), wanted, "{value} of {size}");
        }
    }

    #[test]
    fn content_range_names_a_part_too() {
        let table = [
            ("bytes 0-4/*", 10, Ok(Some((0, 5)))),
            ("bytes 0-4/10", 10, Ok(Some((0, 5)))),
            ("bytes 0-4/10 and more", 10, Ok(Some((0, 5)))),
            ("bytes 0-4/*x", 10, Ok(Some((0, 5)))),
            ("bytes 9-10/11", 10, Ok(Some((9, 1)))),
            ("bytes 0-4x/10", 10, Err(416)),
            ("bytes -4/10", 10, Err(416)),
            ("bytes 0-10/*", 10, Err(416)),
            ("bytes 10-11/12", 10, Err(416)),
            ("bytes */11", 10, Err(416)),
            ("bytes 4-2/*", 10, Err(416)),
            ("nonsense", 10, Err(416)),
            ("bytes 0-0/*", 0, Err(416)),
        ];
        for (value, size, wanted) in table {
            assert_eq!(part(CONTENT_RANGE, value, size), wanted, "{value} of {size}");
        }
    }
}
