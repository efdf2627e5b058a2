//! A web server whose files are made up by their names.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::pause;

/// Bytes that are sent at a time.
const PIECE: usize = 64 * 1024;

/// A web server whose files are made up by their names: `/<seed>-<size>`. It knows no ranges.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) knobs: Arc<Knobs>,
}

#[derive(Default)]
pub(crate) struct Knobs {
    /// Times that data was asked for.
    pub(crate) reads: AtomicUsize,
    /// The last byte is not what it was.
    pub(crate) lies: AtomicBool,
    /// The first byte is not what it was.
    pub(crate) lies_early: AtomicBool,
    /// Microseconds between two pieces.
    pub(crate) pause: AtomicU64,
    /// This many answers end in the middle.
    pub(crate) breaks: AtomicUsize,
    /// Whoever asks for data waits for the answer.
    pub(crate) is_silent: AtomicBool,
}

impl Knobs {
    /// Until the next piece may go. What is set meanwhile counts.
    fn wait(&self) {
        const LOOK: Duration = Duration::from_millis(20);
        let start = Instant::now();
        loop {
            let time = Duration::from_micros(self.pause.load(Ordering::SeqCst));
            match time.checked_sub(start.elapsed()) {
                Some(left) => pause(left.min(LOOK)),
                None => return,
            }
        }
    }
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let knobs = Arc::new(Knobs::default());
        let shared = Arc::clone(&knobs);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let knobs = Arc::clone(&shared);
                std::thread::spawn(move || answer(connection, &knobs));
            }
        });
        Self { address, knobs }
    }

    pub(crate) fn reads(&self) -> usize {
        self.knobs.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn slow_down(&self, time: Duration) {
        self.knobs.pause.store(u64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

/// Who wants no more of it may go.
fn answer(mut connection: TcpStream, knobs: &Knobs) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let (mut first, mut line) = (String::new(), String::new());
    reader.read_line(&mut first).ok()?;
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let (method, rest) = first.split_once(' ')?;
    let (seed, size) = rest.strip_prefix('/')?.split(' ').next()?.split_once('-')?;
    let mut data = pattern(seed.parse().ok()?, size.parse().ok()?);
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", data.len());
    if method == "HEAD" {
        return connection.write_all(head.as_bytes()).ok();
    }
    knobs.reads.fetch_add(1, Ordering::SeqCst);
    while knobs.is_silent.load(Ordering::SeqCst) {
        pause(Duration::from_millis(20));
    }
    connection.write_all(head.as_bytes()).ok()?;
    if knobs.lies.load(Ordering::SeqCst) {
        *data.last_mut()? ^= 1;
    }
    if knobs.lies_early.load(Ordering::SeqCst) {
        *data.first_mut()? ^= 1;
    }
    for (number, piece) in data.chunks(PIECE).enumerate() {
        if number == data.len() / PIECE / 2
            && knobs.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            return None;
        }
        connection.write_all(piece).ok()?;
        knobs.wait();
    }
    Some(())
}

pub(crate) fn pattern(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut data = Vec::with_capacity(size + 8);
    while data.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&state.to_be_bytes());
    }
    data.truncate(size);
    data
}
