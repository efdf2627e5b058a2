//! Times as upstream stores them: naive UTC, microseconds.

use super::dialect::Dialect;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// The present, cut to microseconds.
pub(crate) fn now() -> PrimitiveDateTime {
    let now = OffsetDateTime::now_utc();
    to_micros(PrimitiveDateTime::new(now.date(), now.time()))
}

/// The same time without what lies below a microsecond.
pub(super) fn to_micros(time: PrimitiveDateTime) -> PrimitiveDateTime {
    time.replace_nanosecond(time.nanosecond() / 1000 * 1000).unwrap_or(time)
}

/// The same time as the database keeps it: MySQL has whole seconds, to which some of its versions would round it up.
pub(super) fn as_kept(dialect: Dialect, time: PrimitiveDateTime) -> PrimitiveDateTime {
    match dialect {
        Dialect::MySql => time.replace_nanosecond(0).unwrap_or(time),
        Dialect::Postgres | Dialect::Sqlite => to_micros(time),
    }
}

/// As SQLAlchemy's `DateTime` writes it on SQLite: `2024-02-29 23:59:59.000001`. Text comparison is time comparison, so
/// every digit counts (`sqlalchemy/dialects/sqlite/base.py`).
pub(super) fn to_text(time: PrimitiveDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.microsecond()
    )
}

/// Reads what [`to_text`] writes; the fraction may be missing or shorter, the time of day may be missing, and `T` may
/// stand in the middle. `None` for anything else.
pub(super) fn from_text(text: &str) -> Option<PrimitiveDateTime> {
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    if date.next().is_some() {
        return None;
    }
    let date = Date::from_calendar_date(
        i32::try_from(year).ok()?,
        Month::try_from(u8::try_from(month).ok()?).ok()?,
        u8::try_from(day).ok()?,
    )
    .ok()?;
    let time = match clock {
        None => Time::MIDNIGHT,
        Some(clock) => time_of_day(clock)?,
    };
    Some(PrimitiveDateTime::new(date, time))
}

fn time_of_day(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut clock = clock.split(':');
    let (hour, minute, second) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    if clock.next().is_some() {
        return None;
    }
    let micros = number(fraction, 6)? * 10u32.checked_pow(6 - u32::try_from(fraction.len()).ok()?)?;
    Time::from_hms_micro(u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, u8::try_from(second).ok()?, micros).ok()
}

/// One to `most` decimal digits.
fn number(text: &str, most: usize) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn writes_six_digits() {
        assert_eq!(to_text(datetime!(2024-02-29 03:04:05)), "2024-02-29 03:04:05.000000");
        assert_eq!(to_text(datetime!(0999-01-01 23:59:59.000001)), "0999-01-01 23:59:59.000001");
    }

    #[test]
    fn reads_what_others_write() {
        let expected = [
            ("2024-02-29 03:04:05.000006", Some(datetime!(2024-02-29 03:04:05.000006))),
            ("2024-02-29 03:04:05.5", Some(datetime!(2024-02-29 03:04:05.5))),
            ("2024-02-29T03:04:05", Some(datetime!(2024-02-29 03:04:05))),
            ("2024-02-29", Some(datetime!(2024-02-29 00:00:00))),
            ("2023-02-29 00:00:00", None),
            ("2024-02-29 24:00:00", None),
            ("2024-02-29 03:04:05.1234567", None),
            ("2024-02-29 03:04:05.", None),
            ("2024-02-29 03:04", None),
            ("2024-02-29 +3:04:05", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, time) in expected {
            assert_eq!(from_text(text), time, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0i64..253_402_300_799, micros in 0u32..1_000_000) {
            let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let time = PrimitiveDateTime::new(moment.date(), moment.time()).replace_microsecond(micros).unwrap();
            prop_assert_eq!(from_text(&to_text(time)), Some(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = from_text(&text);
        }

        #[test]
        fn text_order_is_time_order(a in 0i64..4_000_000_000_000_000, b in 0i64..4_000_000_000_000_000) {
            let at = |micros: i64| {
                let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap();
                PrimitiveDateTime::new(moment.date(), moment.time())
            };
            prop_assert_eq!(at(a).cmp(&at(b)), to_text(at(a)).cmp(&to_text(at(b))));
        }
    }
}
