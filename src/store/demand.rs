//! Whether requests come in, for threads of the background that then leave a processor to them.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Requests are counted for so long at a time, and count for as long again: whoever sends one a second always finds a processor.
const SLOT: Duration = Duration::from_secs(1);

/// So many requests in a slot may be about tasks without being counted. An image that is in use while it is copied is asked for more
/// often than that.
const WAITING: u8 = 100;

/// Where times count from.
static BORN: LazyLock<Instant> = LazyLock::new(Instant::now);

static COUNT: AtomicU64 = AtomicU64::new(0);

/// What a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// It begins a task, or asks how one goes on. Whoever waits for work of the background is no reason to slow it down.
    Task,
    Other,
}

/// Tells that there was a request.
pub(crate) fn request_was(about: About) {
    let now = slot();
    let one_more = |count| Some(Slots::from(count).at(now).and_one(about).into());
    // The function never declines.
    let _ = COUNT.fetch_update(Relaxed, Relaxed, one_more);
}

/// Whether requests come in at this time.
pub(super) fn is_there() -> bool {
    Slots::from(COUNT.load(Relaxed)).at(slot()).are_counted()
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

/// The requests of a slot and of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slots {
    number: u32,
    now: Count,
    before: Count,
}

/// The requests of a slot, of each kind up to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    others: u8,
    about_tasks: u8,
}

impl Count {
    fn and_one(mut self, about: About) -> Self {
        let count = match about {
            About::Task => &mut self.about_tasks,
            About::Other => &mut self.others,
        };
        *count = count.saturating_add(1);
        self
    }

    fn is_counted(self) -> bool {
        self.others > 0 || self.about_tasks > WAITING
    }
}

impl Slots {
    /// As seen from this slot.
    fn at(self, number: u32) -> Self {
        match number.saturating_sub(self.number) {
            // One that is earlier comes from a thread that looked at the clock before others did.
            0 => self,
            1 => Self { number, now: Count::default(), before: self.now },
            _ => Self { number, ..Self::default() },
        }
    }

    fn and_one(self, about: About) -> Self {
        Self { now: self.now.and_one(about), ..self }
    }

    fn are_counted(self) -> bool {
        self.now.is_counted() || self.before.is_counted()
    }
}

impl From<u64> for Slots {
    fn from(packed: u64) -> Self {
        let [n0, n1, n2, n3, others, about_tasks, others_before, about_tasks_before] = packed.to_le_bytes();
        Self {
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            now: Count { others, about_tasks },
            before: Count { others: others_before, about_tasks: about_tasks_before },
        }
    }
}

impl From<Slots> for u64 {
    fn from(slots: Slots) -> Self {
        let Slots { number, now, before } = slots;
        let [n0, n1, n2, n3] = number.to_le_bytes();
        Self::from_le_bytes([n0, n1, n2, n3, now.others, now.about_tasks, before.others, before.about_tasks])
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::{UsageWho, getrusage};

    use super::*;

    #[test]
    fn a_request_counts_for_a_slot_and_the_next() {
        let none = Slots::default().at(7);
        assert!(!none.are_counted());
        let one = none.and_one(About::Other);
        assert!(one.are_counted());
        assert_eq!(Slots::from(u64::from(one)), one);
        assert!(one.at(6).are_counted(), "told by a thread that looked at the clock earlier");
        assert!(one.at(8).are_counted());
        assert!(!one.at(9).are_counted() && !one.at(8).at(9).are_counted());
        let full = Count { others: u8::MAX, about_tasks: u8::MAX };
        let full = Slots { number: u32::MAX, now: full, before: Count { others: 3, about_tasks: 2 } };
        assert_eq!(full.and_one(About::Other).and_one(About::Task), full);
        assert_eq!(Slots::from(u64::from(full)), full);
    }

    #[test]
    fn a_request_about_a_task_counts_from_a_bound_on() {
        let asked = (0..WAITING).fold(Slots::default(), |slots, _| slots.and_one(About::Task));
        assert!(!asked.are_counted());
        assert!(asked.and_one(About::Task).are_counted());
        assert!(asked.and_one(About::Other).are_counted());
    }

    #[test]
    fn a_busy_thread_lets_go_of_its_processor_while_requests_come() {
        let rests = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().voluntary_context_switches();
        let before = rests();
        let begun = Instant::now();
        while rests() == before {
            request_was(About::Other);
            rest();
            assert!(begun.elapsed() < Duration::from_secs(10), "it never rests");
        }
        let (before, begun) = (rests(), Instant::now());
        (0..1000).for_each(|_| rest());
        let most = begun.elapsed().as_nanos() / STINT.as_nanos() + 1;
        assert!(u128::try_from(rests() - before).unwrap() <= most, "it rests more often than once in a while");
    }

    #[test]
    fn a_request_is_noticed_at_once() {
        let is_noticed = || {
            request_was(About::Other);
            is_there()
        };
        // A busy machine may stop this thread for longer than it counts.
        assert!((0..10).any(|_| is_noticed()));
    }
}
