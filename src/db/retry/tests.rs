use std::sync::atomic::AtomicU32;

use sea_query::Query;
use tokio::sync::Notify;

use super::*;
use crate::config::{DatabaseSection, Secret};
use crate::db::row::Columns;

/// Fails as often as told, in the way told, then says how often it ran.
struct Flaky {
    runs: Arc<AtomicU32>,
    failures: u32,
    error: fn() -> DbError,
}

impl UnitOfWork for Flaky {
    type Output = u32;
    const NAME: &'static str = "flaky";

    async fn run(&self, _: &mut Session) -> Result<u32, DbError> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        if run <= self.failures { Err((self.error)()) } else { Ok(run) }
    }
}

fn busy() -> DbError {
    DbError::Contention { attempts: 1, source: sqlx::Error::WorkerCrashed.into() }
}

fn gone() -> DbError {
    DbError::Unreachable(sqlx::Error::WorkerCrashed.into())
}

fn lost() -> DbError {
    gone().of_commit()
}

async fn open() -> (tempfile::TempDir, Db) {
    let folder = tempfile::tempdir().unwrap();
    let connection = Some(Secret::from(format!("sqlite:///{}/glance.db", folder.path().display()).as_str()));
    let options = DatabaseSection { connection, ..DatabaseSection::default() };
    let db = Db::connect(&options).await.unwrap();
    (folder, db)
}

async fn run(failures: u32, error: fn() -> DbError) -> (u32, Result<u32, DbError>) {
    let (_folder, db) = open().await;
    let runs = Arc::new(AtomicU32::new(0));
    let result = db.write(Flaky { runs: Arc::clone(&runs), failures, error }).await;
    (runs.load(Ordering::SeqCst), result)
}

#[tokio::test]
async fn what_may_pass_is_tried_again_for_a_while() {
    assert!(matches!(run(4, busy).await, (5, Ok(5))));
    assert!(matches!(run(3, gone).await, (4, Ok(4))));
    assert!(matches!(run(u32::MAX, gone).await, (13, Err(DbError::Unreachable(_)))));
}

#[test]
fn use_db_reconnect_has_its_own_pauses() {
    let reconnects = |grows, most| {
        Reconnects::configured(&DatabaseSection {
            use_db_reconnect: true,
            db_retry_interval: 2,
            db_inc_retry_interval: grows,
            db_max_retry_interval: 5,
            db_max_retries: most,
            ..DatabaseSection::default()
        })
    };
    let pauses = |reconnects: &Reconnects| [2, 3, 4, 90].map(|attempt| reconnects.pause(attempt).as_secs());
    let growing = reconnects(true, 7);
    assert_eq!((pauses(&growing), growing.most), ([2, 4, 5, 5], 7));
    assert!(growing.pause(1) < Duration::from_millis(100));
    let steady = reconnects(false, -1);
    assert_eq!((pauses(&steady), steady.most), ([2, 2, 2, 2], u32::MAX));
    assert_eq!(Reconnects::configured(&DatabaseSection::default()).most, DISCONNECT_RETRIES);
}

#[tokio::test]
async fn what_may_have_happened_or_cannot_is_not_tried_again() {
    assert!(matches!(run(1, lost).await, (1, Err(DbError::CommitUnknown(_)))));
    assert!(matches!(run(1, || DbError::no_image("i")).await, (1, Err(DbError::NotFound { .. }))));
    // What breaks before the COMMIT is not unknown.
    assert!(matches!(run(1, || panic!("in the middle")).await, (1, Err(DbError::Interrupted))));
}

/// Says that it began, waits to be told to go on, and says that it is done.
struct Slow {
    began: Arc<Notify>,
    go_on: Arc<Notify>,
    ended: Arc<Notify>,
}

impl UnitOfWork for Slow {
    type Output = ();
    const NAME: &'static str = "slow";

    async fn run(&self, session: &mut Session) -> Result<(), DbError> {
        session.plain("PRAGMA cache_size = 4321").await?;
        self.began.notify_one();
        self.go_on.notified().await;
        session.plain("SELECT 1").await?;
        self.ended.notify_one();
        Ok(())
    }
}

#[tokio::test]
async fn a_read_whose_caller_goes_away_gives_back_its_connection() {
    let (_folder, db) = open().await;
    let [began, go_on, ended] = [(); 3].map(|()| Arc::new(Notify::new()));
    let slow = Slow { began: began.clone(), go_on: go_on.clone(), ended: ended.clone() };
    let task = tokio::spawn({
        let db = db.clone();
        async move { db.snapshot(slow).await }
    });
    began.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    go_on.notify_one();
    ended.notified().await;
    let query = Query::select().column("cache_size").from("pragma_cache_size").take();
    for _ in 0..500 {
        // There are two connections at least.
        for mut next in [db.reader().await.unwrap(), db.reader().await.unwrap()] {
            let size = next.row(&query, |row| Columns::of(row).integer()).await.unwrap();
            if size == Some(4321) {
                // The transaction was ended too.
                return next.begin(Transaction::Snapshot).await.unwrap();
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection was not given back");
}

#[tokio::test]
async fn a_read_that_has_no_connection_yet_is_dropped_with_its_caller() {
    let (_folder, db) = open().await;
    let mut held = Vec::new();
    while let Ok(Ok(session)) = timeout(Duration::from_millis(50), db.reader()).await {
        held.push(session);
    }
    let runs = Arc::new(AtomicU32::new(0));
    let waits = db.read(Flaky { runs: Arc::clone(&runs), failures: 0, error: gone });
    assert!(timeout(Duration::from_millis(50), waits).await.is_err());
    held.clear();
    let other = Flaky { runs: Arc::default(), failures: 0, error: gone };
    assert!(matches!(db.read(other).await, Ok(1)));
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[test]
fn pauses_grow_to_their_bound() {
    for attempt in 0..200 {
        let pause = pause(attempt, CONTENTION_PAUSE);
        assert!(pause >= Duration::from_millis(5) && pause <= CONTENTION_PAUSE, "{attempt}: {pause:?}");
    }
    assert!(pause(20, CONTENTION_PAUSE) >= CONTENTION_PAUSE / 2);
}
