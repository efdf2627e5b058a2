//! How a thread shares the processors with others (sched_setattr(2)).
#![expect(unsafe_code, reason = "neither std, nix nor rustix offers sched_setattr")]

use std::io;
use std::mem;
use std::sync::Once;
use std::time::Duration;

use rustix::process::{getpid, getpriority_process, setpriority_process};

/// How much nicer threads of the background are than the process (nice(2)): where both want a processor, a thread of a request gets nine
/// times as much of it, and goes first when it wakes up. More, or SCHED_IDLE, would let an import starve beside other programs, and with
/// it whoever needs a lock that one of its threads holds.
pub(crate) const NICER: i32 = 10;

/// How long a thread of the background may run at a time where others want its processor, the longest that Linux grants. A thread with a
/// shorter slice takes the processor as soon as it wakes up, and all others have shorter ones (some milliseconds). With a short slice it
/// is the other way round: the kernel serves whoever's slice ends first, and a thread that wakes up to go on with a request waits for the
/// next tick of the clock, up to four milliseconds.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// Lowers the priority of the calling thread, for good.
pub(crate) fn give_way() {
    static REFUSED: Once = Once::new();
    // A new thread has the priority of the one that made it, which may be one of the background. The process's first one stays as it was.
    let lowered = getpriority_process(Some(getpid()))
        .and_then(|of_process| setpriority_process(None, of_process.saturating_add(NICER).min(19)));
    let prolonged = set_slice(SLICE);
    // A sandbox may forbid it. The work is the same.
    if let Err(error) = lowered {
        REFUSED.call_once(|| tracing::debug!(%error, "threads of the background have the priority of the others"));
    } else if let Err(error) = prolonged {
        REFUSED
            .call_once(|| tracing::debug!(%error, "threads of the background hold a processor as long as the others"));
    }
}

/// Asks that the calling thread, and those that it makes, run for no longer than `slice` at a time where others want its processor. Its
/// share of the processors stays the same. Linux grants that from 6.12 on, between 0.1 and 100 ms; those before it take no notice.
///
/// # Errors
/// What the kernel says, or the sandbox.
fn set_slice(slice: Duration) -> io::Result<()> {
    let mut attributes = attributes()?;
    if !has_slice(&attributes) {
        // An operator has said otherwise, and of those the field means something else.
        return Ok(());
    }
    attributes.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    let (this_thread, flags) = (0, 0);
    // SAFETY: the attributes are a whole `sched_attr` that says its size, and the kernel does not keep the pointer.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attributes, flags) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the policy of a thread is one of those with slices of its choice.
fn has_slice(attributes: &libc::sched_attr) -> bool {
    [libc::SCHED_OTHER, libc::SCHED_BATCH].map(i32::cast_unsigned).contains(&attributes.sched_policy)
}

fn attributes() -> io::Result<libc::sched_attr> {
    // SAFETY: it consists of numbers, for which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    let size = size_of_val(&attributes);
    let (this_thread, flags) = (0, 0);
    // SAFETY: the kernel writes at most `size` bytes, which is the size of what is pointed to.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_getattr, this_thread, &raw mut attributes, size, flags) };
    if outcome == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

/// The slice of the calling thread; `None` where it can have none of its choice.
#[cfg(test)]
pub(crate) fn slice() -> Option<Duration> {
    let attributes = attributes().unwrap();
    let is_known = has_slice(&attributes) && attributes.sched_runtime > 0;
    is_known.then(|| Duration::from_nanos(attributes.sched_runtime))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_and_those_that_it_makes_get_the_slice_and_keep_the_rest() {
        let wanted = Duration::from_micros(150);
        let before = attributes().unwrap();
        let [made, by_it] = thread::spawn(move || {
            set_slice(wanted).unwrap();
            [attributes().unwrap(), thread::spawn(|| attributes().unwrap()).join().unwrap()]
        })
        .join()
        .unwrap();
        let is_supported = has_slice(&before) && before.sched_runtime > 0;
        for attributes in [made, by_it] {
            assert_eq!(attributes.sched_runtime, if is_supported { 150_000 } else { before.sched_runtime });
            assert_eq!(attributes.sched_policy, before.sched_policy);
            assert_eq!(attributes.sched_nice, before.sched_nice);
        }
        assert_eq!(attributes().unwrap().sched_runtime, before.sched_runtime, "of another thread");
    }
}
