//! What is told to the service manager (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;

/// Messages that may wait. More are dropped: what they would say is out of date by then.
const LENGTH: usize = 64;

/// How long the last message may take to be sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line to the service manager; says nothing where there is none.
///
/// A thread of its own sends, since a service manager that does not read would stop whoever talks to it.
#[derive(Clone, Debug)]
pub(super) struct Manager(Option<SyncSender<Message>>);

#[derive(Debug)]
enum Message {
    /// One datagram: states, a line each.
    States(String),
    Flush(SyncSender<()>),
}

impl Manager {
    /// `present`: whether there is a service manager.
    pub(super) fn start(present: bool) -> Self {
        if !present {
            return Self(None);
        }
        let (messages, queued) = sync_channel(LENGTH);
        let thread = std::thread::Builder::new().name("manager".to_owned()).spawn(move || send(&queued));
        Self(thread.is_ok().then_some(messages))
    }

    pub(super) fn is_present(&self) -> bool {
        self.0.is_some()
    }

    /// Requests are answered from now on.
    pub(super) fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// A reload has begun. One datagram: `Type=notify-reload` takes the time only together with the state.
    pub(super) fn reloading(&self, status: &str) {
        let status = one_line(status);
        let mut states = vec![NotifyState::Reloading];
        states.extend(NotifyState::monotonic_usec_now().ok());
        states.push(NotifyState::Status(&status));
        self.send(&states);
    }

    /// No new connections from now on.
    pub(super) fn stopping(&self, status: &str) {
        self.send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
    }

    /// What `systemctl status` shows.
    pub(super) fn status(&self, status: &str) {
        self.send(&[NotifyState::Status(&one_line(status))]);
    }

    /// There will be no service. `configuration`: as it is written, which counts as an invalid argument (errno(3)).
    pub(super) fn failed(&self, reason: &str, configuration: bool) {
        let status = one_line(&format!("failed: {reason}"));
        let mut states = vec![NotifyState::Status(&status)];
        if configuration {
            states.push(NotifyState::Errno(libc::EINVAL.unsigned_abs()));
        }
        self.send(&states);
    }

    /// Asks for more time for a start or a stop that goes on.
    pub(super) fn extend(&self, time: Duration, status: &str) {
        let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::ExtendTimeoutUsec(microseconds), NotifyState::Status(&one_line(status))]);
    }

    /// The runtime turns.
    pub(super) fn alive(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// Waits a moment until all of it is said: before the end of the process.
    pub(super) fn flush(&self) {
        let Some(messages) = &self.0 else { return };
        let (done, flushed) = sync_channel(1);
        if messages.try_send(Message::Flush(done)).is_ok() {
            // Late words are lost.
            let _ = flushed.recv_timeout(PATIENCE);
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(messages) = &self.0 else { return };
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        if messages.try_send(Message::States(lines.join("\n"))).is_err() {
            tracing::debug!("the service manager does not read what it is told");
        }
    }
}

fn send(queued: &Receiver<Message>) {
    let name = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    while let Ok(message) = queued.recv() {
        match message {
            Message::States(lines) => {
                if let Err(error) = notify(&name, &lines) {
                    tracing::debug!(%error, "the service manager could not be notified");
                }
            }
            // Nobody waits any more.
            Message::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// One datagram. sd-notify's own function knows sockets in the file system only.
fn notify(name: &OsStr, lines: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', abstracted @ ..] => SocketAddr::from_abstract_name(abstracted)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(lines.as_bytes(), &address).map(drop)
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("bad:\n  READY=1\r\n"), "bad:; READY=1");
        assert_eq!(one_line("plain"), "plain");
    }

    #[test]
    fn a_socket_may_have_an_abstract_name() {
        let name = format!("glance-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let sockets = [UnixDatagram::bind_addr(&address).unwrap(), UnixDatagram::bind(&path).unwrap()];
        for (name, socket) in [format!("@{name}").into(), path.into_os_string()].into_iter().zip(sockets) {
            notify(&name, "READY=1\nSTATUS=here").unwrap();
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=here");
        }
        assert!(notify("".as_ref(), "READY=1").is_err());
    }
}
