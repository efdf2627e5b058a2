//! Two hosts at once, and a tool that is killed in the middle.

use std::process::Stdio;
use std::time::Duration;

use crate::common::database::Kind;
use crate::common::pause;
use crate::harness::Place;

/// How often a tool is killed at least before it comes to its end.
const LEAST_KILLS: u32 = 3;

/// Kills the tool a little later each time, until it comes to its end. Returns how often, and the database.
fn in_pieces(place: &Place, step: Duration) -> (u32, String) {
    let database = format!("pieces{}", step.as_micros());
    place.make(&database, None);
    for round in 1..400 {
        let mut command = place.command(&database, &["db", "sync"]);
        let mut tool = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        pause(step * round);
        if let Some(status) = tool.try_wait().unwrap() {
            assert!(status.success(), "{:?}", place.ours(&database, &["db", "sync"]));
            return (round - 1, database);
        }
        tool.kill().unwrap();
        tool.wait().unwrap();
    }
    panic!("it never comes to an end");
}

/// A tool that is killed in the middle; then two of them run at once.
fn exercise(place: &Place) {
    place.make("whole", None);
    assert_eq!(place.ours("whole", &["db", "sync"]).status, 0);
    let whole = place.dump("whole");

    // A busy machine may give this process no time before the tool is at its end. Then it is killed sooner.
    let steps = (0..5).map(|times| Duration::from_millis(16) / 2_u32.pow(times));
    let done = steps.map(|step| in_pieces(place, step)).find(|(killed, _)| *killed >= LEAST_KILLS);
    let (_, pieces) = done.expect("it was not interrupted");
    assert_eq!(place.dump(&pieces), whole);

    place.make("together", None);
    let tools = [0, 1].map(|_| {
        let mut command = place.command("together", &["db", "sync"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for tool in tools {
        let done = tool.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).ends_with("Database is synced successfully.\n"));
    }
    assert_eq!(place.dump("together"), whole);
}

#[test]
fn sqlite() {
    exercise(&Place::sqlite());
}

#[test]
fn postgresql() {
    exercise(&Place::server(Kind::Postgres));
}

#[test]
fn mariadb() {
    exercise(&Place::server(Kind::MariaDb));
}
