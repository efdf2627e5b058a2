//! The time zone of this host, for log lines.
#![expect(unsafe_code, reason = "std has no time zones, and the time crate refuses to ask in a threaded program")]

use std::mem::MaybeUninit;

/// Seconds east of Greenwich at this moment (seconds since 1970) where this host is; 0 if the host does not know.
pub(crate) fn utc_offset(timestamp: i64) -> i32 {
    let timestamp: libc::time_t = timestamp;
    let mut broken_down = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call. localtime_r(3) reads the environment variable TZ without a lock that
    // Rust shares, but nothing in this program changes the environment once its threads run.
    let filled = unsafe { libc::localtime_r(&raw const timestamp, broken_down.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: zeroed above, which is a valid `tm`, and filled by the call.
    let broken_down = unsafe { broken_down.assume_init() };
    i32::try_from(broken_down.tm_gmtoff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_offset_is_within_a_day() {
        assert!(super::utc_offset(1_750_000_000).abs() < 86_400);
    }
}
