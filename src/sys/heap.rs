//! The heap of glibc (mallopt(3), malloc_trim(3)).
#![expect(unsafe_code, reason = "no safe crate offers malloc_trim")]

/// Gives memory that is free back to the system. glibc does so by itself only at the end of its heaps, so that after a burst
/// they stay as large as they were at its height. Takes a millisecond for some ten mebibytes, in which threads that
/// share a heap wait for each other.
pub fn trim() {
    // SAFETY: the call may be made at any time from any thread; memory that is in use is not touched.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Bytes of the process in memory.
    fn resident() -> usize {
        let numbers = fs::read_to_string("/proc/self/statm").unwrap();
        numbers.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[test]
    fn what_lies_between_living_blocks_is_given_back() {
        let mut blocks: Vec<_> = (0..64 << 10).map(|_| Some(Box::new([1_u8; 1024]))).collect();
        for (number, block) in blocks.iter_mut().enumerate() {
            if number % 64 != 0 {
                *block = None;
            }
        }
        let before = resident();
        trim();
        let after = resident();
        assert!(after + (32 << 20) < before, "{before} bytes before, {after} after");
    }
}
