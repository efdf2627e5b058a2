//! What lies between a service and its database: it cuts connections, and delays and swallows answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::super::pause;
use super::{Kind, Server};

/// What happens to a statement, mostly a COMMIT, on its way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is cut, and the server never sees the statement.
    CutBefore,
    /// The server does what it says, the connection is cut, and the client never sees the answer.
    CutAfter,
    /// The server does what it says; the answer is lost, though the connection stays.
    Swallow,
    /// The answer comes so much later.
    Delay(Duration),
}

/// A transaction that is to stop on its way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    No,
    /// The next one, once it has sent so many messages after its first.
    Next(usize),
    /// It has not come there yet.
    Begun,
    /// It stands.
    Standing,
}

/// Stands between a service and a database. Ends with the test's process.
pub(crate) struct Proxy {
    kind: Kind,
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// For the next statement of these words; whoever meets it takes it.
    fault: Mutex<Option<(&'static str, Fault)>>,
    /// Nobody is let in.
    is_away: AtomicBool,
    /// Nothing is passed on, either way.
    is_stuck: AtomicBool,
    hold: Mutex<Hold>,
    /// Of present connections.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, socket) = (Arc::<State>::default(), server.socket());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.is_away.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                shared.open.lock().unwrap().push(client.try_clone().unwrap());
                pass_on(client, server, &shared);
            }
        });
        Self { kind: server.kind, port, state }
    }

    /// The port of 127.0.0.1 on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The value of `[database] connection`, by way of the proxy.
    pub(crate) fn url(&self) -> String {
        match self.kind {
            Kind::Postgres => format!("postgresql+psycopg2://glance@127.0.0.1:{}/glance", self.port),
            Kind::MariaDb => format!("mysql+pymysql://root@127.0.0.1:{}/glance?charset=utf8mb4", self.port),
        }
    }

    /// Prepares the fault for the next COMMIT, of whichever connection.
    pub(crate) fn fault(&self, fault: Fault) {
        self.fault_at("COMMIT", fault);
    }

    /// As [`Self::fault`], for another statement, which the drivers send alone.
    pub(crate) fn fault_at(&self, words: &'static str, fault: Fault) {
        *self.state.fault.lock().unwrap() = Some((words, fault));
    }

    /// Whether a statement has met the fault.
    pub(crate) fn has_struck(&self) -> bool {
        self.state.fault.lock().unwrap().is_none()
    }

    /// Stops the next transaction of MariaDB once it has sent so many messages after its first, until [`Self::let_go`].
    pub(crate) fn hold_after(&self, messages: usize) {
        *self.state.hold.lock().unwrap() = Hold::Next(messages);
    }

    pub(crate) fn is_holding(&self) -> bool {
        *self.state.hold.lock().unwrap() == Hold::Standing
    }

    pub(crate) fn let_go(&self) {
        *self.state.hold.lock().unwrap() = Hold::No;
    }

    /// Cuts all connections and lets nobody in, until [`Self::again`].
    pub(crate) fn away(&self) {
        self.state.is_away.store(true, Ordering::SeqCst);
        for client in self.state.open.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Takes everything, also new connections, and keeps it, until [`Self::again`].
    pub(crate) fn stick(&self) {
        self.state.is_stuck.store(true, Ordering::SeqCst);
    }

    pub(crate) fn again(&self) {
        self.state.is_away.store(false, Ordering::SeqCst);
        self.state.is_stuck.store(false, Ordering::SeqCst);
    }
}

impl State {
    /// Waits for as long as nothing is passed on.
    fn wait(&self) {
        while self.is_stuck.load(Ordering::SeqCst) {
            pause(Duration::from_millis(20));
        }
    }

    /// The fault that is meant for this message.
    fn fault_of(&self, message: &[u8]) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        fault.take_if(|(words, _)| has(message, words)).map(|(_, fault)| fault)
    }

    /// Called with each message of a client. `left`: how many more of this transaction may pass.
    fn hold(&self, message: &[u8], left: &mut Option<usize>) {
        if has(message, "START TRANSACTION") {
            let mut hold = self.hold.lock().unwrap();
            if let Hold::Next(messages) = *hold {
                (*hold, *left) = (Hold::Begun, Some(messages));
            }
            return;
        }
        match left {
            Some(0) => {
                *left = None;
                *self.hold.lock().unwrap() = Hold::Standing;
                while *self.hold.lock().unwrap() == Hold::Standing {
                    pause(Duration::from_millis(1));
                }
            }
            Some(more) => *more -= 1,
            None => {}
        }
    }
}

fn has(message: &[u8], words: &str) -> bool {
    message.windows(words.len()).any(|text| text == words.as_bytes())
}

/// Copies both ways, in threads of their own.
fn pass_on(client: TcpStream, server: UnixStream, state: &Arc<State>) {
    client.set_nodelay(true).unwrap();
    // What is to happen to the next answer of the server.
    let answer: Arc<Mutex<Option<Fault>>> = Arc::default();
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut to_client, mut from_server) = (client, server);
    let (state, expected, stuck) = (Arc::clone(state), Arc::clone(&answer), Arc::clone(state));
    thread::spawn(move || {
        let (mut buffer, mut left) = (vec![0; 1 << 16], None);
        while let Ok(length @ 1..) = from_client.read(&mut buffer) {
            state.hold(&buffer[..length], &mut left);
            if let Some(fault) = state.fault_of(&buffer[..length]) {
                if fault == Fault::CutBefore {
                    break;
                }
                *expected.lock().unwrap() = Some(fault);
            }
            state.wait();
            if to_server.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = from_client.shutdown(Shutdown::Both);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer) {
            let fault = answer.lock().unwrap().take();
            match fault {
                Some(Fault::CutBefore | Fault::CutAfter) => break,
                Some(Fault::Swallow) => continue,
                Some(Fault::Delay(time)) => pause(time),
                None => {}
            }
            stuck.wait();
            if to_client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = from_server.shutdown(Shutdown::Both);
    });
}
