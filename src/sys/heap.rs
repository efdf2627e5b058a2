//! The heap of glibc (mallopt(3), malloc_trim(3)).
#![expect(unsafe_code, reason = "no safe crate offers malloc_trim")]

/// Keeps what the buffers of a transfer have given back for the next ones, until [`trim`]. glibc by itself returns blocks of such
/// a size to the system at once and gets them anew, each page cleared: 60,000 page faults for a gigabyte of an upload, now a few hundred.
/// To be called before there are threads.
pub(crate) fn keep_buffers() {
    const LARGEST: libc::c_int = 4 * 1024 * 1024;
    // Of each thread's heap, which `trim` does not reach for any but the first.
    const FREE_AT_THE_END: libc::c_int = 8 * 1024 * 1024;
    // SAFETY: the calls set numbers of the allocator and touch no memory; where they fail, all stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_AT_THE_END);
    }
}

/// Gives memory that is free back to the system. glibc does so by itself only at the end of its heaps, so that after a burst
/// they stay as large as they were at its height. Takes a millisecond for some ten mebibytes, in which threads that
/// share a heap wait for each other.
pub(crate) fn trim() {
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

    /// Page faults of this thread without input or output.
    fn faults() -> i64 {
        let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap();
        usage.minor_page_faults()
    }

    #[test]
    fn buffers_are_used_again() {
        keep_buffers();
        let fill = || (0..4).map(|_| vec![1_u8; 400 << 10]).collect::<Vec<_>>();
        drop(fill());
        let before = faults();
        for _ in 0..50 {
            assert_eq!(std::hint::black_box(fill()).len(), 4);
        }
        // 20,000 pages are filled.
        assert!(faults() - before < 2000, "{}", faults() - before);
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
