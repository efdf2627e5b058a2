//! Which pages of a file are in memory (cachestat(2), mincore(2)).
#![expect(unsafe_code, reason = "neither std nor nix offers cachestat and mincore")]

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use nix::unistd::{SysconfVar, geteuid, sysconf};

use super::nowait::{self, Cached};

/// How many bytes from `offset` on, of `length`, are in the page cache without a gap. Never waits for a disk, but for
/// the file's size and owner. `None`: the kernel does not tell, as the file is another user's (see mincore(2)), the file
/// system has no page cache, or a filter of system calls does not let it be asked.
///
/// # Errors
/// An offset beyond the kernel's range. What the calls here say is the same as not being told: whoever then reads meets what is wrong.
pub(crate) fn resident(file: &File, offset: u64, length: usize) -> io::Result<Option<usize>> {
    if length == 0 {
        return Ok(None);
    }
    let Some(metadata) = file.metadata().ok().filter(|metadata| metadata.uid() == geteuid().as_raw()) else {
        return Ok(None);
    };
    let blocks = Blocks::of(&metadata);
    let page =
        sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok()).unwrap_or(4096);
    if blocks.were_whole(offset, length as u64) && is_whole(file, offset, length, page) {
        return Ok(Some(length));
    }
    // Less than a page.
    let before = (offset % page as u64) as usize;
    let start = libc::off_t::try_from(offset - before as u64).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mapped = before.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a new mapping at an address of the kernel's choice; nothing reads or writes through it, so that a file which
    // becomes shorter is no danger.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), mapped, libc::PROT_NONE, libc::MAP_SHARED, file.as_raw_fd(), start) };
    if address == libc::MAP_FAILED {
        return Ok(None);
    }
    let mut pages = vec![0_u8; mapped.div_ceil(page)];
    // SAFETY: the mapping has this address and length, and there is a byte in `pages` for each page of it.
    let looked = unsafe { libc::mincore(address, mapped, pages.as_mut_ptr()) };
    // SAFETY: the mapping was made above with this address and length, and nothing refers to it.
    unsafe { libc::munmap(address, mapped) };
    if looked != 0 {
        return Ok(None);
    }
    let present = pages.iter().take_while(|flags| **flags & 1 == 1).count();
    let found = (present * page).saturating_sub(before).min(length);
    blocks.note_whole(offset, found as u64);
    Ok(Some(found))
}

/// The parts of a file whose pages were all found in memory lately. Of all files, as many are kept as there are cells; a newer one
/// displaces an older one.
struct Blocks {
    device: u64,
    inode: u64,
    size: u64,
}

/// For each part a hash of what it is, and when it was found whole, in seconds since the first was; 0: none.
static WHOLE: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Blocks {
    /// Bytes of a part.
    const LENGTH: u64 = 8 * 1024 * 1024;
    /// Seconds for which a count of the pages does instead of a look at each.
    const RECENT: u64 = 60;
    /// The bits of the time in what is kept of a part; the others are the hash.
    const TIME: u64 = u32::MAX as u64;

    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.len() }
    }

    /// Whether all parts that these bytes touch have been found whole.
    fn were_whole(&self, offset: u64, length: u64) -> bool {
        let last = offset.saturating_add(length - 1) / Self::LENGTH;
        (offset / Self::LENGTH..=last).all(|number| {
            let (cell, hash) = self.cell(number);
            let kept = cell.load(Relaxed);
            kept & !Self::TIME == hash && (kept & Self::TIME) + Self::RECENT > now()
        })
    }

    /// Of the bytes that were found in memory. The last part ends with the file.
    fn note_whole(&self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        let covered = |number: &u64| (number + 1).saturating_mul(Self::LENGTH).min(self.size) <= end;
        for number in (offset.div_ceil(Self::LENGTH)..end.div_ceil(Self::LENGTH)).take_while(covered) {
            let (cell, hash) = self.cell(number);
            cell.store(hash | now(), Relaxed);
        }
    }

    fn cell(&self, number: u64) -> (&'static AtomicU64, u64) {
        let mut hasher = DefaultHasher::new();
        (self.device, self.inode, number).hash(&mut hasher);
        let hash = hasher.finish();
        (&WHOLE[hash as usize % WHOLE.len()], hash & !Self::TIME)
    }
}

/// Seconds, from 1 on.
fn now() -> u64 {
    BEGAN.elapsed().as_secs() + 1
}

/// The least that a disk reads ahead at once, by default (`read_ahead_kb`).
const READ_AHEAD: usize = 128 * 1024;

/// Whether all pages of what was whole lately are still there, as far as can be told quickly: a tenth of mincore's time and less, as
/// the kernel counts folios and not pages. Linux has it since 6.5; `false` where it has not, or a filter does not let it be asked.
fn is_whole(file: &File, offset: u64, length: usize, page: usize) -> bool {
    let last = offset.saturating_add(length as u64 - 1);
    let pages = last / page as u64 - offset / page as u64 + 1;
    if count(file, offset, length as u64) != Some(pages) {
        return false;
    }
    // The count includes pages that are still being read. Mostly such come together, at least so many bytes of them; where a single
    // one was evicted and is being read again, whoever asks waits for that read.
    let mut byte = Vec::with_capacity(1);
    (0..length).step_by(READ_AHEAD).chain([length - 1]).all(|at| {
        byte.clear();
        matches!(nowait::read_cached(file, &mut byte, offset + at as u64), Ok(Cached::Read(_)))
    })
}

/// How many pages of a part of a file the page cache has (`nr_cache` of cachestat(2)).
fn count(file: &File, offset: u64, length: u64) -> Option<u64> {
    // The same number on all architectures but alpha.
    const CACHESTAT: libc::c_long = 451;
    // `struct cachestat_range` and `struct cachestat` of linux/mman.h.
    let range = [offset, length];
    let mut counts = [0_u64; 5];
    // SAFETY: the kernel reads the range and writes the counts, which have the sizes of its structures, before it returns.
    let asked = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), counts.as_mut_ptr(), 0) };
    (asked == 0).then_some(counts[0])
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

    use super::*;

    #[test]
    fn what_was_just_written_is_in_memory() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        for (offset, length) in [(0, 100_000), (1, 99_999), (4096, 1), (99_999, 1), (5000, 8192)] {
            assert_eq!(resident(&file, offset, length).unwrap(), Some(length), "{length} from {offset}");
        }
        assert_eq!(resident(&file, 0, 0).unwrap(), None);
        // The last page ends behind the file.
        assert!(resident(&file, 0, 1_000_000).unwrap().unwrap() < 110_000);
        assert!(resident(&file, u64::MAX, 1).is_err());
        // More than there are addresses.
        assert_eq!(resident(&file, 4096, 1 << 62).unwrap(), None);
    }

    #[test]
    fn a_count_of_pages_agrees_with_a_look_at_each() {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&[7; 1 << 20]).unwrap();
        // 5 pages are touched.
        assert!([None, Some(5)].contains(&count(&file, 4095, 3 * 4096 + 2)));
        let asked = count(&file, 0, 1).is_some();
        assert_eq!(is_whole(&file, 0, 1 << 20, 4096), asked);
        assert_eq!(is_whole(&file, 4095, 3 * 4096 + 2, 4096), asked);
        assert!(!is_whole(&file, 0, 2 << 20, 4096), "behind the end");
        file.sync_all().unwrap();
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        assert!(!is_whole(&file, 0, 1 << 20, 4096));
        assert!(!is_whole(&file, u64::MAX, 2, 4096));
    }

    #[test]
    fn parts_are_known_that_were_looked_at_wholly() {
        let blocks = Blocks { device: u64::MAX, inode: 1, size: 5 * Blocks::LENGTH / 2 };
        let (one, end) = (Blocks::LENGTH, blocks.size);
        assert!(!blocks.were_whole(0, 1));
        // The last byte of the first part was not looked at, nor the first of the second.
        blocks.note_whole(0, one - 1);
        blocks.note_whole(one + 1, one);
        assert!(!blocks.were_whole(0, 1) && !blocks.were_whole(one, 1));
        blocks.note_whole(one, end - one);
        assert!(!blocks.were_whole(one - 1, 2) && blocks.were_whole(one, end - one));
        blocks.note_whole(0, one);
        assert!(blocks.were_whole(0, end));
        assert!(!Blocks { inode: 2, ..blocks }.were_whole(0, 1));
    }

    #[test]
    fn the_kernel_says_the_same_in_another_way() {
        // Beside the sources: a temporary file system may keep its files in memory.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&[7; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        // Brings a part of it back.
        nowait::read_waiting(&file, &mut Vec::with_capacity(1), 700_000).unwrap();
        // All pages before any is read: a read that finds nothing makes the kernel read ahead.
        let found: Vec<(u64, bool)> = (100..1 << 20)
            .step_by(4096)
            .map(|offset| (offset, resident(&file, offset, 1).unwrap() == Some(1)))
            .collect();
        assert!(found.iter().any(|(_, is_there)| *is_there) && found.iter().any(|(_, is_there)| !is_there));
        for (offset, _) in found.iter().filter(|(_, is_there)| *is_there) {
            let read = nowait::read_cached(&file, &mut Vec::with_capacity(1), *offset).unwrap();
            assert!(matches!(read, Cached::Read(_)), "{offset}");
        }
    }
}
