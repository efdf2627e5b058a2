//! The socket as hyper sees it: counts what moves, sends files, and closes so that the last answer arrives.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, LINGER};
use super::head::RequestLine;
use super::sendfile::FileSender;
#[cfg(test)]
use super::sendfile::SendFile;
use crate::service::body::{Lane, is_sentinel};

/// How many such bytes are taken from a client whose request head does not end. A body is taken for as long as
/// [`LINGER`] allows; a head of that length comes from nobody who waits for an answer.
const LINGER_HEAD: usize = 1024 * 1024;

/// The transport below HTTP.
pub(super) enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The transport and what is watched on it.
pub(super) struct Wire {
    io: Io,
    activity: Arc<Activity>,
    lane: Option<Lane>,
    sender: FileSender,
    line: RequestLine,
    /// What hyper is to see before anything else, from a line that grew beyond the buffer it was read into.
    held: Bytes,
    linger: Option<Pin<Box<Sleep>>>,
    /// Bytes taken since then.
    lingered: usize,
}

impl Io {
    /// Whether what is written reaches the client as it is.
    pub(super) fn can_send_files(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
            Self::Tls(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    pub(super) fn send_file(&self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let mut offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, || {
                sendfile64(stream, file, Some(&mut offset), length).map_err(io::Error::from)
            }),
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, || {
                sendfile64(stream, file, Some(&mut offset), length).map_err(io::Error::from)
            }),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes a response's head that file data follow, so that both can leave in one packet.
    fn poll_write_head(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream) = self else { return Pin::new(self).poll_write_vectored(context, buffers) };
        loop {
            ready!(stream.poll_write_ready(context))?;
            let flags = MsgFlags::from_bits_retain(libc::MSG_MORE) | MsgFlags::MSG_NOSIGNAL;
            let written = stream.try_io(Interest::WRITABLE, || {
                sendmsg::<()>(stream.as_raw_fd(), buffers, &[], flags, None).map_err(io::Error::from)
            });
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }
}

impl Wire {
    pub(super) fn new(io: Io, activity: Arc<Activity>, lane: Option<Lane>, max_line: usize) -> Self {
        let line = RequestLine::new(max_line);
        let held = Bytes::new();
        Self { io, activity, lane, sender: FileSender::new(Io::send_file), line, held, linger: None, lingered: 0 }
    }

    /// Files are sent so.
    #[cfg(test)]
    pub(super) fn sending_by(self, send: SendFile) -> Self {
        Self { sender: FileSender::new(send), ..self }
    }

    fn poll_send_region(&mut self, context: &mut Context<'_>, stand_in: usize) -> Poll<io::Result<usize>> {
        match &self.lane {
            Some(lane) => self.sender.poll_send(context, &mut self.io, lane, stand_in),
            None => Poll::Ready(Err(io::Error::other("a file region on a connection that cannot send files"))),
        }
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.activity.moved(*count);
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.held.is_empty() {
            buffer.put_slice(&this.held.split_to(this.held.len().min(buffer.remaining())));
            return Poll::Ready(Ok(()));
        }
        if let Some(instead) = this.line.instead(buffer.remaining()) {
            // Then silence: an end would tell hyper that the client is gone. The answer closes the connection.
            buffer.put_slice(instead);
            return if instead.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if !read.is_empty() {
            this.activity.moved(read.len());
            if let Some(seen) = this.line.feed(read, &this.activity) {
                buffer.set_filled(before);
                this.held = Bytes::from(seen);
                buffer.put_slice(&this.held.split_to(this.held.len().min(buffer.remaining())));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = if is_sentinel(buffer) {
            self.poll_send_region(context, buffer.len())
        } else {
            Pin::new(&mut self.io).poll_write(context, buffer)
        };
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let filled = buffers.iter().position(|buffer| !buffer.is_empty()).unwrap_or(buffers.len());
        let buffers = buffers.get(filled..).unwrap_or_default();
        let region = buffers.iter().position(|buffer| is_sentinel(buffer));
        let written = match (region, buffers) {
            (Some(0), [stand_in, ..]) => self.poll_send_region(context, stand_in.len()),
            (Some(at), _) => self.io.poll_write_head(context, buffers.get(..at).unwrap_or_default()),
            (None, _) => Pin::new(&mut self.io).poll_write_vectored(context, buffers),
        };
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let first = this.linger.is_none();
        if first {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        }
        let timer = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let most = if this.activity.has_unread() && !this.line.is_endless() { usize::MAX } else { LINGER_HEAD };
        // Of HTTP/2 clients most have something to say to what came last, and all close when they are told to.
        let mut expects = this.activity.has_unread() || this.line.is_endless() || this.activity.is_http2() || !first;
        loop {
            if timer.as_mut().poll(context).is_ready() || this.lingered > most {
                return Poll::Ready(Ok(()));
            }
            let mut thrown_away = [std::mem::MaybeUninit::uninit(); 8192];
            let mut buffer = ReadBuf::uninit(&mut thrown_away);
            match Pin::new(&mut this.io).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    this.activity.moved(buffer.filled().len());
                    this.lingered = this.lingered.saturating_add(buffer.filled().len());
                    expects = true;
                }
                Poll::Pending if expects => return Poll::Pending,
                Poll::Ready(_) | Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
