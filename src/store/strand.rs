//! A strand: work that must happen in order, one piece at a time, on whichever thread of a pool is free.
//!
//! Each upload has three: its writer and its two digests. While the client is slow, a strand holds no thread at all; while
//! it is fast, one thread stays with it. So thousands of uploads need a handful of threads, and the memory of each is
//! bounded by its strands' capacity.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::pool::{Membership, Pool};

/// What a strand does with its messages.
pub(super) trait Consumer: Send + 'static {
    type Message: Send + 'static;
    type Error: Send + 'static;

    /// Does the messages' work in their order, on a thread of the pool. After an error the strand is over.
    fn consume(&mut self, messages: VecDeque<Self::Message>) -> Result<(), Self::Error>;
}

/// Bytes that all strands of a pool may hold together before each gets less than its capacity: a hundred uploads at a time do not
/// become faster by longer queues.
const BUDGET: usize = 2 * 1024 * 1024;

/// Bounds of a strand in bytes.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// A producer waits while this much is not yet done, or less where there are many strands.
    pub(super) capacity: usize,
    /// Work starts when this much has come: larger pieces, fewer wake-ups. At most the capacity.
    pub(super) batch: usize,
}

/// How a strand ended while its producer still had something to say.
#[derive(Debug, PartialEq)]
pub(super) enum Ended<E> {
    /// The consumer failed; told once.
    Failed(E),
    /// It got no thread; told once.
    NoThread,
    /// It failed and said so before, or panicked.
    Gone,
}

/// The producer's end. Dropping it throws away what is queued and drops the consumer on a thread of the pool, after the piece
/// under way.
pub(super) struct Strand<C: Consumer> {
    shared: Arc<Shared<C>>,
}

struct Shared<C: Consumer> {
    pool: Arc<Pool>,
    membership: Membership,
    limits: Limits,
    queue: Mutex<Queue<C>>,
    /// Taken only by the thread whose turn it is.
    consumer: Mutex<Option<C>>,
}

struct Queue<C: Consumer> {
    messages: VecDeque<C::Message>,
    /// Bytes queued.
    waiting: usize,
    /// Bytes in the hands of the consumer.
    working: usize,
    /// Work on what there is, however little.
    flush: bool,
    /// A turn is queued in the pool or under way.
    running: bool,
    over: Option<Ended<C::Error>>,
    producer: Option<Waker>,
}

#[expect(clippy::needless_pass_by_ref_mut, reason = "one producer at a time: there is room for one waker")]
impl<C: Consumer> Strand<C> {
    pub(super) fn new(pool: Arc<Pool>, limits: Limits, consumer: C) -> Self {
        let queue = Queue {
            messages: VecDeque::new(),
            waiting: 0,
            working: 0,
            flush: false,
            running: false,
            over: None,
            producer: None,
        };
        let (membership, queue, consumer) = (pool.join(), Mutex::new(queue), Mutex::new(Some(consumer)));
        Self { shared: Arc::new(Shared { pool, membership, limits, queue, consumer }) }
    }

    /// Waits until there is room for more.
    ///
    /// # Errors
    /// When the strand is over.
    pub(super) async fn room(&mut self) -> Result<(), Ended<C::Error>> {
        std::future::poll_fn(|context| self.poll_room(context)).await
    }

    fn poll_room(&mut self, context: &Context<'_>) -> Poll<Result<(), Ended<C::Error>>> {
        let mut queue = self.shared.lock();
        if let Some(over) = queue.over.as_mut() {
            return Poll::Ready(Err(std::mem::replace(over, Ended::Gone)));
        }
        if queue.waiting + queue.working < self.shared.capacity() {
            return Poll::Ready(Ok(()));
        }
        queue.producer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Waits until the strand is over, for a producer who has learned from a message's fate that it will be. The consumer lets go of
    /// its messages before the strand knows why it ended.
    pub(super) async fn end(&mut self) -> Ended<C::Error> {
        std::future::poll_fn(|context| {
            let mut queue = self.shared.lock();
            match queue.over.as_mut() {
                Some(over) => Poll::Ready(std::mem::replace(over, Ended::Gone)),
                None => {
                    queue.producer = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Queues a message of that many bytes, whether there is room or not (ask `room` before).
    pub(super) fn push(&mut self, message: C::Message, bytes: usize) {
        self.enqueue(message, bytes, false);
    }

    /// Queues a message and has all that is queued worked on at once.
    pub(super) fn push_last(&mut self, message: C::Message) {
        self.enqueue(message, 0, true);
    }

    fn enqueue(&mut self, message: C::Message, bytes: usize, flush: bool) {
        let mut queue = self.shared.lock();
        if queue.over.is_some() {
            return;
        }
        queue.messages.push_back(message);
        queue.waiting += bytes;
        queue.flush |= flush;
        self.start_if_due(queue);
    }

    /// Has what is queued worked on at once, however little.
    pub(super) fn flush(&mut self) {
        let mut queue = self.shared.lock();
        if queue.over.is_none() && !queue.messages.is_empty() {
            queue.flush = true;
            self.start_if_due(queue);
        }
    }

    fn start_if_due(&self, mut queue: MutexGuard<'_, Queue<C>>) {
        if !queue.running && (queue.flush || queue.waiting >= self.shared.limits.batch) {
            queue.running = true;
            drop(queue);
            Shared::schedule(&self.shared);
        }
    }
}

impl<C: Consumer> Drop for Strand<C> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        let thrown_away = std::mem::take(&mut queue.messages);
        let schedule = queue.over.is_none() && !queue.running;
        queue.over = Some(Ended::Gone);
        queue.running |= schedule;
        drop(queue);
        drop(thrown_away);
        if schedule {
            Shared::schedule(&self.shared);
        }
    }
}

impl<C: Consumer> Shared<C> {
    /// How much may be under way. Never less than a batch: work would not start.
    fn capacity(&self) -> usize {
        let share = BUDGET / self.membership.count().max(1);
        share.min(self.limits.capacity).max(self.limits.batch)
    }

    /// Asks the pool for a turn; without a thread the strand is over.
    fn schedule(shared: &Arc<Self>) {
        let turn = Arc::clone(shared);
        if shared.pool.submit(Box::new(move || Self::run(&turn))).is_err() {
            shared.end(Ended::NoThread);
        }
    }

    /// Works until too little is left or the strand is over; gives way to others of the pool between two batches.
    fn run(shared: &Arc<Self>) {
        let mut slot = shared.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queue = shared.lock();
        if queue.over.is_some() {
            drop(queue);
            *slot = None;
            return;
        }
        let messages = std::mem::take(&mut queue.messages);
        queue.working = std::mem::take(&mut queue.waiting);
        queue.flush = false;
        drop(queue);

        let outcome = slot.as_mut().map(|consumer| catch_unwind(AssertUnwindSafe(|| consumer.consume(messages))));
        let ended = match outcome {
            Some(Ok(Ok(()))) => None,
            Some(Ok(Err(error))) => Some(Ended::Failed(error)),
            Some(Err(_)) | None => Some(Ended::Gone),
        };
        if let Some(ended) = ended {
            // The consumer goes first: whoever hears of its end finds its work undone.
            *slot = None;
            drop(slot);
            shared.end(ended);
            return;
        }
        drop(slot);

        let mut queue = shared.lock();
        queue.working = 0;
        let producer = queue.producer.take();
        let again = queue.over.is_some() || queue.flush || queue.waiting >= shared.limits.batch;
        queue.running = again;
        drop(queue);
        if let Some(producer) = producer {
            producer.wake();
        }
        if again {
            Self::schedule(shared);
        }
    }

    fn end(&self, ended: Ended<C::Error>) {
        let mut queue = self.lock();
        queue.over.get_or_insert(ended);
        let thrown_away = std::mem::take(&mut queue.messages);
        let producer = queue.producer.take();
        drop(queue);
        drop(thrown_away);
        if let Some(producer) = producer {
            producer.wake();
        }
    }

    /// No code that can panic runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Queue<C>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Sum {
        numbers: Vec<u32>,
        dropped: Option<oneshot::Sender<std::thread::ThreadId>>,
    }

    enum Message {
        Add(u32),
        Tell(oneshot::Sender<Vec<u32>>),
        Wait(std::sync::mpsc::Receiver<()>),
        Fail,
        Panic,
    }

    impl Consumer for Sum {
        type Message = Message;
        type Error = &'static str;

        fn consume(&mut self, messages: VecDeque<Message>) -> Result<(), &'static str> {
            for message in messages {
                match message {
                    Message::Add(number) => self.numbers.push(number),
                    Message::Tell(reply) => drop(reply.send(self.numbers.clone())),
                    Message::Wait(signal) => signal.recv().unwrap(),
                    Message::Fail => return Err("failed"),
                    Message::Panic => panic!("on purpose"),
                }
            }
            Ok(())
        }
    }

    impl Drop for Sum {
        fn drop(&mut self) {
            if let Some(dropped) = self.dropped.take() {
                let _ = dropped.send(std::thread::current().id());
            }
        }
    }

    const LIMITS: Limits = Limits { capacity: 40, batch: 20 };

    async fn told(strand: &mut Strand<Sum>) -> Option<Vec<u32>> {
        let (reply, answer) = oneshot::channel();
        strand.push_last(Message::Tell(reply));
        answer.await.ok()
    }

    #[tokio::test]
    async fn messages_are_worked_on_in_order() {
        let mut strand = Strand::new(Pool::new("test", 4), LIMITS, Sum::default());
        for number in 0..5000 {
            strand.room().await.unwrap();
            strand.push(Message::Add(number), 3);
        }
        assert_eq!(told(&mut strand).await.unwrap(), (0..5000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_full_strand_makes_its_producer_wait() {
        let mut strand = Strand::new(Pool::new("test", 1), LIMITS, Sum::default());
        let (go, signal) = std::sync::mpsc::channel();
        strand.push(Message::Wait(signal), 40);
        let waited = tokio::time::timeout(Duration::from_millis(20), strand.room()).await;
        assert!(waited.is_err(), "there was room");
        go.send(()).unwrap();
        strand.room().await.unwrap();
    }

    #[tokio::test]
    async fn many_strands_share_a_budget() {
        let pool = Pool::new("test", 1);
        let limits = Limits { capacity: BUDGET / 2, batch: BUDGET / 16 };
        let strand = || Strand::new(Arc::clone(&pool), limits, Sum::default());
        let first = strand();
        assert_eq!(first.shared.capacity(), BUDGET / 2);
        let mut others: Vec<_> = (0..7).map(|_| strand()).collect();
        assert_eq!(first.shared.capacity(), BUDGET / 8);
        others.extend((0..92).map(|_| strand()));
        assert_eq!(first.shared.capacity(), limits.batch);
        drop(others);
        for _ in 0..1000 {
            if first.shared.capacity() == BUDGET / 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("strands that are gone still count");
    }

    #[tokio::test]
    async fn little_work_starts_no_thread() {
        let pool = Pool::new("test", 1);
        let mut strand = Strand::new(Arc::clone(&pool), LIMITS, Sum::default());
        strand.push(Message::Add(1), 19);
        assert_eq!(pool.usage(), 0);
        assert_eq!(told(&mut strand).await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn a_flush_leaves_nothing_waiting() {
        let pool = Pool::new("test", 1);
        let mut strand = Strand::new(Arc::clone(&pool), LIMITS, Sum::default());
        strand.flush();
        assert_eq!(pool.usage(), 0, "there was nothing to do");
        strand.push(Message::Add(1), 1);
        strand.flush();
        for _ in 0..1000 {
            if strand.shared.lock().messages.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(strand.shared.lock().messages.is_empty());
        assert_eq!(told(&mut strand).await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn an_error_is_told_once_and_ends_the_strand() {
        let mut strand = Strand::new(Pool::new("test", 1), LIMITS, Sum::default());
        strand.push(Message::Fail, 40);
        assert_eq!(strand.room().await, Err(Ended::Failed("failed")));
        assert_eq!(strand.room().await, Err(Ended::Gone));
        assert_eq!(told(&mut strand).await, None);
    }

    #[tokio::test]
    async fn a_panic_ends_the_strand_alone() {
        let pool = Pool::new("test", 1);
        let mut strand = Strand::new(Arc::clone(&pool), LIMITS, Sum::default());
        strand.push(Message::Panic, 40);
        assert_eq!(strand.room().await, Err(Ended::Gone));
        let mut other = Strand::new(pool, LIMITS, Sum::default());
        assert_eq!(told(&mut other).await.unwrap(), [0_u32; 0]);
    }

    #[tokio::test]
    async fn the_consumer_is_dropped_on_the_pool() {
        for queued in [0, 1] {
            let (dropped, where_dropped) = oneshot::channel();
            let consumer = Sum { numbers: Vec::new(), dropped: Some(dropped) };
            let mut strand = Strand::new(Pool::new("test", 1), LIMITS, consumer);
            for _ in 0..queued {
                strand.push(Message::Add(1), 30);
            }
            drop(strand);
            assert_ne!(where_dropped.await.unwrap(), std::thread::current().id());
        }
    }
}
