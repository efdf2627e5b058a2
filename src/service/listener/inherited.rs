//! Sockets that the service manager opened (sd_listen_fds(3)).

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use super::{Address, ListenError, Listener, Socket};
use crate::service::environment::Environment;

/// First descriptor of the protocol.
const FIRST: usize = 3;

/// What the environment says about passed sockets.
pub(in crate::service) struct Passed {
    descriptors: ListenFd,
    names: Vec<String>,
    /// Somebody meant to pass sockets, to us or to another process.
    announced: bool,
}

impl Passed {
    /// Takes the variables out of the environment; to be called before there are threads.
    pub(in crate::service) fn read() -> Self {
        // listenfd knows no names, and removes the variables.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let announced = std::env::var_os("LISTEN_FDS").is_some();
        Self { descriptors: ListenFd::from_env(), names: names.split(':').map(str::to_owned).collect(), announced }
    }

    /// Whether there are sockets for us.
    pub(in crate::service) fn is_empty(&self) -> bool {
        self.descriptors.len() == 0
    }
}

/// All passed sockets; none if there are none and there need not be any. To be called within the runtime.
///
/// # Errors
/// A descriptor that is not a listening stream socket; a socket that would block; a promised socket that is missing.
pub(in crate::service) fn inherit(
    mut passed: Passed,
    environment: &Environment,
    may_bind: bool,
) -> Result<Vec<Listener>, ListenError> {
    if passed.is_empty() {
        let promised = environment.managed || passed.announced;
        return if promised && !may_bind { Err(ListenError::NoneInherited) } else { Ok(Vec::new()) };
    }
    (0..passed.descriptors.len())
        .map(|index| {
            let name = passed.names.get(index).cloned().unwrap_or_default();
            take(&mut passed.descriptors, index, name, environment)
        })
        .collect()
}

fn take(
    descriptors: &mut ListenFd,
    index: usize,
    name: String,
    environment: &Environment,
) -> Result<Listener, ListenError> {
    let descriptor = i32::try_from(FIRST + index).unwrap_or(-1);
    let unusable = |reason: String| ListenError::Unusable { descriptor, name: name.clone(), reason };
    let broken = |error: std::io::Error| unusable(error.to_string());

    let (socket, address) = if let Ok(Some(tcp)) = descriptors.take_tcp_listener(index) {
        check(&SockRef::from(&tcp), environment, &name, descriptor)?;
        let address = tcp.local_addr().map_err(broken)?;
        (Socket::Tcp(TcpListener::from_std(tcp).map_err(broken)?), Address::Tcp(address))
    } else if let Ok(Some(unix)) = descriptors.take_unix_listener(index) {
        check(&SockRef::from(&unix), environment, &name, descriptor)?;
        let path = unix.local_addr().map_err(broken)?.as_pathname().map(ToOwned::to_owned).unwrap_or_default();
        (Socket::Unix(UnixListener::from_std(unix).map_err(broken)?), Address::Unix(path))
    } else {
        return Err(unusable("it is no stream socket of IPv4, IPv6 or Unix".to_owned()));
    };
    Ok(Listener { socket, address, inherited: true, file: None })
}

/// The mode is a property of the open socket, which all workers share: systemd clears it for every instance that it
/// starts unless the unit says otherwise, so setting it here would not last. tokio needs it.
fn check(socket: &SockRef<'_>, environment: &Environment, name: &str, descriptor: i32) -> Result<(), ListenError> {
    let unusable = |reason: String| ListenError::Unusable { descriptor, name: name.to_owned(), reason };
    if !socket.is_listener().map_err(|error| unusable(error.to_string()))? {
        return Err(unusable("it does not listen".to_owned()));
    }
    if !socket.nonblocking().map_err(|error| unusable(error.to_string()))? {
        if environment.managed {
            return Err(ListenError::Blocking { descriptor, name: name.to_owned() });
        }
        socket.set_nonblocking(true).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(())
}
