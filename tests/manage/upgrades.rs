//! From each of upstream's revisions, on each kind of database, with rows.

use crate::common::database::Kind;
use crate::harness::{Place, Upstream};

/// All of upstream's revisions in the order in which its releases came.
const REVISIONS: [&str; 29] = [
    "liberty",
    "mitaka01",
    "mitaka02",
    "ocata_expand01",
    "ocata_contract01",
    "pike_expand01",
    "pike_contract01",
    "queens_expand01",
    "queens_contract01",
    "rocky_expand01",
    "rocky_contract01",
    "rocky_expand02",
    "rocky_contract02",
    "train_expand01",
    "train_contract01",
    "ussuri_expand01",
    "ussuri_contract01",
    "wallaby_expand01",
    "wallaby_contract01",
    "xena_expand01",
    "xena_contract01",
    "yoga_expand01",
    "yoga_contract01",
    "zed_expand01",
    "zed_contract01",
    "2023_1_expand01",
    "2023_1_contract01",
    "2024_1_expand01",
    "2024_1_contract01",
];

/// Where an upgrade in steps starts: it has the triggers of MySQL and a migration of data before it.
const STEPS: &str = "mitaka02";

/// The lines that differ, for a message that can be read.
#[track_caller]
fn assert_same(ours: &str, theirs: &str, what: &str) {
    let only = |of: &str, other: &str| -> Vec<String> {
        of.lines().filter(|line| !other.lines().any(|known| known == *line)).map(str::to_owned).collect()
    };
    assert!(ours == theirs, "{what}\nonly ours: {:#?}\nonly theirs: {:#?}", only(ours, theirs), only(theirs, ours));
}

fn from_each_revision(place: &Place) {
    place.make("chain", None);
    let mut starts = Vec::new();
    Upstream::start().chain(place, "chain", &REVISIONS, |revision| {
        let name = format!("from_{revision}");
        place.make(&name, Some("chain"));
        starts.push(name);
        if revision == STEPS {
            place.make(STEPS, Some("chain"));
        }
    });
    let theirs = place.dump("chain");
    assert!(theirs.contains("OS::Nova::Server") && theirs.contains("store") && theirs.contains("2024_1_contract01"));
    assert_eq!(starts.len(), REVISIONS.len());
    for start in starts {
        let said = place.ours(&start, &["db", "sync"]);
        assert_eq!(said.status, 0, "{start}: {said:?}");
        assert_same(&place.dump(&start), &theirs, &start);
    }
    let mut upstream = Upstream::start();
    place.make("theirs", None);
    assert_eq!(upstream.run(place, "theirs", &["db", "sync"]).status, 0);
    place.make("ours", None);
    assert_eq!(place.ours("ours", &["db", "sync"]).status, 0);
    assert_same(&place.dump("ours"), &place.dump("theirs"), "an empty database");
    assert_eq!(upstream.run(place, "ours", &["db", "sync"]).stdout, "Database is up to date. No migrations needed.\n");
}

#[test]
fn sqlite() {
    from_each_revision(&Place::sqlite());
}

#[test]
fn postgresql() {
    let place = Place::server(Kind::Postgres);
    from_each_revision(&place);
    steps(&place);
}

#[test]
fn mariadb() {
    let place = Place::server(Kind::MariaDb);
    from_each_revision(&place);
    steps(&place);
}

/// In steps, as in a rolling upgrade: also on PostgreSQL, where upstream does not offer it.
fn steps(place: &Place) {
    place.make("steps", Some(STEPS));
    for (arguments, status) in [
        ("db check", 3),
        ("db expand", 0),
        ("db check", 4),
        ("db contract", 1),
        ("db migrate", 0),
        ("db check", 5),
        ("db contract", 0),
        ("db check", 0),
    ] {
        let said = place.ours("steps", &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(said.status, status, "{arguments}: {said:?}");
    }
    assert_same(&place.dump("steps"), &place.dump(&format!("from_{STEPS}")), "in steps");
}
