//! Whether requests come in, for threads of the background that then leave a processor to them.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Requests are counted for so long at a time.
const SLOT: Duration = Duration::from_millis(250);

/// From so many requests to this worker in a slot on it is worth while: sixteen in a second. A client that asks now and then how its import goes on is
/// no reason to slow that down.
const FEW: u16 = 4;

/// Where times count from.
static BORN: LazyLock<Instant> = LazyLock::new(Instant::now);

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Tells that a request has come in.
pub(crate) fn request_came() {
    let now = slot();
    let one_more = |count| Some(Slots::from(count).at(now).and_one().into());
    // The function never declines.
    let _ = COUNT.fetch_update(Relaxed, Relaxed, one_more);
}

/// Whether requests come in at this time.
pub(super) fn is_there() -> bool {
    Slots::from(COUNT.load(Relaxed)).at(slot()).are_many()
}

/// How long after the last time a thread lets go of its processor for a moment.
const STINT: Duration = Duration::from_millis(1);

/// That moment: about as long as the kernel needs to look for work on other processors.
const REST: Duration = Duration::from_micros(50);

/// Called between two pieces of work by a thread of the background that keeps a processor busy: lets go of it now and then as long as
/// requests come in. A thread that wakes up goes where it ran before or to a processor that is idle; so behind one that is always
/// busy, with the least important work even, all others would wait for each other on the processors that are left.
#[expect(clippy::disallowed_methods, reason = "on a thread of the background, which may block")]
pub(super) fn rest() {
    thread_local! {
        static SINCE: Cell<Instant> = Cell::new(Instant::now());
    }
    if SINCE.get().elapsed() >= STINT && is_there() {
        thread::sleep(REST);
        SINCE.set(Instant::now());
    }
}

fn slot() -> u32 {
    u32::try_from(BORN.elapsed().as_millis() / SLOT.as_millis()).unwrap_or(u32::MAX)
}

/// How many requests came in a slot and in the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slots {
    number: u32,
    now: u16,
    before: u16,
}

impl Slots {
    /// As seen from this slot.
    fn at(self, number: u32) -> Self {
        match number.saturating_sub(self.number) {
            // One that is earlier comes from a thread that looked at the clock before others did.
            0 => self,
            1 => Self { number, now: 0, before: self.now },
            _ => Self { number, now: 0, before: 0 },
        }
    }

    fn and_one(self) -> Self {
        Self { now: self.now.saturating_add(1), ..self }
    }

    fn are_many(self) -> bool {
        self.now.max(self.before) >= FEW
    }
}

impl From<u64> for Slots {
    fn from(packed: u64) -> Self {
        let [n0, n1, n2, n3, now0, now1, before0, before1] = packed.to_le_bytes();
        Self {
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            now: u16::from_le_bytes([now0, now1]),
            before: u16::from_le_bytes([before0, before1]),
        }
    }
}

impl From<Slots> for u64 {
    fn from(slots: Slots) -> Self {
        let [n0, n1, n2, n3] = slots.number.to_le_bytes();
        let ([now0, now1], [before0, before1]) = (slots.now.to_le_bytes(), slots.before.to_le_bytes());
        Self::from_le_bytes([n0, n1, n2, n3, now0, now1, before0, before1])
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::{UsageWho, getrusage};

    use super::*;

    #[test]
    fn many_requests_count_for_a_slot_and_the_next() {
        let mut slots = Slots::default().at(7);
        for _ in 1..FEW {
            slots = slots.and_one();
            assert!(!slots.are_many());
        }
        slots = slots.and_one();
        assert!(slots.are_many());
        assert_eq!(Slots::from(u64::from(slots)), slots);
        assert!(slots.at(6).are_many(), "told by a thread that looked at the clock earlier");
        assert!(slots.at(8).are_many());
        assert!(!slots.at(9).are_many() && !slots.at(8).at(9).are_many());
        let full = Slots { number: u32::MAX, now: u16::MAX, before: 3 };
        assert_eq!(full.and_one(), full);
        assert_eq!(Slots::from(u64::from(full)), full);
    }

    #[test]
    fn a_busy_thread_lets_go_of_its_processor_while_requests_come() {
        let rests = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().voluntary_context_switches();
        let before = rests();
        let begun = Instant::now();
        while rests() == before {
            request_came();
            rest();
            assert!(begun.elapsed() < Duration::from_secs(10), "it never rests");
        }
        let (before, begun) = (rests(), Instant::now());
        (0..1000).for_each(|_| rest());
        let most = begun.elapsed().as_nanos() / STINT.as_nanos() + 1;
        assert!(u128::try_from(rests() - before).unwrap() <= most, "it rests more often than once in a while");
    }

    #[test]
    fn requests_are_noticed() {
        let is_noticed = || {
            (0..2 * FEW).for_each(|_| request_came());
            is_there()
        };
        // A busy machine may stop this thread for longer than they count.
        assert!((0..10).any(|_| is_noticed()));
    }
}
