//! Write-back of a part of a file (sync_file_range(2)).
#![expect(unsafe_code, reason = "neither std nor nix offers sync_file_range")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Starts writing the dirty pages of a part of a file to its disk and returns.
///
/// # Errors
/// What the kernel says, mostly that the file system has no such call. An error of writing is told by fsync(2) all the same.
pub(crate) fn start_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    sync_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE)
}

/// Waits until a part of a file whose write-back has started is on its disk. This is no fsync: neither the file's size nor
/// the disk's own cache is flushed.
///
/// # Errors
/// What the kernel says, write errors of those pages included: those it tells once, so that fsync(2) does not any more.
pub(crate) fn wait_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    sync_range(
        file,
        offset,
        length,
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER,
    )
}

fn sync_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    // To the kernel this is all up to the end of the file.
    if length == 0 {
        return Ok(());
    }
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
    fn an_offset_beyond_the_kernels_range_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let error = start_write_back(&file, u64::MAX, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn nothing_is_not_all() {
        // The kernel would refuse to look at the pages of a device.
        let device = File::open("/dev/null").unwrap();
        wait_write_back(&device, 0, 1).unwrap_err();
        wait_write_back(&device, 0, 0).unwrap();
    }

    #[test]
    fn write_back_of_a_part_succeeds_on_a_regular_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 9000]).unwrap();
        start_write_back(&file, 0, 4096).unwrap();
        wait_write_back(&file, 0, 9000).unwrap();
    }
}
