//! Sockets that the service binds itself.

use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket as Raw, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{Address, Listener, Socket};
use crate::service::settings::Listen;

/// Why an address could not be had.
#[derive(Debug)]
pub(in crate::service) enum BindError {
    /// Somebody has it; it may become free.
    InUse,
    Other(io::Error),
}

/// Opens a listening socket. `all`: every address that is to be listened on, so that `::` knows whether it has to take
/// IPv4 too. `beside`: a socket of this process holds the same port and has been told to share it.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2).
pub(in crate::service) fn bind(
    address: &Address,
    all: &[Address],
    listen: &Listen,
    beside: bool,
) -> Result<Listener, BindError> {
    let made = match address {
        Address::Tcp(tcp) => bind_tcp(*tcp, all, listen.backlog, beside).or_else(|error| {
            // The kernel was built or booted without IPv6: all addresses are then all of IPv4.
            let everywhere = *tcp == SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), tcp.port());
            let absent = matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL));
            if everywhere && absent {
                bind_tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), tcp.port()), all, listen.backlog, beside)
            } else {
                Err(error)
            }
        }),
        Address::Unix(path) => bind_unix(path, listen.backlog),
    };
    let listener = made.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse,
        _ => BindError::Other(error),
    })?;
    listener.set_keepidle(listen.keepidle).map_err(BindError::Other)?;
    if beside {
        listener.share_port(false).map_err(BindError::Other)?;
    }
    Ok(listener)
}

/// Whether an old socket's address is in the way of a new one: the same port, and one of the two is every address.
pub(in crate::service) fn make_room(old: &Address, new: &Address) -> bool {
    match (old, new) {
        (Address::Tcp(old), Address::Tcp(new)) => {
            old.port() == new.port() && (old.ip().is_unspecified() || new.ip().is_unspecified())
        }
        _ => false,
    }
}

fn bind_tcp(address: SocketAddr, all: &[Address], backlog: i32, beside: bool) -> io::Result<Listener> {
    let socket = Raw::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if beside {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        let ipv4_too = all.iter().any(|other| matches!(other, Address::Tcp(other) if other.is_ipv4()));
        socket.set_only_v6(!address.ip().is_unspecified() || ipv4_too)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    let listener = TcpListener::from_std(socket.into())?;
    // The port as the kernel chose it, if it was 0.
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Listener { socket: Socket::Tcp(listener), address, inherited: false, file: None })
}

fn bind_unix(path: &Path, backlog: i32) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = Raw::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Connecting takes the right to write; the umask has taken it from the group.
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    socket.listen(backlog)?;
    let inode = std::fs::symlink_metadata(path)?.ino();
    let listener = UnixListener::from_std(socket.into())?;
    let address = Address::Unix(path.to_owned());
    Ok(Listener { socket: Socket::Unix(listener), address, inherited: false, file: Some((path.to_owned(), inode)) })
}

/// Removes a socket that a killed process left behind; one that somebody answers at is in use.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let metadata = std::fs::symlink_metadata(path)?;
            if std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
                std::fs::remove_file(path)
            } else {
                Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is not a socket"))
            }
        }
        // Nothing there, or whatever bind will say more clearly.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::settings::ListenAddress;

    fn listen() -> Listen {
        Listen { address: ListenAddress::Tcp(String::new(), 0), backlog: 8, keepidle: Duration::from_secs(77) }
    }

    fn tcp(address: &str) -> Address {
        Address::Tcp(address.parse().unwrap())
    }

    #[tokio::test]
    async fn a_taken_port_is_told_from_other_errors() {
        let first = bind(&tcp("127.0.0.1:0"), &[], &listen(), false).unwrap();
        assert!(matches!(bind(&first.address, &[], &listen(), false), Err(BindError::InUse)));
        let foreign = bind(&tcp("192.0.2.1:0"), &[], &listen(), false);
        assert!(matches!(foreign, Err(BindError::Other(_))), "an address that this host does not have");
    }

    #[tokio::test]
    async fn options_reach_the_accepted_connection() {
        let listener = bind(&tcp("127.0.0.1:0"), &[], &listen(), false).unwrap();
        let Address::Tcp(address) = listener.address else { panic!("not TCP") };
        let _client = std::net::TcpStream::connect(address).unwrap();
        let super::super::Stream::Tcp(stream, _) = listener.accept().await.unwrap() else { panic!("not TCP") };
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
    }

    #[tokio::test]
    async fn a_port_can_be_handed_from_every_address_to_one() {
        let old = bind(&tcp("0.0.0.0:0"), &[], &listen(), false).unwrap();
        let Address::Tcp(address) = old.address else { panic!("not TCP") };
        let new = Address::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()));
        assert!(make_room(&old.address, &new));
        assert!(matches!(bind(&new, &[], &listen(), true), Err(BindError::InUse)), "the old one does not share yet");
        old.share_port(true).unwrap();
        let new = bind(&new, &[], &listen(), true).unwrap();
        drop(old);
        std::net::TcpStream::connect(match new.address {
            Address::Tcp(address) => address,
            Address::Unix(_) => panic!("not TCP"),
        })
        .unwrap();
        assert!(matches!(bind(&new.address, &[], &listen(), false), Err(BindError::InUse)), "others stay out");
    }

    #[tokio::test]
    async fn a_unix_socket_replaces_a_dead_one_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        let address = Address::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let alive = bind(&address, &[], &listen(), false).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(bind(&address, &[], &listen(), false), Err(BindError::InUse)));
        drop(alive);
        assert!(!path.try_exists().unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert!(bind(&address, &[], &listen(), false).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
