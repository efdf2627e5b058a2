//! File calls that neither std nor nix offers: reads that never wait, and write-back of a part of a file.
#![expect(
    unsafe_code,
    reason = "preadv2(2) and sync_file_range(2) have no safe wrapper; both are wrapped here with checked arguments"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use bytes::{BufMut, BytesMut};

/// Reads at most `max` bytes at `offset` into the free space of `buffer`, but only what the page cache holds.
///
/// Returns the bytes appended; 0 at the end of the file or when `max` is 0. See preadv2(2), `RWF_NOWAIT`.
///
/// # Errors
/// `WouldBlock` when the disk would have to be asked; `Unsupported` where the file system cannot tell.
pub fn read_cached(file: &File, offset: u64, max: usize, buffer: &mut BytesMut) -> io::Result<usize> {
    if max == 0 {
        return Ok(0);
    }
    buffer.reserve(max);
    let target = buffer.chunk_mut();
    let part = libc::iovec { iov_base: target.as_mut_ptr().cast(), iov_len: max.min(target.len()) };
    // SAFETY: the one iovec describes memory that `buffer` owns exclusively for the length given; the kernel only writes
    // to it. The file descriptor is open for as long as `file` is borrowed.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, signed(offset)?, libc::RWF_NOWAIT) };
    match usize::try_from(read) {
        Ok(read) => {
            // SAFETY: the kernel has initialised the first `read` bytes of the free space, and `read` is at most `iov_len`.
            unsafe { buffer.advance_mut(read) };
            Ok(read)
        }
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, error))
            }
            error => Err(error),
        },
    }
}

/// Starts writing the dirty pages of a part of a file to its disk and returns. See sync_file_range(2).
///
/// # Errors
/// What the kernel says; `ENOSYS` and `EINVAL` mean that the file system has no such call.
pub fn start_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    sync_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE)
}

/// Waits until a part of a file whose write-back has started is on its disk. This is no fsync: neither the file's size nor
/// the disk's own cache is flushed.
///
/// # Errors
/// What the kernel says, write errors of those pages included.
pub fn wait_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    sync_range(
        file,
        offset,
        length,
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER,
    )
}

fn sync_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the call takes no pointers, and the file descriptor is open for as long as `file` is borrowed.
    let outcome = unsafe { libc::sync_file_range(file.as_raw_fd(), signed(offset)?, signed(length)?, flags) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn signed(value: u64) -> io::Result<i64> {
    i64::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn cached_reads_stop_at_the_end_and_at_the_limit() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        for (offset, max, expected) in [(0, 4, "0123"), (4, 100, "456789"), (10, 5, ""), (3, 0, "")] {
            let mut buffer = BytesMut::from("x");
            match read_cached(&file, offset, max, &mut buffer) {
                Ok(read) => {
                    assert_eq!(read, expected.len());
                    assert_eq!(&buffer[1..], expected.as_bytes());
                }
                // The temporary directory may be on a file system without the flag.
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::Unsupported),
            }
        }
    }

    #[test]
    fn an_offset_beyond_the_kernels_range_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let error = read_cached(&file, u64::MAX, 1, &mut BytesMut::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn write_back_of_a_part_succeeds_on_a_regular_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 9000]).unwrap();
        start_write_back(&file, 0, 4096).unwrap();
        wait_write_back(&file, 0, 9000).unwrap();
    }
}
