//! The listening sockets of a worker, and their change while it runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::accept::Acceptor;
use super::error::Error;
use super::listener::{Address, BindError, ListenError, Listener, bind, make_room, resolve};
use super::manager::Manager;
use super::pulses::Pulses;
use super::settings::{Listen, ListenAddress, Settings};
use super::shared::Shared;
use super::status::Status;

/// How long an address that somebody else has is waited for at the start.
const RETRY: Duration = Duration::from_secs(30);

/// All sockets that connections are accepted from.
pub(super) struct Sockets {
    listening: Vec<Listening>,
    shared: Arc<Shared>,
    status: Arc<Status>,
    pulses: watch::Sender<Pulses>,
}

struct Listening {
    acceptor: Acceptor,
    /// As it was asked for; port 0 has become another.
    wanted: Address,
}

/// New sockets that are open, but not yet accepted from.
#[derive(Default)]
pub(super) struct NewSockets {
    listeners: Vec<(Address, Listener)>,
    /// Those that are wanted from now on; `None`: as before.
    wanted: Option<Vec<Address>>,
}

/// Opens what the configuration asks for, waiting for addresses that are in use.
///
/// # Errors
/// The name is unknown, the address is not to be had, or must not be listened on.
pub(super) async fn bind_all(
    settings: &Settings,
    authenticated: bool,
    manager: &Manager,
) -> Result<Vec<Listener>, Error> {
    let addresses = resolved(&settings.listen.address).await?;
    check_exposure(addresses.iter(), settings, authenticated)?;
    let deadline = Instant::now() + RETRY;
    let mut listeners = Vec::new();
    let mut absent = None;
    for address in &addresses {
        let mut told = false;
        let bound = loop {
            match open(address, &addresses, &settings.listen, false).await {
                Err(BindError::InUse) if Instant::now() < deadline => {
                    if !told {
                        tracing::warn!(%address, "the address is in use, waiting for it");
                        told = true;
                    }
                    manager.extend(Duration::from_secs(5), &format!("starting: {address} is in use, trying again"));
                    sleep(Duration::from_millis(100)).await;
                }
                bound => break bound,
            }
        };
        match bound {
            Ok(listener) => listeners.push(listener),
            // A name such as localhost often has an IPv6 address on hosts that have no IPv6.
            Err(BindError::Other(source)) if addresses.len() > 1 && is_absent(&source) => {
                tracing::warn!(%address, error = %source, "this host does not have the address");
                absent = Some((address.clone(), source));
            }
            Err(error) => return Err(failed(address, error, ListenError::InUse)),
        }
    }
    match absent {
        Some((address, source)) if listeners.is_empty() => Err(ListenError::Bind { address, source }.into()),
        _ => Ok(listeners),
    }
}

impl Sockets {
    pub(super) fn start(
        listeners: Vec<Listener>,
        shared: Arc<Shared>,
        status: Arc<Status>,
        pulses: watch::Sender<Pulses>,
    ) -> Self {
        let mut sockets = Self { listening: Vec::new(), shared, status, pulses };
        for listener in listeners {
            sockets.listen(listener.address.clone(), listener);
        }
        sockets.publish();
        sockets
    }

    /// Where connections are accepted.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listening.iter().map(|listening| listening.acceptor.address())
    }

    /// Whether they belong to the service manager.
    pub(super) fn inherited(&self) -> bool {
        self.listening.iter().any(|listening| listening.acceptor.listener.inherited)
    }

    /// Opens what is new in the settings; the old sockets go on.
    ///
    /// # Errors
    /// As [`bind_all`], at once if an address is in use.
    pub(super) async fn prepare(
        &self,
        old: &Settings,
        new: &Settings,
        authenticated: bool,
    ) -> Result<NewSockets, Error> {
        if self.inherited() || old.listen.address == new.listen.address {
            check_exposure(self.addresses(), new, authenticated)?;
            return Ok(NewSockets::default());
        }
        let wanted = resolved(&new.listen.address).await?;
        check_exposure(wanted.iter(), new, authenticated)?;
        let mut fresh = Vec::new();
        for address in wanted.iter().filter(|address| !self.has(address)) {
            let in_the_way: Vec<&Listener> = self
                .listening
                .iter()
                .map(|listening| &*listening.acceptor.listener)
                .filter(|listener| make_room(&listener.address, address))
                .collect();
            share(&in_the_way, true);
            let bound = open(address, &wanted, &new.listen, !in_the_way.is_empty()).await;
            share(&in_the_way, false);
            match bound {
                Ok(listener) => fresh.push((address.clone(), listener)),
                Err(BindError::Other(error)) if wanted.len() > 1 && is_absent(&error) => {
                    tracing::warn!(%address, %error, "this host does not have the address");
                }
                Err(error) => return Err(failed(address, error, ListenError::Taken)),
            }
        }
        if fresh.is_empty() && !wanted.iter().any(|address| self.has(address)) {
            return Err(Error::NoAddress);
        }
        Ok(NewSockets { listeners: fresh, wanted: Some(wanted) })
    }

    /// Accepts from the new sockets, then closes those that are not wanted any more.
    pub(super) async fn commit(&mut self, fresh: NewSockets, old: &Settings, new: &Settings) {
        let mut stale = Vec::new();
        if let Some(wanted) = &fresh.wanted {
            let (kept, gone) = std::mem::take(&mut self.listening)
                .into_iter()
                .partition(|listening: &Listening| wanted.contains(&listening.wanted));
            self.listening = kept;
            stale = gone;
        }
        for listening in &self.listening {
            let listener = &listening.acceptor.listener;
            if old.listen.backlog != new.listen.backlog && !listener.inherited {
                warn_if(listener.set_backlog(new.listen.backlog), "backlog");
            }
            if old.listen.keepidle != new.listen.keepidle {
                warn_if(listener.set_keepidle(new.listen.keepidle), "tcp_keepidle");
            }
        }
        for (wanted, listener) in fresh.listeners {
            tracing::info!(address = %listener.address, "listening");
            self.listen(wanted, listener);
        }
        self.publish();
        for listening in stale {
            tracing::info!(address = %listening.acceptor.address(), "not listening any more");
            listening.acceptor.close().await;
        }
    }

    /// Takes no more connections.
    pub(super) async fn close(self) {
        for listening in self.listening {
            listening.acceptor.close().await;
        }
    }

    fn listen(&mut self, wanted: Address, listener: Listener) {
        let acceptor = Acceptor::start(listener, Arc::clone(&self.shared));
        self.listening.push(Listening { acceptor, wanted });
    }

    fn has(&self, address: &Address) -> bool {
        self.listening.iter().any(|listening| listening.wanted == *address)
    }

    fn publish(&self) {
        self.status.set_addresses(self.addresses().cloned().collect());
        self.pulses.send_replace(self.listening.iter().map(|listening| listening.acceptor.pulse()).collect());
    }
}

/// Without authentication everybody who can connect is an administrator, so that only this host may.
///
/// # Errors
/// Names the address, unless the operator allows it.
pub(super) fn check_exposure<'a>(
    mut addresses: impl Iterator<Item = &'a Address>,
    settings: &Settings,
    authenticated: bool,
) -> Result<(), Error> {
    if authenticated || settings.allow_unauthenticated {
        return Ok(());
    }
    addresses.find(|address| !address.is_private()).map_or(Ok(()), |open| Err(Error::Unauthenticated(open.clone())))
}

async fn resolved(place: &ListenAddress) -> Result<Vec<Address>, Error> {
    let place = place.clone();
    let resolving = spawn_blocking(move || resolve(&place));
    Ok(resolving.await.map_err(|_| Error::Panicked)??)
}

/// As [`bind`]. What it does for a Unix socket may block.
async fn open(address: &Address, all: &[Address], listen: &Listen, beside: bool) -> Result<Listener, BindError> {
    if matches!(address, Address::Tcp(_)) {
        return bind(address, all, listen, beside);
    }
    let (address, all, listen) = (address.clone(), all.to_vec(), listen.clone());
    let opening = spawn_blocking(move || bind(&address, &all, &listen, beside));
    opening.await.unwrap_or_else(|error| Err(BindError::Other(io::Error::other(error))))
}

/// For the moment in which another socket of ours binds the same port.
fn share(listeners: &[&Listener], share: bool) {
    for listener in listeners {
        warn_if(listener.share_port(share), "SO_REUSEPORT");
    }
}

fn warn_if(result: io::Result<()>, what: &str) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what} of a listening socket cannot be set");
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}

fn failed(address: &Address, error: BindError, in_use: fn(Address) -> ListenError) -> Error {
    let address = address.clone();
    match error {
        BindError::InUse => in_use(address),
        BindError::Other(source) => ListenError::Bind { address, source },
    }
    .into()
}
