//! What a service tells its manager: sd_notify(3).

use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Hears everything at once, so that no service ever waits for it, and keeps it until it is asked for.
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    heard: Receiver<(Instant, String)>,
}

impl ServiceManager {
    /// Makes the socket that `NOTIFY_SOCKET` is to name.
    pub(crate) fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let (ear, (tell, heard)) = (socket.try_clone().unwrap(), channel());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Nothing comes any more when the socket is shut down.
            while let Ok(length @ 1..) = ear.recv(&mut buffer) {
                let said = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if tell.send((Instant::now(), said)).is_err() {
                    return;
                }
            }
        });
        Self { socket, heard }
    }

    /// The next datagram and when it came; `None` when there is none for so long.
    pub(crate) fn next(&self, limit: Duration) -> Option<(Instant, String)> {
        self.heard.recv_timeout(limit).ok()
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        // Ends the thread.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
