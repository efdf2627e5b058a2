//! Those who want something from the database and wait until another one gets a connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::model::ImageRecord;

/// Those who want an image; `None` where there is none.
pub(super) type ImageReaders = Gathering<Option<Box<ImageRecord>>>;

/// How many are served by one query.
pub(super) const MOST: usize = 32;

/// Of those who gather, some *lead*: they are in line for a connection, and whoever gets one asks for those who do not lead, too.
pub(super) struct Gathering<T>(Mutex<State<T>>);

struct State<T> {
    /// How many lead.
    leads: usize,
    waiting: VecDeque<Waiting<T>>,
}

/// One who waits for the query of one who leads.
pub(super) struct Waiting<T> {
    /// The id of what it wants.
    pub(super) id: String,
    pub(super) told: oneshot::Sender<Told<T>>,
}

/// What becomes of somebody who waits. If the sender is dropped, because a query has failed, it has to ask for itself.
pub(super) enum Told<T> {
    /// It is to get in line for a connection, for itself and for others.
    Lead(Lead<T>),
    Found(T),
}

/// The part of one who leads, for as long as it is in line. When it is dropped, whoever came last leads, if that is needed: it gets in at
/// the end of the line, while those who came before are the first to be taken along.
pub(super) struct Lead<T> {
    gathering: Arc<Gathering<T>>,
    /// False if whoever it was sent to has gone away: then there is nothing to give back.
    is_held: bool,
}

impl<T> Default for Gathering<T> {
    fn default() -> Self {
        Self(Mutex::new(State { leads: 0, waiting: VecDeque::new() }))
    }
}

impl<T> State<T> {
    /// Whether more wait than those who lead will take along.
    fn needs_lead(&self, waiting: usize) -> bool {
        waiting > self.leads.saturating_mul(MOST - 1)
    }
}

impl<T> Gathering<T> {
    /// The caller leads, or waits for what it is told.
    pub(super) fn join(self: &Arc<Self>, id: &str) -> Result<Lead<T>, oneshot::Receiver<Told<T>>> {
        let mut state = self.state();
        if state.needs_lead(state.waiting.len() + 1) {
            state.leads += 1;
            return Ok(Lead { gathering: Arc::clone(self), is_held: true });
        }
        let (told, receiver) = oneshot::channel();
        state.waiting.push_back(Waiting { id: id.to_owned(), told });
        Err(receiver)
    }

    /// Those who have waited longest, as many as fit into one query beside the caller.
    pub(super) fn take(&self) -> Vec<Waiting<T>> {
        let mut state = self.state();
        let mut taken = Vec::new();
        while taken.len() < MOST - 1
            && let Some(next) = state.waiting.pop_front()
        {
            if !next.told.is_closed() {
                taken.push(next);
            }
        }
        taken
    }

    #[cfg(test)]
    pub(super) fn leads(&self) -> usize {
        self.state().leads
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        while self.is_held {
            self.is_held = false;
            let next = {
                let mut state = self.gathering.state();
                state.leads -= 1;
                let next = if state.needs_lead(state.waiting.len()) { state.waiting.pop_back() } else { None };
                state.leads += usize::from(next.is_some());
                next
            };
            let Some(next) = next else { return };
            let lead = Self { gathering: Arc::clone(&self.gathering), is_held: true };
            if let Err(Told::Lead(mut lead)) = next.told.send(Told::Lead(lead)) {
                lead.is_held = false;
                self.is_held = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Arc<Gathering<u32>>;

    fn wait(numbers: &Numbers, id: &str) -> oneshot::Receiver<Told<u32>> {
        match numbers.join(id) {
            Ok(_) => panic!("{id} leads"),
            Err(receiver) => receiver,
        }
    }

    fn ids(taken: &[Waiting<u32>]) -> Vec<&str> {
        taken.iter().map(|waiting| waiting.id.as_str()).collect()
    }

    #[test]
    fn the_first_leads_and_the_others_are_taken_along() {
        let numbers = Numbers::default();
        let Ok(lead) = numbers.join("first") else { panic!() };
        let (mut second, gone, third) = (wait(&numbers, "2"), wait(&numbers, "gone"), wait(&numbers, "3"));
        drop(gone);
        let taken = numbers.take();
        assert_eq!(ids(&taken), ["2", "3"]);
        for waiting in taken {
            assert!(waiting.told.send(Told::Found(7)).is_ok());
        }
        assert!(matches!(second.try_recv(), Ok(Told::Found(7))));
        drop((lead, third));
        assert_eq!((numbers.leads(), numbers.waiting()), (0, 0));
        assert!(numbers.join("next").is_ok());
    }

    #[test]
    fn who_came_last_leads_next() {
        let numbers = Numbers::default();
        let Ok(lead) = numbers.join("first") else { panic!() };
        let (mut second, mut third) = (wait(&numbers, "2"), wait(&numbers, "3"));
        let gone = wait(&numbers, "gone");
        drop(gone);
        drop(lead);
        let Ok(Told::Lead(lead)) = third.try_recv() else { panic!() };
        assert!(second.try_recv().is_err());
        assert_eq!((numbers.leads(), numbers.waiting()), (1, 1));
        drop(lead);
        // Nobody looks at what it was told.
        drop(second);
        assert_eq!((numbers.leads(), numbers.waiting()), (0, 0));
    }

    #[test]
    fn as_many_lead_as_it_takes() {
        let numbers = Numbers::default();
        let (mut leads, mut receivers) = (Vec::new(), Vec::new());
        for number in 0..3 * MOST {
            match numbers.join(&number.to_string()) {
                Ok(lead) => leads.push(lead),
                Err(receiver) => receivers.push(receiver),
            }
        }
        assert_eq!((leads.len(), numbers.waiting()), (3, 3 * (MOST - 1)));
        assert_eq!(numbers.take().len(), MOST - 1);
        // The others suffice.
        drop(leads.pop());
        assert_eq!((numbers.leads(), numbers.waiting()), (2, 2 * (MOST - 1)));
        drop(leads.pop());
        assert_eq!((numbers.leads(), numbers.waiting()), (2, 2 * (MOST - 1) - 1));
    }
}
