//! Many old rows are purged while the service works.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::database::Kind;
use crate::common::latency::{assert_hardly_slower, times};
use crate::common::{Server, is_thorough, wait_for};
use crate::harness::Place;

const DATABASE: &str = "purged";
/// Pieces of the work, before each of which requests are timed undisturbed for a while: what else the machine does is in both.
const ROUNDS: usize = 10;
const CALM: Duration = Duration::from_millis(1500);

/// All were deleted at the same time, and the properties come in another order than their images.
fn fill(place: &Place, database: &str, kind: Kind, rows: usize) {
    place.make(database, None);
    assert_eq!(place.ours(database, &["db", "sync"]).status, 0);
    let numbers = match kind {
        Kind::Postgres => format!("generate_series(1, {rows}) AS n(seq)"),
        Kind::MariaDb => format!("seq_1_to_{rows}"),
    };
    let (yes, old) = (if kind == Kind::Postgres { "TRUE" } else { "1" }, "'2020-01-01 00:00:00'");
    for sql in [
        format!(
            "INSERT INTO images (id, status, created_at, deleted_at, deleted, min_disk, min_ram) \
             SELECT CONCAT('gone-', seq + 1000000), 'deleted', {old}, {old}, {yes}, 0, 0 FROM {numbers}"
        ),
        format!(
            "INSERT INTO image_properties (image_id, name, value, created_at, deleted_at, deleted) \
             SELECT CONCAT('gone-', seq + 1000000), 'p', 'v', {old}, {old}, {yes} FROM {numbers} ORDER BY seq DESC"
        ),
    ] {
        place.run_in(database, &sql);
    }
}

/// Two hosts purge at once, and one is killed: the other does the work of both.
fn two_at_once(place: &Place, kind: Kind) {
    const ROWS: usize = 3000;
    const SHARED: &str = "shared";
    fill(place, SHARED, kind, ROWS);
    let left =
        |table: &str| place.run_in(SHARED, &format!("SELECT COUNT(*) FROM {table}")).trim().parse::<usize>().unwrap();
    let purge = |_| {
        let mut command = place.command(SHARED, &["db", "purge", "--max_rows", "-1"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let [mut killed, mut other] = [0, 1].map(purge);
    wait_for("rows are gone", Duration::from_secs(60), || (left("image_properties") < ROWS).then_some(()));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(other.wait().unwrap().success());
    assert_eq!((left("image_properties"), left("images")), (0, ROWS));
}

/// What a limit leaves of one table does not keep the rest from going.
fn with_limits(place: &Place, kind: Kind) {
    const LIMITED: &str = "limited";
    fill(place, LIMITED, kind, 300);
    for _ in 0..3 {
        for command in ["purge", "purge_images_table"] {
            let said = place.ours(LIMITED, &["db", command, "--max_rows", "100"]);
            assert_eq!(said.status, 0, "{said:?}");
        }
    }
    let left = place.run_in(LIMITED, "SELECT (SELECT COUNT(*) FROM images) + (SELECT COUNT(*) FROM image_properties)");
    assert_eq!(left.trim(), "0");
}

fn exercise(kind: Kind, rows: usize) {
    let place = Place::server(kind);
    two_at_once(&place, kind);
    with_limits(&place, kind);
    fill(&place, DATABASE, kind, rows);
    let server = Server::with(|conf| conf.set("database.connection", place.url(DATABASE)));
    let rounds = if is_thorough() { ROUNDS } else { 1 };
    let (mut without, mut with, mut taken) = (Vec::new(), Vec::new(), Duration::ZERO);
    for round in 1..=rounds {
        let start = Instant::now();
        without.extend(times(&server, || start.elapsed() > CALM));
        let most = if round < rounds { (rows / rounds).to_string() } else { "-1".to_owned() };
        let start = Instant::now();
        with.extend(thread::scope(|scope| {
            let purge = scope.spawn(|| {
                for command in ["purge", "purge_images_table"] {
                    let said = place.ours(DATABASE, &["db", command, "--max_rows", &most]);
                    assert_eq!(said.status, 0, "{said:?}");
                }
            });
            times(&server, || purge.is_finished())
        }));
        taken += start.elapsed();
    }
    let left = place.run_in(DATABASE, "SELECT COUNT(*) FROM images WHERE id LIKE 'gone-%'");
    assert_eq!(left.trim(), "0");
    assert_hardly_slower(without, with, &format!("{rows} rows are purged on {kind:?} in {taken:?}"));
}

#[test]
fn requests_hardly_notice() {
    let rows = if is_thorough() { 1_000_000 } else { 2000 };
    exercise(Kind::Postgres, rows);
    if is_thorough() {
        exercise(Kind::MariaDb, rows);
    }
}
