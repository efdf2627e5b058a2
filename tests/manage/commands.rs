//! Every command, on SQLite: exit status, standard output, and what standard error says of a failure.

use crate::harness::{Place, Said, Upstream};

/// Runs the same on equal databases, and compares. Returns what ours said.
fn same(upstream: &mut Upstream, place: &Place, arguments: &[&str]) -> Said {
    let theirs = upstream.run(place, "theirs", arguments);
    let ours = place.ours("ours", arguments);
    assert_eq!(
        (ours.status, &ours.stdout),
        (theirs.status, &theirs.stdout),
        "{arguments:?}\nours: {}\ntheirs: {}",
        ours.stderr,
        theirs.stderr
    );
    // Their log stands before the reason.
    let reason = |said: &Said| said.stderr.trim().lines().last().unwrap_or_default().to_owned();
    if ours.status == 1 && !theirs.stderr.contains("Traceback") {
        assert_eq!(reason(&ours), reason(&theirs), "{arguments:?}");
    }
    ours
}

#[test]
fn every_command_says_what_upstream_says() {
    let place = Place::sqlite();
    let mut upstream = Upstream::start();
    let mut run = |line: &str| same(&mut upstream, &place, &line.split_whitespace().collect::<Vec<_>>()).status;
    for (line, status) in [
        ("db version", 0),
        ("db check", 3),
        ("db migrate", 1),
        ("db contract", 1),
        ("db upgrade --version mitaka01", 0),
        ("db upgrade mitaka02", 0),
        ("db_version", 0),
        ("db upgrade nonsense", 1),
        ("db_expand", 0),
        ("db expand", 0),
        ("db check", 5),
        ("db_migrate", 0),
        ("db upgrade ocata_contract01", 0),
        ("db version", 0),
        ("db contract", 0),
        ("db_check", 0),
        ("db expand", 0),
        ("db migrate", 0),
        ("db_contract", 0),
        ("db sync", 0),
        ("db_sync whatever", 0),
        ("db upgrade", 0),
        ("db version_control --version zed_contract01", 0),
        ("db version", 0),
        ("db_version_control", 0),
        ("db version", 0),
        ("db version_control heads", 0),
        ("db version", 0),
    ] {
        assert_eq!(run(line), status, "{line}");
    }
    assert_eq!(place.dump("ours"), place.dump("theirs"));
    for (line, status) in [
        ("db", 2),
        ("db nonsense", 2),
        ("db_check extra", 2),
        ("db version extra", 1),
        ("db purge --max_rows x", 2),
        ("db purge x", 1),
        ("db purge 1 x", 1),
        ("db purge --age_in_days -1", 1),
        ("db purge --age_in_days 40000", 1),
        ("db purge --max_rows -2", 1),
        ("db purge --max_rows 2147483648", 1),
        ("db purge_images_table --max_rows 99999999999", 1),
        ("db purge_images_table 1 2 3", 1),
        ("db purge --max_rows 0", 0),
    ] {
        let said = same(&mut upstream, &place, &line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(said.status, status, "{line}");
    }
}

/// Rows that are old enough, some that are not, and some that others refer to.
const OLD_ROWS: &str = "
    INSERT INTO images (id, status, created_at, deleted_at, deleted, min_disk, min_ram) VALUES
        ('a', 'deleted', '2020-01-01', '2020-01-04', 1, 0, 0), ('b', 'deleted', '2020-01-01', '2020-01-03', 1, 0, 0),
        ('c', 'deleted', '2020-01-01', '2020-01-02', 1, 0, 0), ('d', 'deleted', '2020-01-01', datetime('now'), 1, 0, 0),
        ('e', 'active', '2020-01-01', NULL, 0, 0, 0);
    INSERT INTO image_tags (image_id, value, created_at, deleted_at, deleted) VALUES
        ('a', 't', '2020-01-01', '2020-01-04', 1), ('b', 't', '2020-01-01', '2020-01-03', 1),
        ('c', 't', '2020-01-01', '2020-01-02', 1), ('e', 't', '2020-01-01', NULL, 0);
    INSERT INTO image_properties (image_id, name, value, created_at, deleted_at, deleted) VALUES
        ('a', 'p', 'v', '2020-01-01', '2020-01-04', 1), ('e', 'p', 'v', '2020-01-01', '2020-01-04', 1);
    INSERT INTO image_members (image_id, member, can_share, created_at, deleted_at, deleted) VALUES
        ('a', 'm', 0, '2020-01-01', '2020-01-04', 1);
    INSERT INTO image_locations (image_id, value, created_at, deleted_at, deleted) VALUES
        ('a', 'file:///a', '2020-01-01', '2020-01-04', 1);
    INSERT INTO tasks (id, type, status, owner, created_at, deleted_at, deleted) VALUES
        ('x', 'import', 'success', 'o', '2020-01-01', '2020-01-04', 1),
        ('y', 'import', 'success', 'o', '2020-01-01', '2020-01-03', 1),
        ('z', 'import', 'success', 'o', '2020-01-01', NULL, 0);
    INSERT INTO task_info (task_id, input) VALUES ('x', '{}'), ('y', '{}'), ('z', '{}');";

#[test]
fn the_same_rows_are_purged() {
    let place = Place::sqlite();
    let mut upstream = Upstream::start();
    assert_eq!(place.ours("ours", &["db", "sync"]).status, 0);
    place.run_sqlite("ours", OLD_ROWS);
    place.make("theirs", Some("ours"));
    for line in [
        "db purge --age_in_days 99 --max_rows 1",
        "db purge 99 1",
        "db purge --max_rows -1",
        "db purge_images_table --max_rows 1",
        "db purge_images_table --age_in_days 0 --max_rows -1",
    ] {
        same(&mut upstream, &place, &line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(place.dump("ours"), place.dump("theirs"), "{line}");
    }
    let left = place.dump("ours");
    assert!(
        left.contains("INSERT INTO images VALUES('e'") && !left.contains("INSERT INTO images VALUES('d'"),
        "{left}"
    );
}

#[test]
fn what_is_in_use_is_not_purged() {
    let place = Place::sqlite();
    assert_eq!(place.ours("ours", &["db", "sync"]).status, 0);
    // Upstream's server, as ours, leaves the time of an earlier deletion on what is there again.
    let rows = "
        INSERT INTO images (id, status, created_at, deleted, min_disk, min_ram) VALUES ('i', 'importing', '2020-01-01', 0, 0, 0);
        INSERT INTO image_members (image_id, member, can_share, created_at, deleted_at, deleted) VALUES
            ('i', 'back', 0, '2020-01-01', '2020-01-02', 0), ('i', 'gone', 0, '2020-01-01', '2020-01-02', 1);
        INSERT INTO image_properties (image_id, name, value, created_at, deleted_at, deleted) VALUES
            ('i', 'back', 'v', '2020-01-01', '2020-01-02', 0), ('i', 'gone', 'v', '2020-01-01', '2020-01-02', 1),
            ('i', 'os_glance_data_owner', 'v', '2020-01-01', '2020-01-02', 1);";
    place.run_sqlite("ours", rows);
    assert_eq!(place.ours("ours", &["db", "purge", "--max_rows", "-1"]).status, 0);
    let left = place.dump("ours");
    assert_eq!(left.matches("'back'").count(), 2, "{left}");
    assert!(left.contains("os_glance_data_owner") && !left.contains("'gone'"), "{left}");
}

#[test]
fn what_others_refer_to_stays() {
    let place = Place::sqlite();
    assert_eq!(place.ours("ours", &["db", "sync"]).status, 0);
    place.run_sqlite("ours", OLD_ROWS);
    place.run_sqlite("ours", "UPDATE image_tags SET deleted = 0 WHERE image_id = 'a';");
    // Upstream does not have SQLite enforce it; the text is that of the other databases.
    let said = place.ours("ours", &["db", "purge_images_table", "--max_rows", "-1"]);
    assert_eq!(said.status, 1);
    assert!(said.stderr.ends_with("Purge command failed, check glance-manage logs for more details.\n"), "{said:?}");
    assert!(place.dump("ours").contains("INSERT INTO images VALUES('a'"));
}
