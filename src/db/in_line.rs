//! Questions that wait for a connection, and who asks the same meanwhile: one answer is for all of them. Whoever asks once the question
//! has left the line might miss what was written before, and is the first of the next ones.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot::{self, Receiver, Sender};

use super::images::list::query::ListQuery;
use super::model::ImageRecord;

/// Those who want a list while one of them is in line for it.
pub(super) type ListReaders = InLine<ListQuery, SharedList>;

/// Copied by each but the last who wants to have it; `None` if an image may have changed while it was read.
pub(super) type SharedList = Option<Arc<Vec<ImageRecord>>>;

/// The questions in line, and those who wait for the answer of the first who asked each.
#[derive(Debug)]
pub(super) struct InLine<Q, A>(Mutex<Waiting<Q, A>>);

type Waiting<Q, A> = HashMap<Arc<Q>, Vec<Sender<A>>>;

/// The first who asks a question. It leaves the line when this is dropped at the latest.
pub(super) struct First<Q: Hash + Eq, A> {
    line: Arc<InLine<Q, A>>,
    /// `None`: it has left.
    question: Option<Arc<Q>>,
    others: Vec<Sender<A>>,
}

impl<Q, A> Default for InLine<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Hash + Eq, A> InLine<Q, A> {
    /// The caller is the first, or is told the answer; the sender is dropped if there is none.
    pub(super) fn ask(self: &Arc<Self>, question: &Arc<Q>) -> Result<First<Q, A>, Receiver<A>> {
        let mut waiting = self.waiting();
        if let Some(others) = waiting.get_mut(question) {
            let (told, receiver) = oneshot::channel();
            others.push(told);
            return Err(receiver);
        }
        waiting.insert(Arc::clone(question), Vec::new());
        Ok(First { line: Arc::clone(self), question: Some(Arc::clone(question)), others: Vec::new() })
    }

    /// How many wait for an answer to this question; `None` if it is not in line.
    #[cfg(test)]
    pub(super) fn others(&self, question: &Q) -> Option<usize> {
        self.waiting().get(question).map(Vec::len)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Hash + Eq, A> First<Q, A> {
    /// From now on, nobody joins.
    pub(super) fn leave(&mut self) {
        if let Some(question) = self.question.take() {
            self.others = self.line.waiting().remove(&question).unwrap_or_default();
        }
    }

    /// Those who are to be told the answer, each once.
    pub(super) fn take_others(&mut self) -> impl Iterator<Item = Sender<A>> + use<Q, A> {
        let others = std::mem::take(&mut self.others);
        others.into_iter().filter(|other| !other.is_closed())
    }
}

impl<Q: Hash + Eq, A> Drop for First<Q, A> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Line = Arc<InLine<u32, &'static str>>;

    fn join(line: &Line, question: u32) -> Receiver<&'static str> {
        line.ask(&Arc::new(question)).err().unwrap()
    }

    #[test]
    fn who_asks_the_same_is_told_until_the_question_leaves() {
        let line = Line::default();
        let mut first = line.ask(&Arc::new(1)).ok().unwrap();
        let other = line.ask(&Arc::new(2)).ok().unwrap();
        let (mut told, gone) = (join(&line, 1), join(&line, 1));
        drop(gone);
        first.leave();
        let mut next = line.ask(&Arc::new(1)).ok().unwrap();
        let mut late = join(&line, 1);
        // Leaving twice takes nobody from the next ones.
        first.leave();
        let others: Vec<_> = first.take_others().collect();
        assert_eq!(others.len(), 1);
        assert!(others.into_iter().all(|other| other.send("answer").is_ok()));
        assert_eq!(told.try_recv(), Ok("answer"));
        assert!(late.try_recv().is_err());
        next.leave();
        assert_eq!(next.take_others().count(), 1);
        drop((first, other));
        assert_eq!((line.others(&1), line.others(&2)), (None, None));
    }

    #[test]
    fn nobody_waits_for_one_who_is_gone() {
        let line = Line::default();
        let first = line.ask(&Arc::new(1)).ok().unwrap();
        let mut other = join(&line, 1);
        drop(first);
        assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(line.ask(&Arc::new(1)).is_ok());
    }
}
