//! A cloud moves over and back: upstream's service makes one of everything, ours goes on with the same files, database and stores and
//! changes all of it, upstream's goes on with that; then both serve side by side. The commands in between are those of
//! glance-api-migration(7), each of which is run by one of the tests.

mod cloud;
mod guide;
mod races;
mod side_by_side;

use cloud::Cloud;
use guide::Guide;

use crate::common::database::Kind;

/// A way to run the cloud, and the sections of the guide that are about it.
struct Deployment {
    kind: Option<Kind>,
    copy: &'static str,
    there: &'static str,
    back: &'static str,
}

const DISTRIBUTION: Deployment = Deployment {
    kind: None,
    copy: "SQLite",
    there: "FROM A DISTRIBUTION'S PACKAGE",
    back: "To the package of a distribution",
};
const KOLLA: Deployment =
    Deployment { kind: Some(Kind::MariaDb), copy: "MariaDB and MySQL", there: "FROM KOLLA", back: "To Kolla" };
const OPENSTACK_ANSIBLE: Deployment = Deployment {
    kind: Some(Kind::Postgres),
    copy: "PostgreSQL",
    there: "FROM OPENSTACK-ANSIBLE",
    back: "To OpenStack-Ansible",
};

#[test]
fn sqlite_from_a_package() {
    take_over(&DISTRIBUTION);
}

#[test]
fn mariadb_from_kolla() {
    take_over(&KOLLA);
}

#[test]
fn postgresql_from_openstack_ansible() {
    take_over(&OPENSTACK_ANSIBLE);
}

#[test]
fn every_command_of_the_guide_is_run() {
    let run: Vec<&str> = [DISTRIBUTION, KOLLA, OPENSTACK_ANSIBLE]
        .iter()
        .flat_map(|deployment| [deployment.copy, deployment.there, deployment.back])
        .chain(["BEFORE"])
        .collect();
    let guide = Guide::read();
    assert!(guide.titles().count() == 10 && guide.titles().all(|title| run.contains(&title)));
}

fn take_over(deployment: &Deployment) {
    let guide = Guide::read();
    let mut cloud = Cloud::new(deployment.kind);
    cloud.act("made");
    cloud.odd_states();
    let before = cloud.look();
    let rows = cloud.cache_rows();
    assert_eq!(rows.split_whitespace().count(), 2, "{rows}");

    let said = cloud.follow(&guide, "BEFORE");
    assert!(said.contains("Database is up to date. No upgrades needed."), "{said}");
    cloud.follow(&guide, deployment.copy);
    cloud.follow(&guide, deployment.there);
    assert!(cloud.ours().is_some());
    let now = cloud.look();
    cloud.assert_same(&before, &now, "ours after upstream's");
    cloud.act("changed");
    let changed = cloud.look();
    let log = cloud.ours().unwrap().log();
    assert!(!log.contains("panicked"), "{log}");

    cloud.follow(&guide, deployment.back);
    assert!(cloud.ours().is_none());
    let now = cloud.look();
    cloud.assert_same(&now, &changed, "upstream's after ours");
    assert_eq!(cloud.cache_rows(), rows);
    side_by_side::exercise(&cloud);
    cloud.stop();
    races::exercise(&cloud);
}
