//! The blocking half of a write: what happens on the store's threads.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::super::StoreError;
use super::super::context::Kept;
use super::super::pool::Pool;
use super::super::strand::Consumer;
use super::super::writer::{Message, Published};
use super::super::zeros::is_zero;
use super::cluster::Connection;
use super::{SNAPSHOT, removal};
use crate::sys::ceph::{CephPool, Image, Pending};

/// Data is gathered into writes of this much, counted from the image's start: with the usual objects of 8 MiB no write goes to
/// two of them. Together with `IN_FLIGHT` it bounds the memory of an upload.
const PIECE: u64 = 4 * 1024 * 1024;

/// What comes in parts smaller than this is copied together: the handles of a million parts weigh more than their data.
const SMALL: usize = 4096;

/// Writes under way.
const IN_FLIGHT: usize = 4;

/// An image grows with its data, by at most this much at a time: one of a terabyte that never came would take minutes to remove.
const GROWTH: u64 = 8 * 1024 * 1024 * 1024;

/// Where an image is written.
#[derive(Clone)]
pub(super) struct ImageAddress {
    pub(super) connection: Arc<Connection>,
    pub(super) pool: Arc<CephPool>,
    pub(super) name: String,
    /// Of the image that was made for this write.
    pub(super) id: String,
    pub(super) threads: Arc<Pool>,
}

/// An image being written. As long as it has no snapshot it is nobody's: readers look for the snapshot, and recovery removes
/// the image.
pub(super) struct Recording {
    /// `None` once it is committed or undone.
    image: Option<Image>,
    target: ImageAddress,
    /// Whether zeros are left out.
    thin: bool,
    /// Bytes announced; 0 when unknown.
    announced: u64,
    /// Bytes that the image has room for.
    room: u64,
    /// Bytes by which it grew last.
    growth: u64,
    /// Bytes written, or under way.
    end: u64,
    /// What comes next, less than a piece.
    gathered: Vec<Bytes>,
    /// Small parts that come after `gathered`.
    small: Vec<u8>,
    /// Bytes of both.
    gathered_length: u64,
    in_flight: VecDeque<Pending<()>>,
    /// Goes when nothing is left of a write that was given up.
    kept: Kept,
}

impl Recording {
    /// For an image that was made with [`Self::first_room`] bytes, in objects of `chunk` bytes.
    pub(super) fn new(image: Image, target: ImageAddress, thin: bool, announced: u64, chunk: u64, kept: Kept) -> Self {
        Self {
            image: Some(image),
            target,
            thin,
            announced,
            room: Self::first_room(announced),
            growth: if announced == 0 { chunk } else { GROWTH },
            end: 0,
            gathered: Vec::new(),
            small: Vec::new(),
            gathered_length: 0,
            in_flight: VecDeque::with_capacity(IN_FLIGHT),
            kept,
        }
    }

    /// The size with which to make an image.
    pub(super) fn first_room(announced: u64) -> u64 {
        announced.min(GROWTH)
    }

    fn work_on(&mut self, messages: VecDeque<Message>) -> Result<(), StoreError> {
        for message in messages {
            match message {
                Message::Data(data) => self.take(data)?,
                Message::Flush => self.write()?,
                Message::Commit(reply) => {
                    let committed = self.commit();
                    // When nobody waits any more, the answer is dropped and with it the image.
                    let _ = reply.send(committed.map_err(|error| self.undone(error)));
                }
                Message::Abort(reply) => {
                    let _ = reply.send(self.undo());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, mut data: Bytes) -> Result<(), StoreError> {
        while !data.is_empty() {
            let missing = PIECE - (self.end + self.gathered_length) % PIECE;
            let part = data.split_to(data.len().min(usize::try_from(missing).unwrap_or(usize::MAX)));
            self.gathered_length += part.len() as u64;
            if part.len() < SMALL {
                self.small.extend_from_slice(&part);
            } else {
                self.close_small();
                self.gathered.push(part);
            }
            if (self.end + self.gathered_length).is_multiple_of(PIECE) {
                self.write()?;
            }
        }
        Ok(())
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.gathered.push(std::mem::take(&mut self.small).into());
        }
    }

    /// Starts to write what is gathered, when a place in flight is free.
    fn write(&mut self) -> Result<(), StoreError> {
        self.close_small();
        let pieces = std::mem::take(&mut self.gathered);
        let start = self.end;
        self.end += std::mem::take(&mut self.gathered_length);
        if pieces.is_empty() || self.thin && pieces.iter().all(|piece| is_zero(piece)) {
            return Ok(());
        }
        self.grow()?;
        while self.in_flight.len() >= IN_FLIGHT {
            self.wait_for_oldest()?;
        }
        let written = self.image()?.write(start, pieces).map_err(|error| self.fault(error))?;
        self.in_flight.push_back(written);
        Ok(())
    }

    /// Sees that the image has room up to `end`.
    fn grow(&mut self) -> Result<(), StoreError> {
        while self.room < self.end {
            self.growth = self.growth.saturating_mul(2).min(GROWTH);
            let most = if self.announced == 0 { u64::MAX } else { self.announced };
            let room = self.room.saturating_add(self.growth).min(most);
            self.image()?.resize(room).map_err(|error| self.fault(error))?;
            self.room = room;
        }
        Ok(())
    }

    fn wait_for_oldest(&mut self) -> Result<(), StoreError> {
        self.in_flight.pop_front().map_or(Ok(()), Pending::wait).map_err(|error| self.fault(error))
    }

    fn commit(&mut self) -> Result<Published, StoreError> {
        self.write()?;
        while !self.in_flight.is_empty() {
            self.wait_for_oldest()?;
        }
        let image = self.image()?;
        let finish = || {
            if self.room != self.end {
                image.resize(self.end)?;
            }
            image.flush()?;
            image.create_snapshot(SNAPSHOT)?;
            image.protect_snapshot(SNAPSHOT)
        };
        finish().map_err(|error| self.fault(error))?;
        self.image = None;
        let ImageAddress { connection, pool, name, id, threads } = self.target.clone();
        let kept = self.kept.clone();
        Ok(Published::new(threads, move || {
            if let Err(error) = removal::remove_written(&connection, &pool, &name, SNAPSHOT, &id) {
                tracing::error!(image = name, %error, "cannot remove image data that nobody waited for");
            }
            drop(kept);
        }))
    }

    /// Removes the image, unless that is done or it is committed.
    fn undo(&mut self) -> Result<(), StoreError> {
        let Some(image) = self.image.take() else { return Ok(()) };
        self.in_flight.clear();
        self.gathered.clear();
        drop(image);
        let ImageAddress { connection, pool, name, id, .. } = &self.target;
        match removal::remove_written(connection, pool, name, SNAPSHOT, id) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => {
                tracing::error!(image = name, %error, "cannot remove what was written of an image");
                Err(StoreError::LeftBehind(Box::new(error)))
            }
        }
    }

    /// What to say of a failed write, once it is undone as far as may be.
    fn undone(&mut self, failure: StoreError) -> StoreError {
        if self.undo().is_ok() { failure } else { StoreError::LeftBehind(Box::new(failure)) }
    }

    fn image(&self) -> Result<&Image, StoreError> {
        self.image.as_ref().ok_or_else(|| self.fault(io::ErrorKind::NotConnected.into()))
    }

    fn fault(&self, error: io::Error) -> StoreError {
        self.target.connection.writing(format!("writing the image {}", self.target.name), error)
    }
}

impl Consumer for Recording {
    type Message = Message;
    type Error = StoreError;

    fn consume(&mut self, messages: VecDeque<Message>) -> Result<(), StoreError> {
        self.work_on(messages).map_err(|error| self.undone(error))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Recovery tries again where this fails.
        let _ = self.undo();
    }
}
