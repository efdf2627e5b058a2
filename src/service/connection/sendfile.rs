//! Sends regions of files from the page cache to the socket, without a copy in this process (sendfile(2)).

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tokio::io::AsyncWrite as _;
use tokio::task::JoinHandle;

use super::wire::Io;
use crate::service::body::{Lane, Window};
use crate::sys::nowait::{self, Cached};
use crate::sys::resident::resident;

/// Bytes that are looked for in the page cache at once, or somewhat more, and that the kernel is asked to read ahead where they are not there.
const AHEAD: usize = 8 * 1024 * 1024;

/// Bytes that are waited for at once when they are not in the page cache.
const STEP: u64 = 1024 * 1024;

/// How long what was found in the page cache is taken to be there still.
const FRESH: Duration = Duration::from_secs(1);

/// Bytes after which others on the same thread have their turn.
const QUANTUM: usize = 4 * 1024 * 1024;

/// Bytes copied at once where sendfile does not work.
const COPY: usize = 256 * 1024;

/// The distance of the bytes that stand for their pages.
const PAGE: usize = 4096;

/// Sends so many bytes of a file from an offset on; tells how many have left.
pub(super) type SendFile = fn(&Io, &File, u64, usize) -> io::Result<usize>;

/// The sending half of a connection's [`Lane`].
#[derive(Debug)]
pub(super) struct FileSender {
    send: SendFile,
    /// Brings a part of the file into the page cache.
    warming: Option<JoinHandle<io::Result<Warmed>>>,
    /// The first region's bytes before this offset were in the page cache at that time.
    warm: Option<(u64, Instant)>,
    /// Bytes since others had their turn.
    sent_in_quantum: usize,
    /// The file is not sent by sendfile: the call refuses it, or there is no page cache to send from.
    copies: bool,
    /// Reads what is to be copied.
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// Copied bytes of the first region that come next.
    copied: Bytes,
}

/// What a thread that may wait has done about a part of a file.
#[derive(Debug)]
struct Warmed {
    /// Where it ends.
    until: u64,
    /// Whether it has stayed in the page cache.
    kept: bool,
}

impl FileSender {
    pub(super) fn new(send: SendFile) -> Self {
        Self { send, warming: None, warm: None, sent_in_quantum: 0, copies: false, reading: None, copied: Bytes::new() }
    }

    /// Sends a part of the first region, whose stand-in has this length; returns how many bytes.
    ///
    /// # Errors
    /// Those of the socket and the file. `UnexpectedEof`: the file has become shorter. The connection cannot go on then,
    /// as its head has announced the bytes.
    pub(super) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        io: &mut Io,
        lane: &Lane,
        stand_in: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(window) = lane.window(stand_in) else {
            return Poll::Ready(Err(io::Error::other("a file region and its stand-in do not agree")));
        };
        loop {
            if self.sent_in_quantum >= QUANTUM {
                self.sent_in_quantum = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let sent = if self.copies {
                ready!(self.poll_copy(context, io, &window))
            } else {
                ready!(self.poll_warm(context, &window))?;
                if self.copies {
                    continue;
                }
                ready!(io.poll_write_ready(context))?;
                (self.send)(io, &window.region.file, window.region.offset, window.length)
            };
            match sent {
                Ok(0) => return Poll::Ready(Err(shorter())),
                Ok(count) => {
                    self.sent_in_quantum += count;
                    lane.sent(count);
                    if count as u64 == window.region.length {
                        self.warm = None;
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.sent_in_quantum = 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whatever else it says: an error of the disk or of the socket is met by a copy as well.
                Err(error) if !self.copies && !is_of_the_client(&error) => {
                    tracing::debug!(%error, "sendfile refuses a file, image data is copied");
                    self.copies = true;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Makes sure that sendfile finds the window's bytes in the page cache: a single page that is missing would stop this
    /// thread, with all its other connections, for as long as the disk takes.
    fn poll_warm(&mut self, context: &mut Context<'_>, window: &Window) -> Poll<io::Result<()>> {
        let (file, offset) = (&window.region.file, window.region.offset);
        let end = offset + window.length as u64;
        if self.warming.is_none() {
            if self.warm.is_some_and(|(until, since)| until >= end && since.elapsed() < FRESH) {
                return Poll::Ready(Ok(()));
            }
            // To the end of a part that other connections look for too.
            let ahead = AHEAD - (offset % AHEAD as u64) as usize;
            let ahead = if ahead < window.length { ahead + AHEAD } else { ahead };
            let left = usize::try_from(window.region.length).unwrap_or(usize::MAX).min(ahead);
            let found = cached(file, offset, left, window.length)?;
            if found >= window.length {
                self.warm = Some((offset + found as u64, Instant::now()));
                return Poll::Ready(Ok(()));
            }
            let file = Arc::clone(file);
            self.warming = Some(tokio::task::spawn_blocking(move || warm(&file, offset, left)));
        }
        if let Some(warming) = &mut self.warming {
            let warmed = ready!(Pin::new(warming).poll(context));
            self.warming = None;
            let Warmed { until, kept } = warmed.map_err(io::Error::other)??;
            self.warm = Some((until, Instant::now()));
            self.copies = !kept;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a part of the window that a thread which may wait has read.
    fn poll_copy(&mut self, context: &mut Context<'_>, io: &mut Io, window: &Window) -> Poll<io::Result<usize>> {
        while self.copied.is_empty() {
            let Some(reading) = &mut self.reading else {
                let (file, offset) = (Arc::clone(&window.region.file), window.region.offset);
                let mut buffer = Vec::new();
                // Exactly: the spare capacity is what is read.
                buffer.reserve_exact(window.length.min(COPY));
                self.reading = Some(tokio::task::spawn_blocking(move || {
                    nowait::read_waiting(&file, &mut buffer, offset)?;
                    Ok(buffer)
                }));
                continue;
            };
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            let mut read = read.map_err(io::Error::other)??;
            // The allocator may have given more room than was asked for.
            read.truncate(window.length);
            if read.is_empty() {
                return Poll::Ready(Ok(0));
            }
            self.copied = Bytes::from(read);
        }
        let sent = ready!(Pin::new(io).poll_write(context, &self.copied))?;
        self.copied.advance(sent);
        Poll::Ready(Ok(sent))
    }
}

/// How many bytes from `offset` on, of `length`, sendfile would find in the page cache. Where the kernel does not tell, no
/// more than the first `needed` are looked for.
fn cached(file: &File, offset: u64, length: usize, needed: usize) -> io::Result<usize> {
    if let Some(found) = resident(file, offset, length)? {
        return Ok(found);
    }
    let mut byte = Vec::with_capacity(1);
    // Wherever in its page the first byte lies: one in each page, and the last.
    for at in (0..needed).step_by(PAGE).chain(needed.checked_sub(1)) {
        byte.clear();
        match nowait::read_cached(file, &mut byte, offset + at as u64)? {
            Cached::Read(_) => {}
            Cached::End => return Err(shorter()),
            Cached::Unknown => return Ok(0),
        }
    }
    Ok(needed)
}

/// For a thread that may wait: reads the next [`STEP`] bytes, of `length`, and has the kernel read on.
fn warm(file: &File, offset: u64, length: usize) -> io::Result<Warmed> {
    if let (Ok(start), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) {
        // Advice only; the reads below are what counts.
        let _ = posix_fadvise(file, start, length, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
    }
    let until = offset + STEP.min(length as u64);
    let (mut at, mut buffer) = (offset, Vec::with_capacity(64 * 1024));
    while at < until {
        buffer.clear();
        match nowait::read_waiting(file, &mut buffer, at)? {
            0 => return Err(shorter()),
            count => at += count as u64,
        }
    }
    let needed = usize::try_from(until - offset).unwrap_or(usize::MAX);
    Ok(Warmed { until, kept: cached(file, offset, needed, needed)? >= needed })
}

/// Whether the client has gone, so that nothing needs to be read for it any more.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, TimedOut};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | TimedOut)
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the image")
}
