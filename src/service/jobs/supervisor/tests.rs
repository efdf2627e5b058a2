use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::super::job::Schedule;
use super::*;

/// No wait of these tests ends so late unless something is broken.
const NEVER: Duration = Duration::from_secs(20);
/// Long enough for what must not happen to show.
const MOMENT: Duration = Duration::from_millis(100);

/// The parts: what a job does at its runs, told apart by their number.
struct Parts {
    period: Option<Duration>,
    act: Act,
}

type Act = Box<dyn Fn(usize, CancellationToken) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// Notes when its runs began.
#[derive(Clone, Default)]
struct Probe {
    limit: Option<Duration>,
    after_reload: bool,
    begun: Arc<Mutex<Vec<Instant>>>,
}

impl Job<Parts> for Probe {
    const NAME: &'static str = "probe";

    fn schedule(&self, parts: &Parts) -> Schedule {
        Schedule { period: parts.period, after_reload: self.after_reload, limit: self.limit.unwrap_or(NEVER) }
    }

    async fn run(&self, parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        let number = {
            let mut begun = self.begun.lock().unwrap();
            begun.push(Instant::now());
            begun.len() - 1
        };
        (parts.act)(number, stop).await
    }
}

impl Probe {
    fn runs(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    async fn await_runs(&self, count: usize) {
        until(|| self.runs() >= count).await;
    }

    /// The pauses between the begins of its runs.
    fn pauses(&self) -> Vec<Duration> {
        self.begun.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    timeout(NEVER, async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

fn parts<F>(period: Option<Duration>, act: impl Fn(usize, CancellationToken) -> F + Send + Sync + 'static) -> Arc<Parts>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Arc::new(Parts { period, act: Box::new(move |number, stop| Box::pin(act(number, stop))) })
}

fn supervisor(parts: &Arc<Parts>) -> Supervisor<Parts> {
    let parts = Arc::clone(parts);
    Supervisor::new(move || Arc::clone(&parts), Arc::default())
}

fn millis(count: u64) -> Option<Duration> {
    Some(Duration::from_millis(count))
}

#[tokio::test]
async fn errors_and_panics_are_kept_from_others_and_tried_again() {
    let gate = Arc::new(Semaphore::new(0));
    let passed = Arc::clone(&gate);
    let parts = parts(millis(1), move |number, _| {
        let gate = Arc::clone(&passed);
        async move {
            gate.acquire().await?.forget();
            match number {
                0 => panic!("of a test"),
                1 => Err("out of order".into()),
                _ => Ok(()),
            }
        }
    });
    let supervisor = supervisor(&parts);
    let board = Arc::clone(&supervisor.context.board);
    let (probe, other) = (Probe::default(), Probe::default());
    supervisor.start(probe.clone());
    probe.await_runs(1).await;
    gate.add_permits(1);
    probe.await_runs(2).await;
    assert_eq!(board.line().unwrap(), "probe failed (it ended in a panic, which the log has)");
    gate.add_permits(1);
    probe.await_runs(3).await;
    assert_eq!(board.line().unwrap(), "probe failed 2 times (out of order)");
    gate.add_permits(1000);
    until(|| board.line().is_none()).await;
    // As number 0 it panics as well, and goes on as well.
    supervisor.start(other.clone());
    other.await_runs(4).await;
    supervisor.stop().await;
}

#[tokio::test]
async fn pauses_grow_while_it_fails_and_are_short_again_after_a_success() {
    let parts = parts(millis(10), |number, _| async move { if number < 6 { Err("down".into()) } else { Ok(()) } });
    let supervisor = supervisor(&parts);
    let probe = Probe::default();
    supervisor.start(probe.clone());
    probe.await_runs(8).await;
    supervisor.stop().await;
    let pauses = probe.pauses();
    for (failures, pause) in pauses.iter().take(6).enumerate() {
        let least = Duration::from_millis(9 << failures);
        assert!(*pause >= least, "{failures} failures before: {pause:?}, not {least:?}");
    }
    assert!(pauses[6] < Duration::from_millis(9 << 5), "{pauses:?}");
}

#[tokio::test]
async fn requests_before_a_run_are_one_and_requests_during_a_run_are_one_more() {
    let gate = Arc::new(Semaphore::new(0));
    let passed = Arc::clone(&gate);
    let parts = parts(None, move |_, _| {
        let gate = Arc::clone(&passed);
        async move {
            gate.acquire().await?.forget();
            Ok(())
        }
    });
    let supervisor = supervisor(&parts);
    let probe = Probe::default();
    let trigger = supervisor.start(probe.clone());
    sleep(MOMENT).await;
    assert_eq!(probe.runs(), 0, "nobody has asked for it");
    (0..5).for_each(|_| trigger.request());
    probe.await_runs(1).await;
    (0..5).for_each(|_| trigger.request());
    gate.add_permits(10);
    probe.await_runs(2).await;
    sleep(MOMENT).await;
    assert_eq!(probe.runs(), 2);
    supervisor.stop().await;
}

#[tokio::test]
async fn a_request_waits_out_the_pause_after_a_failure_and_a_reload_ends_it() {
    let parts = parts(None, |_, _| async { Err("down".into()) });
    let supervisor = supervisor(&parts);
    let probe = Probe::default();
    let trigger = supervisor.start(probe.clone());
    trigger.request();
    probe.await_runs(1).await;
    trigger.request();
    sleep(MOMENT).await;
    assert_eq!(probe.runs(), 1);
    supervisor.reloaded();
    probe.await_runs(2).await;
    supervisor.stop().await;
}

/// Runs when there is news.
struct Curious {
    probe: Probe,
    news: Arc<Notify>,
}

impl Job<Parts> for Curious {
    const NAME: &'static str = "curious";

    fn schedule(&self, parts: &Parts) -> Schedule {
        self.probe.schedule(parts)
    }

    async fn wanted(&self, _parts: Arc<Parts>) {
        self.news.notified().await;
    }

    async fn run(&self, parts: Arc<Parts>, stop: CancellationToken) -> Result<(), Failure> {
        self.probe.run(parts, stop).await
    }
}

#[tokio::test]
async fn a_job_runs_when_it_is_wanted_and_waits_out_its_pause_after_a_failure() {
    let parts = parts(None, |number, _| async move { if number == 1 { Err("down".into()) } else { Ok(()) } });
    let supervisor = supervisor(&parts);
    let (probe, news) = (Probe::default(), Arc::new(Notify::new()));
    supervisor.start(Curious { probe: probe.clone(), news: Arc::clone(&news) });
    sleep(MOMENT).await;
    assert_eq!(probe.runs(), 0, "there is no news");
    // A reload that it does not care for makes it wait anew, and nothing is lost by that.
    supervisor.reloaded();
    news.notify_one();
    probe.await_runs(1).await;
    news.notify_one();
    probe.await_runs(2).await;
    news.notify_one();
    sleep(MOMENT).await;
    assert_eq!(probe.runs(), 2);
    supervisor.stop().await;
}

#[tokio::test]
async fn a_reload_makes_those_run_that_want_to() {
    let parts = parts(None, |_, _| async { Ok(()) });
    let supervisor = supervisor(&parts);
    let (eager, other) = (Probe { after_reload: true, ..Probe::default() }, Probe::default());
    supervisor.start(eager.clone());
    supervisor.start(other.clone());
    supervisor.reloaded();
    eager.await_runs(1).await;
    sleep(MOMENT).await;
    assert_eq!((eager.runs(), other.runs()), (1, 0));
    supervisor.stop().await;
}

/// Set when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Parts with which no run ends by itself. `dropped`: becomes true when one is broken off.
fn endless(dropped: &Arc<AtomicBool>) -> Arc<Parts> {
    let noted = Arc::clone(dropped);
    parts(millis(1), move |_, _| {
        let guard = Dropped(Arc::clone(&noted));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
}

#[tokio::test]
async fn a_run_ends_at_its_limit() {
    let dropped = Arc::new(AtomicBool::new(false));
    let parts = endless(&dropped);
    let supervisor = supervisor(&parts);
    let board = Arc::clone(&supervisor.context.board);
    let probe = Probe { limit: millis(20), ..Probe::default() };
    supervisor.start(probe.clone());
    probe.await_runs(2).await;
    assert!(dropped.load(SeqCst));
    assert!(board.line().unwrap().contains("(it took longer than 20ms)"), "{:?}", board.line());
    supervisor.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_a_run_that_ends_and_not_for_one_that_is_due() {
    let finished = Arc::new(AtomicUsize::new(0));
    let noted = Arc::clone(&finished);
    let parts = parts(None, move |_, stop| {
        let finished = Arc::clone(&noted);
        async move {
            stop.cancelled().await;
            sleep(Duration::from_millis(50)).await;
            finished.fetch_add(1, SeqCst);
            Ok(())
        }
    });
    let supervisor = supervisor(&parts);
    let (running, waiting) = (Probe::default(), Probe::default());
    supervisor.start(running.clone()).request();
    let late = supervisor.start(waiting.clone());
    running.await_runs(1).await;
    timeout(NEVER, supervisor.stop()).await.unwrap();
    assert_eq!(finished.load(SeqCst), 1);
    late.request();
    sleep(MOMENT).await;
    assert_eq!((running.runs(), waiting.runs()), (1, 0));
}

#[tokio::test]
async fn a_run_that_does_not_stop_is_told_of_and_broken_off() {
    let dropped = Arc::new(AtomicBool::new(false));
    let parts = endless(&dropped);
    let patience = Patience { long: Duration::from_millis(5), stop: Duration::from_millis(30) };
    let board = Arc::new(Board::default());
    let supervisor = Supervisor::with_patience(move || Arc::clone(&parts), Arc::clone(&board), patience);
    supervisor.start(Probe::default());
    until(|| board.line().as_deref() == Some("probe is running")).await;
    assert!(!dropped.load(SeqCst));
    timeout(NEVER, supervisor.stop()).await.unwrap();
    assert!(dropped.load(SeqCst));
}

#[tokio::test]
async fn a_job_works_by_the_configuration_in_force() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let parts = |name: &'static str, period| {
        let seen = Arc::clone(&seen);
        parts(period, move |_, _| {
            seen.lock().unwrap().push(name);
            async { Ok(()) }
        })
    };
    let current = Arc::new(ArcSwap::from(parts("old", None)));
    let given = Arc::clone(&current);
    let supervisor = Supervisor::new(move || given.load_full(), Arc::default());
    let probe = Probe::default();
    supervisor.start(probe.clone()).request();
    probe.await_runs(1).await;
    sleep(MOMENT).await;
    current.store(parts("new", millis(1)));
    assert_eq!(probe.runs(), 1, "it runs when it is asked to");
    supervisor.reloaded();
    probe.await_runs(3).await;
    supervisor.stop().await;
    assert_eq!(seen.lock().unwrap()[..3], ["old", "new", "new"]);
}
