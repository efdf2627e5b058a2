//! Sockets that connections come from: inherited from a service manager, or our own.

mod address;
mod bound;
mod inherited;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use socket2::{SockFilter, SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

pub use address::Address;
pub(super) use address::resolve;
pub(super) use bound::{BindError, bind, make_room};
pub(super) use inherited::{Passed, inherit};

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program listens there. The text is upstream's.
    #[error("Could not bind to {0} after trying for 30 seconds")]
    InUse(Address),
    /// The same on a reload, which does not wait.
    #[error("cannot listen on {0}: it is in use")]
    Taken(Address),
    /// Any other refusal of the operating system.
    #[error("cannot listen on {address}: {source}")]
    Bind { address: Address, source: io::Error },
    /// `bind_host` is a name that nobody knows.
    #[error("[DEFAULT] bind_host {host}: {source}")]
    Resolve { host: String, source: io::Error },
    /// A descriptor that was passed is not a listening stream socket.
    #[error("socket {name} (file descriptor {descriptor}) from the service manager cannot be used: {reason}")]
    Unusable { descriptor: i32, name: String, reason: String },
    /// Another instance that is started would make this socket block.
    #[error(
        "socket {name} (file descriptor {descriptor}) from the service manager is in blocking mode: set \
         NonBlocking=true in the [Service] section of the unit, for every unit that shares the socket"
    )]
    Blocking { descriptor: i32, name: String },
    /// The unit promised a socket.
    #[error(
        "the service manager passed no socket: start it through its socket unit (Sockets= and Requires= in the unit), \
         or set [service] listen_unix; the service does not bind a port of its own when systemd runs it"
    )]
    NoneInherited,
}

impl ListenError {
    /// Whether trying again can help only after an administrator has changed something.
    pub(super) fn is_configuration(&self) -> bool {
        match self {
            Self::InUse(_) | Self::Taken(_) | Self::NoneInherited => false,
            Self::Bind { source, .. } => {
                matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound)
            }
            Self::Resolve { .. } => false,
            Self::Unusable { .. } | Self::Blocking { .. } => true,
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    pub(super) address: Address,
    /// Shared with the service manager and other workers: never shut down, never unlinked, its backlog is not ours.
    pub(super) inherited: bool,
    /// Inode of a Unix socket's file that is ours to remove.
    file: Option<(PathBuf, u64)>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection as it is accepted.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// Those of accept(2); most concern one connection only.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Stream::Tcp(stream, peer)),
            Socket::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    /// Lets no new connection begin here, while those that have begun go on: the kernel drops the first packet (SYN) of
    /// others, and their clients repeat it a second later, to whoever listens then. Closing right away would reset them.
    pub(super) fn refuse_new(&self) {
        // Classic BPF over the TCP header: byte 13 holds the flags, 0x02 is SYN, 0x10 ACK.
        const SYN_ONLY: [SockFilter; 5] = [
            SockFilter::new(0x30, 0, 0, 13),
            SockFilter::new(0x54, 0, 0, 0x12),
            SockFilter::new(0x15, 0, 1, 0x02),
            SockFilter::new(0x06, 0, 0, 0),
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ];
        if matches!(self.socket, Socket::Tcp(_))
            && let Err(error) = self.raw().attach_filter(&SYN_ONLY)
        {
            tracing::debug!(%error, "a connection that begins while its socket closes may be reset");
        }
    }

    /// A connection that already waits in the backlog, if there is one.
    pub(super) fn accept_waiting(&self) -> Option<Stream> {
        let (socket, peer) = self.raw().accept().ok()?;
        socket.set_nonblocking(true).ok()?;
        match &self.socket {
            Socket::Tcp(_) => {
                let stream = TcpStream::from_std(socket.into()).ok()?;
                Some(Stream::Tcp(stream, peer.as_socket()?))
            }
            Socket::Unix(_) => UnixStream::from_std(socket.into()).ok().map(Stream::Unix),
        }
    }

    /// Sets the length of the backlog anew (listen(2) may be called again).
    ///
    /// # Errors
    /// Those of listen(2).
    pub(super) fn set_backlog(&self, backlog: i32) -> io::Result<()> {
        self.raw().listen(backlog)
    }

    /// Dead peers are noticed, and small answers leave at once, on connections accepted from now on: Linux hands a
    /// listening socket's options down.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub(super) fn set_keepidle(&self, keepidle: Duration) -> io::Result<()> {
        if matches!(self.socket, Socket::Tcp(_)) {
            self.raw().set_tcp_nodelay(true)?;
            self.raw().set_tcp_keepalive(&TcpKeepalive::new().with_time(keepidle))?;
        }
        Ok(())
    }

    /// Lets a second socket of this process take the same port, or forbids it again.
    pub(super) fn share_port(&self, share: bool) -> io::Result<()> {
        match self.socket {
            Socket::Tcp(_) => self.raw().set_reuse_port(share),
            Socket::Unix(_) => Ok(()),
        }
    }

    fn raw(&self) -> SockRef<'_> {
        match &self.socket {
            Socket::Tcp(listener) => SockRef::from(listener),
            Socket::Unix(listener) => SockRef::from(listener),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        use std::os::unix::fs::MetadataExt as _;
        if let Some((path, inode)) = &self.file
            && std::fs::symlink_metadata(path).is_ok_and(|found| found.ino() == *inode)
        {
            // If this fails no harm is done: the next start removes a socket's file that nobody listens on.
            let _ = std::fs::remove_file(path);
        }
    }
}
