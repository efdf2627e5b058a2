//! The same step in several stores at the same time.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use super::Needed;
use crate::store::StoreError;

/// How long stores that can be done without may take for a step once another store has done it, or while another waits for its turn.
///
/// Upstream writes to one store after the other, and an image is there once the first has its data.
#[derive(Clone, Copy)]
pub(super) struct Patience(Duration);

/// For the beginning of an object and for a piece of data: longer than an NFS server takes to be replaced by another.
pub(super) const WRITE: Patience = Patience(Duration::from_secs(if cfg!(test) { 1 } else { 120 }));

/// For making an object durable: much that was written may still have to go to slow disks.
pub(super) const COMMIT: Patience = Patience(Duration::from_secs(if cfg!(test) { 1 } else { 600 }));

impl Patience {
    /// `None`: no store can be done without.
    pub(super) fn of(self, needed: Needed) -> Option<Duration> {
        (needed == Needed::Any).then_some(self.0)
    }
}

/// What came of `steps`, in their order. With `patience` those that are not done so long after the first success are dropped; of these
/// nobody knows what is left in their stores.
pub(super) async fn in_stores<T, F>(
    steps: impl Iterator<Item = F>,
    patience: Option<Duration>,
) -> Vec<Result<T, StoreError>>
where
    F: Future<Output = Result<T, StoreError>>,
{
    in_turn(steps, patience, false).await
}

/// As [`in_stores`], for some of the stores. `has_others`: one that had its turn earlier has done the step, or one still waits for its
/// turn. Then these are not waited for without bound either when none of them succeeds: the patience runs from the beginning.
pub(super) async fn in_turn<T, F>(
    steps: impl Iterator<Item = F>,
    patience: Option<Duration>,
    has_others: bool,
) -> Vec<Result<T, StoreError>>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let Some(after) = patience else { return join_all(steps).await };
    let numbered = |(number, step): (usize, F)| async move { (number, step.await) };
    let mut open: FuturesUnordered<_> = steps.enumerate().map(numbered).collect();
    let mut outcomes: Vec<_> = (0..open.len()).map(|_| Err(stalled(after))).collect();
    let mut end = has_others.then(|| Instant::now() + after);
    loop {
        let next = open.next();
        let next = match end {
            None => next.await,
            Some(end) => timeout_at(end, next).await.unwrap_or_default(),
        };
        let Some((number, outcome)) = next else { return outcomes };
        if outcome.is_ok() && !outcomes.iter().any(Result::is_ok) {
            end = Some(Instant::now() + after);
        }
        if let Some(place) = outcomes.get_mut(number) {
            *place = outcome;
        }
    }
}

fn stalled(after: Duration) -> StoreError {
    StoreError::LeftBehind(Box::new(StoreError::Timeout { after }))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    /// A step that is done after so many times [`PATIENCE`]; `None`: never.
    async fn step(times: Option<u32>) -> Result<u32, StoreError> {
        match times {
            Some(times) => sleep(PATIENCE * times).await,
            None => pending().await,
        }
        times.ok_or_else(|| stalled(Duration::ZERO))
    }

    fn done(outcomes: &[Result<u32, StoreError>]) -> Vec<Option<u32>> {
        let is_stalled = |error: &StoreError| match error {
            StoreError::LeftBehind(cause) => matches!(**cause, StoreError::Timeout { .. }),
            _ => false,
        };
        assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(is_stalled), "{outcomes:?}");
        outcomes.iter().map(|outcome| outcome.as_ref().ok().copied()).collect()
    }

    #[tokio::test]
    async fn who_can_be_done_without_is_waited_for_only_so_long_after_another() {
        let steps = [Some(2), None, Some(2), Some(5)].into_iter().map(step);
        assert_eq!(done(&in_stores(steps, Some(PATIENCE)).await), [Some(2), None, Some(2), None]);
    }

    #[tokio::test]
    async fn who_has_a_turn_among_others_is_waited_for_only_so_long_from_its_beginning() {
        assert_eq!(done(&in_turn([Some(2), None].into_iter().map(step), Some(PATIENCE), true).await), [None, None]);
        // The others have as long again after the first success.
        let steps = [Some(2), Some(4), None].into_iter().map(step);
        assert_eq!(done(&in_turn(steps, Some(PATIENCE * 3), true).await), [Some(2), Some(4), None]);
    }

    #[tokio::test]
    async fn who_is_needed_is_waited_for_as_long_as_it_takes() {
        assert_eq!(WRITE.of(Needed::All), None);
        assert_eq!(done(&in_stores([Some(3), Some(0)].into_iter().map(step), None).await), [Some(3), Some(0)]);
    }
}
