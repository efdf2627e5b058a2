//! The side channel on which regions of files travel past hyper.
//!
//! hyper moves bytes, not files. So a region is given to hyper as a stand-in of the same length, whose bytes all lie in one
//! private static, and the region itself goes into this queue. The socket's wrapper recognises the stand-in by its address
//! and calls sendfile(2) for the region at the head of the queue. hyper counts, orders and ends the response as ever.
//!
//! This is sound only where the bytes that hyper is given reach the wrapper unchanged: HTTP/1, `writev` forced (hyper then
//! never copies body bytes into a buffer of its own), no TLS. Only such connections have a lane, and nothing else can make
//! a stand-in. The static is filled with a pattern, so that a mistake shows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::store::FileRegion;

/// Most bytes that one call of sendfile is asked for: a fast client does not hold the thread.
const WINDOW: usize = 256 * 1024;

/// Lent to hyper in the place of file bytes. Never written to a socket.
static STAND_IN: [[u8; PATTERN.len()]; WINDOW / PATTERN.len()] = [*PATTERN; WINDOW / PATTERN.len()];

const PATTERN: &[u8; 64] = b"[this is not image data: a file region was copied by mistake...]";

/// The stand-in's bytes.
pub(in crate::service) const fn sentinel() -> &'static [u8] {
    STAND_IN.as_flattened()
}

/// Whether a buffer is a piece of the stand-in, told by where it lies.
pub(in crate::service) fn is_sentinel(buffer: &[u8]) -> bool {
    sentinel().as_ptr_range().contains(&buffer.as_ptr())
}

/// The regions that a connection has still to send, in the order of their stand-ins.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Lane(Arc<Mutex<VecDeque<FileRegion>>>);

/// What is to be sent next.
#[derive(Clone, Debug)]
pub(in crate::service) struct Window {
    pub(in crate::service) region: FileRegion,
    /// Bytes of it that the stand-in covers.
    pub(in crate::service) length: usize,
}

impl Lane {
    pub(in crate::service) fn push(&self, region: FileRegion) {
        self.lock().push_back(region);
    }

    /// The region for a stand-in of this length; `None` if the two do not agree, which must end the connection.
    pub(in crate::service) fn window(&self, stand_in: usize) -> Option<Window> {
        let queue = self.lock();
        let region = queue.front()?.clone();
        let left = usize::try_from(region.length).unwrap_or(usize::MAX);
        (stand_in > 0 && left.min(WINDOW) == stand_in).then_some(Window { region, length: stand_in })
    }

    /// This many bytes of the first region have been sent.
    pub(in crate::service) fn sent(&self, bytes: usize) {
        let mut queue = self.lock();
        if let Some(region) = queue.front_mut() {
            region.offset += bytes as u64;
            region.length = region.length.saturating_sub(bytes as u64);
            if region.length == 0 {
                queue.pop_front();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<FileRegion>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenFile;

    fn region(length: u64) -> FileRegion {
        FileRegion { file: OpenFile::shared(tempfile::tempfile().unwrap()), offset: 5, length }
    }

    #[test]
    fn the_sentinel_is_known_by_its_place() {
        assert!(is_sentinel(sentinel()) && is_sentinel(&sentinel()[WINDOW - 1..]));
        assert!(!is_sentinel(&Vec::from(sentinel())) && !is_sentinel(b"") && !is_sentinel(b"data"));
        assert_eq!(sentinel().len(), WINDOW);
    }

    #[test]
    fn regions_are_sent_in_order_and_must_agree_with_their_stand_ins() {
        let lane = Lane::default();
        assert!(lane.window(1).is_none(), "nothing queued");
        lane.push(region(WINDOW as u64 + 10));
        lane.push(region(3));
        assert!(lane.window(10).is_none() && lane.window(0).is_none());
        assert_eq!(lane.window(WINDOW).unwrap().region.offset, 5);
        lane.sent(WINDOW - 1);
        let window = lane.window(11).unwrap();
        assert_eq!((window.region.offset, window.region.length), (5 + WINDOW as u64 - 1, 11));
        lane.sent(11);
        assert_eq!(lane.window(3).unwrap().length, 3);
        lane.sent(3);
        assert!(lane.window(1).is_none());
    }
}
