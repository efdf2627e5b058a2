//! Sends regions of files from the page cache to the socket, without a copy in this process (sendfile(2)).

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tokio::io::AsyncWrite as _;
use tokio::task::JoinHandle;

use super::wire::Io;
use crate::service::body::Lane;
use crate::sys::nowait::{self, Cached};

/// Bytes that are brought into the page cache at once when they are not there.
const AHEAD: u64 = 8 * 1024 * 1024;

/// Bytes after which others on the same thread have their turn.
const TURN: usize = 4 * 1024 * 1024;

/// Bytes copied at once where sendfile does not work.
const COPY: usize = 64 * 1024;

/// The sending half of a connection's [`Lane`].
#[derive(Debug, Default)]
pub(super) struct FileSender {
    /// Brings a part of the file into the page cache; yields where that part ends.
    warming: Option<JoinHandle<io::Result<u64>>>,
    /// The first region's bytes before this offset were in the page cache a moment ago.
    warm: u64,
    /// Bytes since others had their turn.
    turn: usize,
    /// The file system has no sendfile.
    copies: bool,
    scratch: Vec<u8>,
}

impl FileSender {
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
        let (file, offset, length) = (&window.region.file, window.region.offset, window.length);
        loop {
            if let Some(warming) = &mut self.warming {
                let warmed = ready!(Pin::new(warming).poll(context));
                self.warming = None;
                self.warm = warmed.map_err(io::Error::other)??;
            }
            let last = offset + length as u64 - 1;
            if last >= self.warm {
                // A miss would stop this thread, with all its other connections, for as long as the disk takes.
                self.scratch.clear();
                self.scratch.reserve_exact(1);
                match nowait::read_cached(file, &mut self.scratch, last)? {
                    Cached::Read(_) => {}
                    Cached::End => return Poll::Ready(Err(shorter())),
                    Cached::Unknown => {
                        let (file, until) = (Arc::clone(file), offset + window.region.length.min(AHEAD));
                        self.warming = Some(tokio::task::spawn_blocking(move || warm(&file, offset, until)));
                        continue;
                    }
                }
            }
            if self.turn >= TURN {
                self.turn = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let sent = if self.copies {
                ready!(self.poll_copy(context, io, file, offset, length))
            } else {
                ready!(io.poll_write_ready(context))?;
                io.send_file(file, offset, length)
            };
            match sent {
                Ok(0) => return Poll::Ready(Err(shorter())),
                Ok(count) => {
                    self.turn += count;
                    lane.sent(count);
                    if count as u64 == window.region.length {
                        self.warm = 0;
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.turn = 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if !self.copies && is_unsupported(&error) => {
                    tracing::debug!(%error, "the file system has no sendfile, image data is copied");
                    self.copies = true;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_copy(
        &mut self,
        context: &mut Context<'_>,
        io: &mut Io,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        self.scratch.clear();
        self.scratch.reserve_exact(length.min(COPY));
        nowait::read_waiting(file, &mut self.scratch, offset)?;
        self.scratch.truncate(length);
        if self.scratch.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(io).poll_write(context, &self.scratch)
    }
}

/// For a thread that may wait.
fn warm(file: &File, offset: u64, until: u64) -> io::Result<u64> {
    let (start, length) = (i64::try_from(offset), i64::try_from(until - offset));
    if let (Ok(start), Ok(length)) = (start, length) {
        // Advice only; the read below is what counts.
        let _ = posix_fadvise(file, start, length, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
    }
    let mut byte = Vec::with_capacity(1);
    if nowait::read_waiting(file, &mut byte, until - 1)? == 0 {
        return Err(shorter());
    }
    Ok(until)
}

fn is_unsupported(error: &io::Error) -> bool {
    const NONE: [Errno; 3] = [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|code| NONE.contains(&Errno::from_raw(code)))
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the image")
}
