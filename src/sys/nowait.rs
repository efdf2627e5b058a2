//! Reads that never wait for a disk (preadv2(2) with `RWF_NOWAIT`).
#![expect(unsafe_code, reason = "neither std nor nix offers preadv2 with flags")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// What a read found without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cached {
    /// This many bytes were in the page cache and have been read.
    Read(usize),
    /// Behind the end of the file.
    End,
    /// Not in the page cache, or the kernel does not tell.
    Unknown,
}

/// Appends to `buffer`, within its spare capacity, the bytes at `offset` that the page cache holds.
///
/// # Errors
/// An offset beyond the kernel's range. Whatever preadv2(2) says is [`Cached::Unknown`]: a read that waits meets what is wrong.
pub(crate) fn read_cached(file: &File, buffer: &mut Vec<u8>, offset: u64) -> io::Result<Cached> {
    let spare = buffer.spare_capacity_mut();
    let mut vector = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: spare.len() };
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the vector describes the spare capacity of `buffer`, which stays borrowed, and the kernel writes at most
    // `iov_len` bytes into it; the descriptor is open for as long as `file` lives.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw mut vector, 1, offset, libc::RWF_NOWAIT) };
    match usize::try_from(read) {
        Ok(0) => Ok(Cached::End),
        Ok(count) => {
            // SAFETY: the kernel has initialised `count` bytes behind the old length, within the capacity.
            unsafe { buffer.set_len(buffer.len() + count) };
            Ok(Cached::Read(count))
        }
        Err(_) => Ok(Cached::Unknown),
    }
}

/// Appends to `buffer`, within its spare capacity, the bytes at `offset`, waiting for the disk where needed; returns how
/// many, 0 at the end of the file. For a thread that may block.
///
/// # Errors
/// Those of pread(2).
pub(crate) fn read_waiting(file: &File, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: the kernel writes at most `spare.len()` bytes into the spare capacity of `buffer`, which stays borrowed.
        let read = unsafe { libc::pread(file.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len(), offset) };
        match usize::try_from(read) {
            Ok(count) => {
                // SAFETY: the kernel has initialised `count` bytes behind the old length, within the capacity.
                unsafe { buffer.set_len(buffer.len() + count) };
                return Ok(count);
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn both_ways_read_the_same_bytes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        for (offset, expected) in [(0, &b"01234567"[..]), (4, b"456789"), (10, b""), (99, b"")] {
            let mut buffer = Vec::with_capacity(8);
            assert_eq!(read_waiting(&file, &mut buffer, offset).unwrap(), expected.len());
            assert_eq!(buffer, expected);
            let mut buffer = Vec::with_capacity(8);
            match read_cached(&file, &mut buffer, offset).unwrap() {
                Cached::Read(count) => assert_eq!((count, &buffer[..]), (expected.len(), expected)),
                Cached::End => assert!(expected.is_empty()),
                Cached::Unknown => assert!(buffer.is_empty(), "nothing may be claimed that was not read"),
            }
        }
    }

    #[test]
    fn only_a_read_that_waits_tells_what_is_wrong() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let file = File::options().write(true).open(named.path()).unwrap();
        let mut buffer = Vec::with_capacity(1);
        assert_eq!(read_cached(&file, &mut buffer, 0).unwrap(), Cached::Unknown);
        assert_eq!(read_waiting(&file, &mut buffer, 0).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn an_offset_beyond_the_kernels_range_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let mut buffer = Vec::with_capacity(1);
        assert_eq!(read_cached(&file, &mut buffer, u64::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_waiting(&file, &mut buffer, u64::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
