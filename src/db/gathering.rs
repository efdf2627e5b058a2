//! Those who want something from the database and have no connection yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::model::ImageRecord;

/// Those who want an image; `None` where there is none.
pub(super) type ImageReaders = Gathering<Option<Box<ImageRecord>>>;

/// Of those who gather, one at a time leads: it asks for all others, and tells them what was found.
pub(super) struct Gathering<T>(Mutex<State<T>>);

struct State<T> {
    /// There is a [`Lead`].
    is_led: bool,
    waiting: VecDeque<Waiting<T>>,
}

/// One who waits.
pub(super) struct Waiting<T> {
    /// Of what it wants.
    pub(super) id: String,
    pub(super) told: oneshot::Sender<Told<T>>,
}

/// What becomes of somebody who waits. One who is told nothing asks alone.
pub(super) enum Told<T> {
    Lead(Lead<T>),
    Found(T),
}

/// The duty to ask for those who wait. There is one at a time; the next one has it when it is dropped.
pub(super) struct Lead<T> {
    gathering: Arc<Gathering<T>>,
    /// Nobody else has it.
    is_held: bool,
}

impl<T> Default for Gathering<T> {
    fn default() -> Self {
        Self(Mutex::new(State { is_led: false, waiting: VecDeque::new() }))
    }
}

impl<T> Gathering<T> {
    /// The lead, or where one is told.
    pub(super) fn join(self: &Arc<Self>, id: &str) -> Result<Lead<T>, oneshot::Receiver<Told<T>>> {
        let mut state = self.state();
        if !state.is_led {
            state.is_led = true;
            return Ok(Lead { gathering: Arc::clone(self), is_held: true });
        }
        let (told, hears) = oneshot::channel();
        state.waiting.push_back(Waiting { id: id.to_owned(), told });
        Err(hears)
    }

    #[cfg(test)]
    pub(super) fn is_led(&self) -> bool {
        self.state().is_led
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lead<T> {
    /// Takes those who have waited longest.
    pub(super) fn take(&self, most: usize) -> Vec<Waiting<T>> {
        let mut state = self.gathering.state();
        let count = state.waiting.len().min(most);
        state.waiting.drain(..count).filter(|waiting| !waiting.told.is_closed()).collect()
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        while self.is_held {
            let next = {
                let mut state = self.gathering.state();
                let next = state.waiting.pop_front();
                state.is_led = next.is_some();
                next
            };
            self.is_held = false;
            let Some(next) = next else { return };
            let lead = Self { gathering: Arc::clone(&self.gathering), is_held: true };
            // It may have gone away.
            if let Err(Told::Lead(mut lead)) = next.told.send(Told::Lead(lead)) {
                lead.is_held = false;
                self.is_held = true;
            }
        }
    }
}
