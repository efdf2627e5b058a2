//! What is told to the service manager (sd_notify(3)).

use std::time::Duration;

use sd_notify::NotifyState;

/// The line to the service manager; says nothing where there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manager {
    pub(super) present: bool,
}

impl Manager {
    /// Requests are answered from now on.
    pub(super) fn ready(self, status: &str) {
        let status = one_line(status);
        self.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// A reload has begun. One datagram: `Type=notify-reload` takes the time only together with the state.
    pub(super) fn reloading(self, status: &str) {
        let status = one_line(status);
        let mut states = vec![NotifyState::Reloading];
        states.extend(NotifyState::monotonic_usec_now().ok());
        states.push(NotifyState::Status(&status));
        self.send(&states);
    }

    /// No new connections from now on.
    pub(super) fn stopping(self, status: &str) {
        let status = one_line(status);
        self.send(&[NotifyState::Stopping, NotifyState::Status(&status)]);
    }

    /// What `systemctl status` shows.
    pub(super) fn status(self, status: &str) {
        let status = one_line(status);
        self.send(&[NotifyState::Status(&status)]);
    }

    /// Asks for more time for a start or a stop that goes on.
    pub(super) fn extend(self, time: Duration, status: &str) {
        let status = one_line(status);
        let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::ExtendTimeoutUsec(microseconds), NotifyState::Status(&status)]);
    }

    /// The runtime turns.
    pub(super) fn alive(self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(self, states: &[NotifyState<'_>]) {
        if self.present
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::debug!(%error, "the service manager could not be notified");
        }
    }
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_status_is_one_line() {
        assert_eq!(super::one_line("bad:\n  READY=1\r\n"), "bad:; READY=1");
        assert_eq!(super::one_line("plain"), "plain");
    }
}
