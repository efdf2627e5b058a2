use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::yield_now;
use tokio::time::sleep;

use super::*;

#[tokio::test]
async fn few_run_at_a_time_and_a_panic_frees_its_place() {
    let pool = Pool::new(TaskTracker::new());
    pool.set_limit(2);
    let (open, ran) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    for number in 0..5 {
        let (open, ran) = (Arc::clone(&open), Arc::clone(&ran));
        let work = move |_| async move {
            open.notified().await;
            ran.fetch_add(1, Ordering::SeqCst);
            assert_ne!(number, 1, "of the test");
        };
        pool.submit(&number.to_string(), work).unwrap();
    }
    yield_now().await;
    assert_eq!(pool.counts(), (2, 3));
    assert_eq!(pool.ids(), ["0", "1", "2", "3", "4"]);
    pool.give_up("4");
    for left in (0..4).rev() {
        open.notify_one();
        while pool.ids().len() > left {
            yield_now().await;
        }
    }
    assert_eq!((pool.counts(), ran.load(Ordering::SeqCst)), ((0, 0), 4));
}

#[tokio::test]
async fn a_task_that_is_given_up_is_told() {
    let pool = Pool::new(TaskTracker::new());
    let work = |turn| async move {
        let Turn::Begin(token) = turn else { panic!("{turn:?}") };
        token.cancelled().await;
    };
    pool.submit("a", work).unwrap();
    pool.give_up("a");
    while !pool.ids().is_empty() {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_task_whose_lease_is_not_renewed_in_time_is_given_up() {
    assert!(HELD < LEASE, "another host would be first");
    const SHORT: Duration = Duration::from_millis(100);
    let pool = || Pool::holding(TaskTracker::new(), SHORT);
    let submit = |pool: &Arc<Pool>| {
        let work = |turn| async move {
            let Turn::Begin(token) = turn else { panic!("{turn:?}") };
            token.cancelled().await;
        };
        pool.submit("a", work).unwrap();
    };
    let (late, renewed) = (pool(), pool());
    submit(&renewed);
    renewed.renewed(Instant::now() + LEASE);
    sleep(SHORT * 3).await;
    assert_eq!(renewed.ids(), ["a"]);
    // Its row is younger than the last renewal.
    let begun = Instant::now();
    submit(&late);
    while !late.ids().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_waits_stays_until_the_leases_are_renewed_again() {
    const SHORT: Duration = Duration::from_millis(100);
    let pool = Pool::holding(TaskTracker::new(), SHORT);
    let begun = Arc::new(AtomicUsize::new(0));
    for id in ["running", "waiting", "last"] {
        let begun = Arc::clone(&begun);
        let work = move |turn| async move {
            let Turn::Begin(token) = turn else { panic!("{turn:?}") };
            begun.fetch_add(1, Ordering::SeqCst);
            token.cancelled().await;
        };
        pool.submit(id, work).unwrap();
    }
    pool.renewed(Instant::now());
    while pool.counts().0 > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((begun.load(Ordering::SeqCst), pool.ids()), (1, vec!["waiting".to_owned(), "last".to_owned()]));
    pool.set_limit(2);
    assert_eq!(pool.counts(), (0, 2));
    pool.renewed(Instant::now() + LEASE);
    assert_eq!(pool.counts(), (2, 0));
    while begun.load(Ordering::SeqCst) < 3 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_task_that_could_not_be_begun_gets_another_turn_when_leases_are_renewed() {
    let pool = Pool::new(TaskTracker::new());
    let (turns, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let begin = {
        let (turns, told) = (Arc::clone(&turns), Arc::clone(&told));
        move || -> Work {
            let (turns, told) = (Arc::clone(&turns), Arc::clone(&told));
            Box::new(move |turn| {
                Box::pin(async move {
                    match turn {
                        Turn::Begin(_) => turns.fetch_add(1, Ordering::SeqCst),
                        Turn::Never => told.fetch_add(1, Ordering::SeqCst),
                    };
                    Ended::Over
                })
            })
        }
    };
    let away = |work: Work, turns: &Arc<AtomicUsize>| {
        let turns = Arc::clone(turns);
        move |turn| async move {
            assert!(matches!(turn, Turn::Begin(_)));
            turns.fetch_add(1, Ordering::SeqCst);
            Ended::Unbegun(work)
        }
    };
    let settled = async |turned: usize, counts: (usize, usize)| {
        while (turns.load(Ordering::SeqCst), pool.counts()) != (turned, counts) {
            yield_now().await;
        }
    };
    pool.submit("first", away(begin(), &turns)).unwrap();
    settled(1, (0, 1)).await;
    // Nobody else is tried meanwhile, and keeps its place.
    pool.submit("second", away(begin(), &turns)).unwrap();
    assert_eq!((pool.counts(), pool.ids()), ((0, 2), vec!["first".to_owned(), "second".to_owned()]));
    pool.renewed(Instant::now());
    settled(3, (0, 1)).await;
    pool.close();
    while told.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    pool.submit("late", away(begin(), &turns)).unwrap();
    assert_eq!(pool.counts(), (0, 0));
}

#[tokio::test]
async fn what_waits_when_the_worker_ends_never_begins_and_is_told() {
    let tracker = TaskTracker::new();
    let pool = Pool::new(tracker.clone());
    let (open, told) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
    let submit = |name: &'static str| {
        let (open, told) = (Arc::clone(&open), Arc::clone(&told));
        let work = move |turn| async move {
            if matches!(turn, Turn::Begin(_)) {
                open.notified().await;
            }
            told.lock().unwrap().push((name, matches!(turn, Turn::Begin(_))));
            assert_ne!(name, "second", "of the test");
        };
        pool.submit(name, work).unwrap();
    };
    for name in ["first", "second", "third"] {
        submit(name);
    }
    pool.close();
    assert!(!pool.has_room());
    submit("late");
    assert_eq!(pool.counts(), (1, 0));
    open.notify_one();
    tracker.close();
    tracker.wait().await;
    let mut told = told.lock().unwrap().clone();
    told.sort_unstable();
    assert_eq!(told, [("first", true), ("late", false), ("second", false), ("third", false)]);
}

#[tokio::test]
async fn not_all_may_wait() {
    let pool = Pool::new(TaskTracker::new());
    for number in 0..=MOST_WAITING {
        pool.submit(&number.to_string(), |_| pending::<()>()).unwrap();
    }
    assert!(!pool.has_room());
    assert!(matches!(pool.submit("more", |_| pending::<()>()), Err(Error::Full)));
    pool.set_limit(2);
    assert!(pool.has_room());
}
