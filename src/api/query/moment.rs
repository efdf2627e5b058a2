//! Points in time as Python's iso8601 reads them: ISO 8601 with liberties, and UTC unless it says otherwise.

use time::{Date, Duration, Month, PrimitiveDateTime, Time};

/// The point in UTC.
pub(super) fn parse(text: &str) -> Option<PrimitiveDateTime> {
    let fields = year(text)?;
    let month = Month::try_from(fields.month.unwrap_or(1)).ok()?;
    let date = Date::from_calendar_date(fields.year, month, fields.day.unwrap_or(1)).ok()?;
    // Python has no year 0.
    let date = Some(date).filter(|_| fields.year > 0)?;
    let time = Time::from_hms_micro(fields.hour, fields.minute, fields.second, fields.micros).ok()?;
    let offset = Some(fields.offset).filter(|minutes| minutes.abs() < 24 * 60)?;
    let utc = PrimitiveDateTime::new(date, time).checked_sub(Duration::minutes(offset))?;
    (1..=9999).contains(&utc.year()).then_some(utc)
}

#[derive(Clone, Copy, Default)]
struct Fields {
    year: i32,
    month: Option<u8>,
    day: Option<u8>,
    hour: u8,
    minute: u8,
    second: u8,
    micros: u32,
    /// Minutes east of UTC.
    offset: i64,
}

// Each of these reads one field and hands the rest on. Where a text can be cut in several ways, the first cut counts with which all of
// the text is read, in the order in which upstream's regular expression tries them.

fn year(text: &str) -> Option<Fields> {
    let (year, rest) = digits(text, 4)?;
    let fields = Fields { year: i32::try_from(year).ok()?, ..Fields::default() };
    month(rest, fields).or_else(|| end(rest, fields))
}

fn month(text: &str, fields: Fields) -> Option<Fields> {
    let with = |(value, rest): (u32, &str)| {
        let fields = Fields { month: u8::try_from(value).ok(), ..fields };
        day(rest, fields).or_else(|| end(rest, fields))
    };
    match text.strip_prefix('-') {
        Some(rest) => digits(rest, 2).and_then(with).or_else(|| digits(rest, 1).and_then(with)),
        // Six digits could be a year and a month, or a short date.
        None => digits(text, 2).filter(|(_, rest)| !rest.is_empty()).and_then(with),
    }
}

fn day(text: &str, fields: Fields) -> Option<Fields> {
    let with = |(value, rest): (u32, &str)| {
        let fields = Fields { day: u8::try_from(value).ok(), ..fields };
        hour(rest, fields).or_else(|| end(rest, fields))
    };
    match text.strip_prefix('-') {
        Some(rest) => digits(rest, 2).and_then(with).or_else(|| digits(rest, 1).and_then(with)),
        None => digits(text, 2).and_then(with),
    }
}

fn hour(text: &str, fields: Fields) -> Option<Fields> {
    let (value, rest) = digits(text.strip_prefix([' ', 'T'])?, 2)?;
    let fields = Fields { hour: u8::try_from(value).ok()?, ..fields };
    minute(rest, fields).or_else(|| second(rest, fields)).or_else(|| zone(rest, fields))
}

fn minute(text: &str, fields: Fields) -> Option<Fields> {
    let (value, rest) = digits(text.strip_prefix(':').unwrap_or(text), 2)?;
    let fields = Fields { minute: u8::try_from(value).ok()?, ..fields };
    second(rest, fields).or_else(|| zone(rest, fields))
}

fn second(text: &str, fields: Fields) -> Option<Fields> {
    let text = text.strip_prefix(':').unwrap_or(text);
    let with = |(value, rest): (u32, &str)| {
        let fields = Fields { second: u8::try_from(value).ok()?, ..fields };
        fraction(rest, fields).or_else(|| zone(rest, fields))
    };
    digits(text, 2).and_then(with).or_else(|| digits(text, 1).and_then(with))
}

fn fraction(text: &str, fields: Fields) -> Option<Fields> {
    let text = text.strip_prefix(['.', ','])?;
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (all, rest) = text.split_at_checked(length).filter(|(all, _)| !all.is_empty())?;
    let micros = all.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = micros.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    zone(rest, Fields { micros, ..fields })
}

fn zone(text: &str, fields: Fields) -> Option<Fields> {
    if let Some(rest) = text.strip_prefix('Z') {
        return end(rest, fields);
    }
    let Some(rest) = text.strip_prefix(['+', '-']) else { return end(text, fields) };
    let (hours, rest) = digits(rest, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = digits(rest, 2).unwrap_or((0, rest));
    let offset = i64::from(hours * 60 + minutes);
    end(rest, Fields { offset: if text.starts_with('-') { -offset } else { offset }, ..fields })
}

fn end(text: &str, fields: Fields) -> Option<Fields> {
    text.is_empty().then_some(fields)
}

/// So many digits at the start, and the rest.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// Expectations from Python's iso8601 2.1.
    #[test]
    fn times_are_read_as_python_reads_them() {
        let table = [
            ("2012-02-14T20:53:07Z", Some(datetime!(2012-02-14 20:53:07))),
            ("2012-02-14T20:53:07+05:30", Some(datetime!(2012-02-14 15:23:07))),
            ("2012-02-14 20:53:07.1234567-01", Some(datetime!(2012-02-14 21:53:07.123456))),
            ("2012", Some(datetime!(2012-01-01 0:00))),
            ("2012-2", Some(datetime!(2012-02-01 0:00))),
            ("201202", None),
            ("20120214", Some(datetime!(2012-02-14 0:00))),
            ("2012-123", Some(datetime!(2012-01-23 0:00))),
            ("20120214T12:34.5", Some(datetime!(2012-02-14 12:00:34.5))),
            ("20120214T123", Some(datetime!(2012-02-14 12:00:03))),
            ("2012-02-14T24:00", None),
            ("2012-02-30", None),
            ("2012-02-14T20:53:07+24:00", None),
            ("0001-01-01T00:00:00+01:00", None),
            ("0000-01-01", None),
            ("2012-02-14T", None),
            ("", None),
            ("é012", None),
        ];
        for (text, time) in table {
            assert_eq!(parse(text), time, "{text}");
        }
    }
}
