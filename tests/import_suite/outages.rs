//! Imports that their worker gives up while it lives: the database is away, or somebody else has ended the task.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde_json::json;

use super::super::common::{Conf, Request, Server, is_thorough, wait_for};
use super::super::{
    LEASE, MIB, PATIENCE, Web, assert_free, assert_nothing_left, assert_nothing_left_after, conf, create, download,
    import, shown, sqlite, task, wait_for_begin, with_slow_mount,
};
use super::serve;

/// Waits for a text in the log for as long as leases last.
fn logged(server: &Server, text: &str) {
    wait_for(text, LEASE * 2, || server.log().contains(text).then_some(()));
}

#[test]
fn tasks_wait_for_a_database_that_is_away_and_those_that_were_given_up_say_why() {
    let (stalls, breaks) = (Web::start(), Web::start());
    let port = serve(BTreeMap::from([("/data".to_owned(), vec![b'd'; MIB])]));
    let set = |conf_of: Conf| {
        // A write gives up soon, so that what waits gets its turn while the database is away.
        let database = format!("sqlite:///{}?timeout=0.1", conf_of.database().display());
        let conf_of = conf(&stalls)(conf_of).set("database.connection", database).set("database.db_max_retries", 5);
        conf_of.set("wsgi.task_pool_threads", 2).set("import_filtering_opts.allowed_ports", "[]")
    };
    let server = Server::with(set);
    let [given_up, failing, waiting] = [(); 3].map(|()| create(&server));
    import(&server, &given_up, &download(&stalls));
    wait_for_begin(&stalls, &server, &given_up);
    import(&server, &failing, &download(&breaks));
    wait_for_begin(&breaks, &server, &failing);
    let method = json!({"name": "web-download", "uri": format!("http://127.0.0.1:{port}/data")});
    import(&server, &waiting, &json!({"method": method, "stores": ["fast", "slow"]}));
    assert_eq!(task(&server, &waiting)["status"], "pending");

    let mut away = Command::new("sqlite3")
        .arg(server.conf.database())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = away.stdin.take().unwrap();
    input.write_all(b".timeout 20000\nbegin exclusive; select 'away';\n").unwrap();
    let mut answer = String::new();
    BufReader::new(away.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    assert_eq!(answer.trim(), "away");
    breaks.go_on.send(false).unwrap();
    logged(&server, "an import cannot begin yet");
    logged(&server, "an import was given up");
    input.write_all(b"commit;\n.quit\n").unwrap();
    assert!(away.wait().unwrap().success());
    stalls.go_on.send(false).unwrap();

    let done = wait_for("the end of what waited", LEASE, || {
        Some(task(&server, &waiting)).filter(|task| task["status"] != "pending" && task["status"] != "processing")
    });
    assert_eq!(done["status"], "success", "{done}");
    assert_free(&shown(&server, &waiting), "active");
    for (id, text) in [(&given_up, "could not reach the database"), (&failing, "broke after 1048576 bytes")] {
        let has_failed = || Some(task(&server, id)).filter(|task| task["status"] == "failure");
        let failed = server.wait_for_recovery("the end of a task", PATIENCE, has_failed);
        assert!(failed["message"].as_str().unwrap().contains(text), "{failed}");
        assert_free(&shown(&server, id), "queued");
    }
}

#[test]
fn an_import_that_the_database_refuses_ends_and_the_next_begins() {
    let web = Web::start();
    let server = Server::with(|conf_of| conf(&web)(conf_of).set("wsgi.task_pool_threads", 1));
    let trigger = "create trigger refusal before update on tasks when new.status = 'processing' \
        begin select raise(abort, 'no'); end";
    sqlite(&server.conf.database(), trigger);
    let [refused, next] = [(); 2].map(|()| create(&server));
    import(&server, &refused, &download(&web));
    let failed = wait_for("the end of the task", PATIENCE, || {
        Some(task(&server, &refused)).filter(|task| task["status"] == "failure")
    });
    assert!(failed["message"].as_str().unwrap().contains("refused"), "{failed}");
    let image = shown(&server, &refused);
    assert_eq!((&image["status"], image.get("os_glance_import_task")), (&json!("queued"), None), "{image}");
    sqlite(&server.conf.database(), "drop trigger refusal");

    // Of an import whose end is refused nothing is kept.
    sqlite(&server.conf.database(), &trigger.replace("processing", "success"));
    import(&server, &refused, &download(&web));
    wait_for_begin(&web, &server, &refused);
    web.go_on.send(true).unwrap();
    let failed = wait_for("the end of the task", PATIENCE, || {
        Some(task(&server, &refused)).filter(|task| task["status"] == "failure")
    });
    assert!(failed["message"].as_str().unwrap().contains("The database refused the end of this task"), "{failed}");
    assert_free(&shown(&server, &refused), "queued");
    assert_nothing_left(&server.conf);
    sqlite(&server.conf.database(), "drop trigger refusal");

    import(&server, &next, &download(&web));
    wait_for_begin(&web, &server, &next);
    web.go_on.send(true).unwrap();
    wait_for("the image", PATIENCE, || (shown(&server, &next)["status"] == "active").then_some(()));
}

#[test]
fn an_import_that_is_given_up_is_not_cleaned_up_before_its_stores_have_stopped() {
    let web = Web::start();
    let (server, mount) = with_slow_mount(conf(&web));
    let id = create(&server);
    import(&server, &id, &json!({"method": {"name": "web-download", "uri": web.url()}, "stores": ["slow"]}));
    wait_for_begin(&web, &server, &id);
    // Else there is nothing yet that its store could be at work on.
    wait_for("the store has begun", PATIENCE, || {
        fs::read_dir(server.conf.dir.join("source/.glance-drafts")).ok()?.next().map(drop)
    });
    mount.stall();
    web.go_on.send(true).unwrap();
    wait_for("the store stands still", PATIENCE, || {
        ["glance-file", "glance-write-bg"].iter().any(|name| server.waits_for_files(name)).then_some(())
    });
    let ended = format!("update tasks set status = 'failure' where image_id = '{id}'");
    sqlite(&server.conf.database(), &ended);
    logged(&server, "an import was given up");
    let entry = || {
        let logs = fs::read_dir(server.conf.dir.join("state/uploads")).unwrap().map(|log| log.unwrap().path());
        let entries = logs.flat_map(|log| fs::read_dir(log).unwrap()).map(|entry| entry.unwrap().path());
        entries.into_iter().next()
    };
    // It is another file once it says why it was left.
    let path = wait_for("the reason", PATIENCE, || {
        entry().filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("\"reason\":\"")))
    });
    // Nobody else may have it while the store works.
    let locked = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusiveNonblock);
    assert!(locked.is_err(), "recovery would begin");
    assert_eq!(shown(&server, &id)["status"], "importing");
    mount.go_on();
    let is_free = || (shown(&server, &id)["status"] != "importing").then_some(());
    server.wait_for_recovery("the image is free", PATIENCE, is_free);
    let image = shown(&server, &id);
    assert_eq!(image.get("os_glance_import_task"), None, "{image}");
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert_nothing_left(&server.conf);
}

#[test]
fn a_store_that_stands_still_keeps_no_image_from_those_that_go_on() {
    if !is_thorough() {
        // It takes minutes. Unit tests of `ingest` have shorter ones.
        return;
    }
    let web = Web::start();
    let port = serve(BTreeMap::from([("/data".to_owned(), vec![b'd'; 8 * MIB])]));
    let (server, mount) = with_slow_mount(|of| conf(&web)(of).set("import_filtering_opts.allowed_ports", "[]"));
    let id = create(&server);
    mount.stall();
    let method = json!({"name": "web-download", "uri": format!("http://127.0.0.1:{port}/data")});
    import(&server, &id, &json!({"method": method, "all_stores": true, "all_stores_must_succeed": false}));
    wait_for("the image", Duration::from_secs(180), || (shown(&server, &id)["status"] == "active").then_some(()));
    let image = shown(&server, &id);
    assert_free(&image, "active");
    assert_eq!((&image["stores"], &image["os_glance_failed_import"]), (&json!("fast"), &json!("slow")), "{image}");
    mount.go_on();
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    // What the store has got in the end goes with the next recovery, once a minute.
    assert_nothing_left_after(Duration::from_secs(90), &server.conf);
}
