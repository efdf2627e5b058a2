//! `rate_limit_interval`, `rate_limit_burst`, `rate_limit_except_level`: how many records are written within a time
//! (`oslo_log/rate_limit.py`).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tracing::callsite::{DefaultCallsite, Identifier};
use tracing::field::FieldSet;
use tracing::metadata::Kind;
use tracing::{Level, Metadata};

use super::record::Value;
use crate::config::DefaultSection;

/// Counts the records of all threads, none of which waits for another.
#[derive(Debug)]
pub(super) struct Limit {
    burst: i64,
    /// Seconds.
    interval: i64,
    /// Records of this level and above are neither limited nor counted. Nothing here is critical, Python's highest level.
    except: Option<Level>,
    began: Instant,
    /// Milliseconds after `began`.
    end: AtomicU64,
    counted: AtomicI64,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Write,
    Drop,
    /// Dropped, as the first of its interval.
    DropFirst,
}

static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);

/// Of the record that tells of the limit; upstream's comes from the logger of this name.
pub(super) static METADATA: Metadata<'static> = Metadata::new(
    "rate limit",
    "root",
    Level::ERROR,
    Some(file!()),
    Some(line!()),
    Some(module_path!()),
    FieldSet::new(&["message"], Identifier(&CALLSITE)),
    Kind::EVENT,
);

impl Limit {
    /// `None` where nothing is limited.
    pub(super) fn new(options: &DefaultSection) -> Option<Self> {
        let (burst, interval) = (options.rate_limit_burst, options.rate_limit_interval);
        let except = match options.rate_limit_except_level.as_str() {
            "ERROR" => Some(Level::ERROR),
            "WARNING" => Some(Level::WARN),
            "INFO" => Some(Level::INFO),
            "DEBUG" => Some(Level::TRACE),
            _ => None,
        };
        (burst >= 1 && interval >= 1).then(|| Self {
            burst,
            interval,
            except,
            began: Instant::now(),
            end: AtomicU64::new(milliseconds(Duration::from_secs(interval.unsigned_abs()))),
            counted: AtomicI64::new(0),
        })
    }

    pub(super) fn judge(&self, level: Level, now: Instant) -> Admission {
        if self.except.is_some_and(|except| level <= except) {
            return Admission::Write;
        }
        let now = milliseconds(now.saturating_duration_since(self.began));
        let end = self.end.load(Relaxed);
        if now >= end {
            let next = now.saturating_add(milliseconds(Duration::from_secs(self.interval.unsigned_abs())));
            // Of several threads one begins the next interval.
            if self.end.compare_exchange(end, next, Relaxed, Relaxed).is_ok() {
                self.counted.store(1, Relaxed);
                return Admission::Write;
            }
        }
        match self.counted.fetch_add(1, Relaxed).saturating_sub(self.burst) {
            ..0 => Admission::Write,
            0 => Admission::DropFirst,
            1.. => Admission::Drop,
        }
    }

    /// What the record with [`METADATA`] says.
    pub(super) fn words(&self) -> Value {
        Value::Text(format!("Logging rate limit: drop after {} records/{} sec", self.burst, self.interval))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(burst: i64, interval: i64, except: &str) -> Option<Limit> {
        Limit::new(&DefaultSection {
            rate_limit_burst: burst,
            rate_limit_interval: interval,
            rate_limit_except_level: except.to_owned(),
            ..DefaultSection::default()
        })
    }

    #[test]
    fn both_options_make_a_limit() {
        assert!(limit(0, 5, "").is_none() && limit(5, 0, "").is_none() && limit(-1, -1, "").is_none());
        assert!(Limit::new(&DefaultSection::default()).is_none());
        let words = limit(2, 5, "").unwrap().words();
        assert_eq!(words, Value::Text("Logging rate limit: drop after 2 records/5 sec".to_owned()));
    }

    /// As oslo.log's filter did at the same times.
    #[test]
    fn an_interval_has_so_many_records() {
        let limit = limit(2, 5, "CRITICAL").unwrap();
        let at = |milliseconds: u64| limit.judge(Level::ERROR, limit.began + Duration::from_millis(milliseconds));
        let verdicts = [0, 0, 0, 0, 4999].map(at);
        assert_eq!(
            verdicts,
            [Admission::Write, Admission::Write, Admission::DropFirst, Admission::Drop, Admission::Drop]
        );
        let verdicts = [5000, 5001, 5002, 9999, 10_000].map(at);
        assert_eq!(
            verdicts,
            [Admission::Write, Admission::Write, Admission::DropFirst, Admission::Drop, Admission::Write]
        );
    }

    #[test]
    fn levels_above_the_exception_are_not_counted() {
        let limit = limit(1, 5, "WARNING").unwrap();
        let of = |level| limit.judge(level, limit.began);
        let verdicts = [Level::WARN, Level::ERROR, Level::INFO, Level::INFO, Level::DEBUG, Level::ERROR].map(of);
        let expected = [
            Admission::Write,
            Admission::Write,
            Admission::Write,
            Admission::DropFirst,
            Admission::Drop,
            Admission::Write,
        ];
        assert_eq!(verdicts, expected);
    }
}
