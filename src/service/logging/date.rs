//! Times as strftime(3) patterns put them (`log_date_format`).

use std::fmt::Write as _;

use time::OffsetDateTime;

/// Formats a time. Conversions that it does not know are left as they are.
pub(super) fn strftime(pattern: &str, time: OffsetDateTime) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let Some(conversion) = characters.next() else {
            out.push('%');
            break;
        };
        put(&mut out, conversion, time);
    }
    out
}

fn put(out: &mut String, conversion: char, time: OffsetDateTime) {
    let month = time.month().to_string();
    let weekday = time.weekday().to_string();
    let short = |name: &str| name.get(..3).unwrap_or(name).to_owned();
    let (offset_hours, offset_minutes, _) = time.offset().as_hms();
    let sign = if time.offset().is_negative() { '-' } else { '+' };
    let hour12 = (time.hour() + 11) % 12 + 1;
    // Writing to a string does not fail.
    let _ = match conversion {
        'Y' => write!(out, "{:04}", time.year()),
        'y' => write!(out, "{:02}", time.year().rem_euclid(100)),
        'm' => write!(out, "{:02}", u8::from(time.month())),
        'd' => write!(out, "{:02}", time.day()),
        'e' => write!(out, "{:2}", time.day()),
        'H' => write!(out, "{:02}", time.hour()),
        'I' => write!(out, "{hour12:02}"),
        'p' => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
        'M' => write!(out, "{:02}", time.minute()),
        'S' => write!(out, "{:02}", time.second()),
        'f' => write!(out, "{:06}", time.microsecond()),
        'j' => write!(out, "{:03}", time.ordinal()),
        'b' | 'h' => write!(out, "{}", short(&month)),
        'B' => write!(out, "{month}"),
        'a' => write!(out, "{}", short(&weekday)),
        'A' => write!(out, "{weekday}"),
        's' => write!(out, "{}", time.unix_timestamp()),
        'F' => write!(out, "{}", strftime("%Y-%m-%d", time)),
        'T' => write!(out, "{}", strftime("%H:%M:%S", time)),
        'z' => write!(out, "{sign}{:02}{:02}", offset_hours.unsigned_abs(), offset_minutes.unsigned_abs()),
        'Z' if time.offset().is_utc() => write!(out, "UTC"),
        'Z' => write!(out, "{sign}{:02}", offset_hours.unsigned_abs()),
        '%' => write!(out, "%"),
        other => write!(out, "%{other}"),
    };
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn patterns_are_those_of_strftime() {
        let time = datetime!(2026-03-07 14:05:09.012345 -3:30);
        for (pattern, expected) in [
            ("%Y-%m-%d %H:%M:%S", "2026-03-07 14:05:09"),
            ("%a %b %e %I:%M %p %y", "Sat Mar  7 02:05 PM 26"),
            ("%FT%T.%f%z", "2026-03-07T14:05:09.012345-0330"),
            ("%j 100%% %Q %", "066 100% %Q %"),
            ("%A %B", "Saturday March"),
        ] {
            assert_eq!(strftime(pattern, time), expected);
        }
    }
}
