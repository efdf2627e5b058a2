//! Two hosts at once, and a tool that is killed in the middle.

use std::process::Stdio;
use std::time::Duration;

use crate::common::database::Kind;
use crate::common::pause;
use crate::harness::Place;

/// Kills the tool a little later each time, until it comes to its end; then two of them run at once.
fn exercise(place: &Place) {
    place.make("whole", None);
    assert_eq!(place.ours("whole", &["db", "sync"]).status, 0);
    let whole = place.dump("whole");

    place.make("pieces", None);
    let mut killed = 0;
    for round in 1.. {
        let mut command = place.command("pieces", &["db", "sync"]);
        let mut tool = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        pause(Duration::from_millis(15 * round));
        if let Some(status) = tool.try_wait().unwrap() {
            assert!(status.success(), "{:?}", place.ours("pieces", &["db", "sync"]));
            break;
        }
        tool.kill().unwrap();
        tool.wait().unwrap();
        killed += 1;
        assert!(round < 400, "it never comes to an end");
    }
    assert!(killed > 2, "it was not interrupted");
    assert_eq!(place.dump("pieces"), whole);

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
