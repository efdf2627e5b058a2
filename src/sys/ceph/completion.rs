//! Reads and writes that go on by themselves.
//!
//! What an operation needs (its data, where its outcome goes) lies in a box that belongs to librbd from the start of the
//! operation to its end, when librbd calls `completed` on a thread of its own.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::ptr::null_mut;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::check;
use super::library::{Completion, Functions};

/// The outcome of a read or a write. Dropping it stops waiting, not the operation.
pub(crate) struct Pending<T> {
    outcome: oneshot::Receiver<io::Result<T>>,
}

impl<T> Pending<T> {
    /// Waits for the outcome, on a thread that may block.
    ///
    /// # Errors
    /// That of the operation.
    pub(crate) fn wait(self) -> io::Result<T> {
        self.outcome.blocking_recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

impl<T> Future for Pending<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = Pin::new(&mut self.outcome).poll(context);
        outcome.map(|outcome| outcome.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())))
    }
}

/// The number of operations of an image that librbd has not ended.
#[derive(Default)]
pub(super) struct InFlight {
    count: Mutex<usize>,
    ended: Condvar,
}

impl InFlight {
    /// Waits until there is none.
    pub(super) fn wait(&self) {
        let mut count = self.lock();
        while *count > 0 {
            count = self.ended.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn begin(&self) {
        *self.lock() += 1;
    }

    fn end(&self) {
        *self.lock() -= 1;
        self.ended.notify_all();
    }

    /// No code that can panic runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct InFlightOperation {
    functions: &'static Functions,
    in_flight: Arc<InFlight>,
    kind: Kind,
}

enum Kind {
    Write {
        /// Where librbd takes the data from.
        _pieces: Vec<Bytes>,
        outcome: oneshot::Sender<io::Result<()>>,
    },
    Read {
        /// Where librbd puts the data: within the capacity, nothing of it is initialised.
        buffer: Vec<u8>,
        outcome: oneshot::Sender<io::Result<Bytes>>,
    },
}

pub(super) fn start_write(
    functions: &'static Functions,
    image: *mut c_void,
    in_flight: &Arc<InFlight>,
    offset: u64,
    pieces: Vec<Bytes>,
) -> io::Result<Pending<()>> {
    let vector: Vec<libc::iovec> = pieces
        .iter()
        .map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() })
        .collect();
    let count = c_int::try_from(vector.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (told, outcome) = oneshot::channel();
    let kind = Kind::Write { _pieces: pieces, outcome: told };
    start(functions, in_flight, kind, |completion| {
        // SAFETY: the image is open and waits for its operations before it closes. The vector is only read during the call,
        // and only as far as `count` says; the data it names is read, never written, and lies in the operation's box until
        // the end of the operation.
        unsafe { (functions.rbd_aio_writev)(image, vector.as_ptr(), count, offset, completion) }
    })?;
    Ok(Pending { outcome })
}

pub(super) fn start_read(
    functions: &'static Functions,
    image: *mut c_void,
    in_flight: &Arc<InFlight>,
    offset: u64,
    length: usize,
) -> io::Result<Pending<Bytes>> {
    let (told, outcome) = oneshot::channel();
    let mut buffer = Vec::<u8>::with_capacity(length);
    let place = buffer.as_mut_ptr();
    start(functions, in_flight, Kind::Read { buffer, outcome: told }, |completion| {
        // SAFETY: the image is open and waits for its operations before it closes. `place` has room for `length` bytes and
        // lies, through the operation's box, untouched until the end of the operation.
        unsafe { (functions.rbd_aio_read)(image, offset, length, place.cast(), completion) }
    })?;
    Ok(Pending { outcome })
}

fn start(
    functions: &'static Functions,
    in_flight: &Arc<InFlight>,
    kind: Kind,
    call: impl FnOnce(Completion) -> c_int,
) -> io::Result<()> {
    let operation = Box::into_raw(Box::new(InFlightOperation { functions, in_flight: Arc::clone(in_flight), kind }));
    // SAFETY: the box has just been given up and belongs to nobody yet.
    let take_back = || drop(unsafe { Box::from_raw(operation) });
    let mut completion = null_mut();
    // SAFETY: the call only notes its arguments, and writes a handle to the place it is given.
    let made = unsafe { (functions.rbd_aio_create_completion)(operation.cast(), completed, &raw mut completion) };
    if let Err(error) = check(made) {
        take_back();
        return Err(error);
    }
    in_flight.begin();
    if let Err(error) = check(call(completion)) {
        // SAFETY: an operation that could not be started never ends, so the completion is still ours.
        unsafe { (functions.rbd_aio_release)(completion) };
        take_back();
        in_flight.end();
        return Err(error);
    }
    Ok(())
}

/// What librbd calls at the end of an operation. Should anything in it panic, the process is aborted: that is what Rust does
/// where a panic would go on into C.
extern "C" fn completed(completion: Completion, argument: *mut c_void) {
    // SAFETY: the argument is the box that `start` gave up for this operation, which ends once.
    let operation = unsafe { Box::from_raw(argument.cast::<InFlightOperation>()) };
    let InFlightOperation { functions, in_flight, kind } = *operation;
    // SAFETY: the completion is that of the operation, which has ended.
    let answer = unsafe { (functions.rbd_aio_get_return_value)(completion) };
    // SAFETY: as above, and nobody uses it after this.
    unsafe { (functions.rbd_aio_release)(completion) };
    let count = usize::try_from(answer)
        .map_err(|_| io::Error::from_raw_os_error(i32::try_from(answer.saturating_neg()).unwrap_or(libc::EIO)));
    // Nobody listens any more where the other end was dropped.
    match kind {
        Kind::Write { outcome, .. } => drop(outcome.send(count.map(|_| ()))),
        Kind::Read { mut buffer, outcome } => drop(outcome.send(count.map(|count| {
            let count = count.min(buffer.capacity());
            // SAFETY: librbd has initialised as many bytes as it says, which are at most those it was asked for, within the
            // capacity.
            unsafe { buffer.set_len(count) };
            Bytes::from(buffer)
        }))),
    }
    // From here on the image may be closed.
    in_flight.end();
}
