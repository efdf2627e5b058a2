//! How long a job waits before its next run.

use std::time::Duration;

/// The pause after the first failure of a job whose period is not shorter.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(10);

/// The pause between attempts grows to this, or to the job's period where that is longer.
pub(in crate::service) const LONGEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// More than this means for ever; `Instant` must be able to add it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Workers that were started together do not stay in step: a pause is longer or shorter by up to this part of it.
const JITTER: f64 = 0.1;

/// The pause before the next run; `None`: until it is triggered. `failures`: how many of the last runs failed in a row. `most`: a pause
/// after a failure is no longer than this, or than the period where that is longer.
pub(super) fn pause(period: Option<Duration>, failures: u32, most: Duration) -> Option<Duration> {
    let period = period.map(|period| period.min(LONGEST));
    if failures == 0 {
        return period;
    }
    let first = period.unwrap_or(FIRST_RETRY).min(FIRST_RETRY);
    let longest = period.unwrap_or_default().max(most);
    Some(first.saturating_mul(2_u32.saturating_pow(failures - 1)).min(longest))
}

/// `pause`, made longer or shorter by chance. `chance`: from 0 to 1.
pub(super) fn spread(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_failures_the_period_counts() {
        assert_eq!(pause(Some(60 * SECOND), 0, LONGEST_RETRY), Some(60 * SECOND));
        assert_eq!(pause(None, 0, LONGEST_RETRY), None);
    }

    #[test]
    fn pauses_grow_with_each_failure_up_to_a_limit() {
        let pauses = |period| {
            (1..10).map(|failures| pause(period, failures, LONGEST_RETRY).unwrap().as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(Some(60 * SECOND)), [10, 20, 40, 80, 160, 300, 300, 300, 300]);
        assert_eq!(pauses(None), [10, 20, 40, 80, 160, 300, 300, 300, 300]);
        assert_eq!(pauses(Some(SECOND)), [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        // A job with a lease to keep tries again soon, however long the database was away.
        assert_eq!(pause(Some(15 * SECOND), 9, 15 * SECOND), Some(15 * SECOND));
        assert_eq!(pause(Some(3600 * SECOND), 9, LONGEST_RETRY), Some(2560 * SECOND));
        assert_eq!(pause(Some(3600 * SECOND), u32::MAX, LONGEST_RETRY), Some(3600 * SECOND));
        for failures in [0, 33] {
            let longest = pause(Some(Duration::MAX), failures, LONGEST_RETRY).unwrap();
            assert!(std::time::Instant::now().checked_add(spread(longest, 1.0)).is_some());
        }
    }

    #[test]
    fn chance_moves_a_pause_by_a_tenth_at_most() {
        assert_eq!(spread(100 * SECOND, 0.0), 90 * SECOND);
        assert_eq!(spread(100 * SECOND, 0.5), 100 * SECOND);
        assert_eq!(spread(100 * SECOND, 1.0), 110 * SECOND);
        assert_eq!(spread(Duration::ZERO, 1.0), Duration::ZERO);
        let some: std::collections::BTreeSet<_> = (0..8).map(|_| spread(100 * SECOND, fastrand::f64())).collect();
        assert!(some.len() > 1, "{some:?}");
        assert!(some.iter().all(|pause| (90 * SECOND..=110 * SECOND).contains(pause)), "{some:?}");
    }
}
