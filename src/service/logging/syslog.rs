//! Records as datagrams to the syslog socket of this host (`use_syslog`).

use std::io;
use std::os::unix::net::UnixDatagram;

use super::date::strftime;
use super::error::LogError;
use super::record::{PROCESS, Record, severity};

/// Where syslog(3) writes.
const SOCKET: &str = "/dev/log";

/// The line to the daemon; opened when there is something to say, and again after the daemon was restarted.
#[derive(Debug)]
pub(super) struct Syslog {
    facility: u8,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// # Errors
    /// An unknown name.
    pub(super) fn new(facility: &str) -> Result<Self, LogError> {
        let number = facility_number(facility).ok_or_else(|| LogError::Facility(facility.to_owned()))?;
        Ok(Self { facility: number, socket: None })
    }

    /// Sends a record in the form of syslog(3); `text` is what the formats of the configuration made of it.
    pub(super) fn write(&mut self, record: &Record, text: &str) {
        let priority = self.facility * 8 + severity(*record.metadata.level());
        let time = strftime("%b %e %H:%M:%S", record.local_time());
        let line = format!("<{priority}>{time} glance-api[{}]: {text}", *PROCESS);
        for _ in 0..2 {
            match self.connect().and_then(|socket| socket.send(line.as_bytes())) {
                Ok(_) => return,
                // Gone or restarted: once more with a new socket. That a record is lost could only be said in the log.
                Err(_) => self.socket = None,
            }
        }
    }

    fn connect(&mut self) -> io::Result<&UnixDatagram> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(SOCKET)?;
                // A daemon that does not read must not stop the other places.
                socket.set_nonblocking(true)?;
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }
}

/// Names as in Python's syslog module, with or without `LOG_`.
fn facility_number(name: &str) -> Option<u8> {
    const NAMES: [&str; 24] = [
        "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP", "", "",
        "", "", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
    ];
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("LOG_").unwrap_or(&name);
    let at = NAMES.iter().position(|known| !known.is_empty() && *known == name)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_their_numbers() {
        for (name, number) in [
            ("LOG_USER", Some(1)),
            ("local0", Some(16)),
            ("LOG_LOCAL7", Some(23)),
            ("AUTHPRIV", Some(10)),
            ("", None),
            ("LOG_", None),
            ("moon", None),
        ] {
            assert_eq!(facility_number(name), number, "{name}");
        }
    }
}
