//! What may happen to policy files, each in force for whoever asks when it has happened.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::watch::Watch;
use super::{Enforcer, Fixture, ask, caller};

const YES: &str = "x: '@'";
const NO: &str = "x: '!'";

async fn allows(enforcer: &Enforcer) -> bool {
    ask(&*enforcer.rules().await, "x", &caller(&[])).await.unwrap()
}

/// Replaces a link in one step, as Kubernetes does.
fn swap_link(target: &str, link: &Path) {
    let new = link.parent().unwrap().join("link that replaces");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

#[tokio::test]
async fn a_file_is_written_to_in_any_way() {
    let fixture = Fixture::with(NO);
    let path = fixture.path().join("policy.yaml");
    let enforcer = fixture.enforcer().unwrap();
    assert!(!allows(&enforcer).await);
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"\n# no rule\n").unwrap();
    assert!(!allows(&enforcer).await);
    // The file stays open: it is the write that counts.
    file.write_all(b"x: '@'\n").unwrap();
    assert!(allows(&enforcer).await);
    fs::create_dir(fixture.path().join("elsewhere")).unwrap();
    let link = fixture.path().join("elsewhere/another name");
    fs::hard_link(&path, &link).unwrap();
    fs::write(&link, NO).unwrap();
    assert!(!allows(&enforcer).await);
    fixture.write("policy.yaml.rpmnew", YES);
    fs::rename(fixture.path().join("policy.yaml.rpmnew"), &path).unwrap();
    assert!(allows(&enforcer).await);
    // The file with two names is not the policy any more, its successor is.
    fs::write(&link, NO).unwrap();
    assert!(allows(&enforcer).await);
    fixture.write("policy.yaml", NO);
    assert!(!allows(&enforcer).await);
}

#[tokio::test]
async fn links_are_exchanged() {
    let fixture = Fixture::new();
    for (name, text) in [("no", NO), ("yes", YES)] {
        fs::create_dir(fixture.path().join(format!("..{name}"))).unwrap();
        fixture.write(&format!("..{name}/policy.yaml"), text);
    }
    // As Kubernetes shows a ConfigMap.
    symlink("..no", fixture.path().join("..data")).unwrap();
    symlink("..data/policy.yaml", fixture.path().join("policy.yaml")).unwrap();
    let enforcer = fixture.enforcer().unwrap();
    assert!(!allows(&enforcer).await);
    for (target, expected) in [("..yes", true), ("..no", false), ("..yes", true)] {
        swap_link(target, &fixture.path().join("..data"));
        assert_eq!(allows(&enforcer).await, expected, "{target}");
    }
    // What the links lead to, and the first link itself.
    fixture.write("..yes/policy.yaml", NO);
    assert!(!allows(&enforcer).await);
    fixture.write("plain", YES);
    swap_link(fixture.path().join("plain").to_str().unwrap(), &fixture.path().join("policy.yaml"));
    assert!(allows(&enforcer).await);
    fixture.write("plain", NO);
    assert!(!allows(&enforcer).await);
}

#[tokio::test]
async fn files_and_directories_come_and_go() {
    let mut fixture = Fixture::new();
    // Nothing stands in for a rule that no file has.
    fixture.config.oslo_policy.policy_default_rule = "nothing".to_owned();
    let deep = fixture.path().join("not/there/yet");
    let enforcer = Enforcer::new(&fixture.config, &[deep.clone(), fixture.path().to_owned()]).unwrap();
    let defined = async || enforcer.rules().await.check_reference("x", &(), &caller(&[])).await.unwrap();
    assert!(!defined().await);
    fs::create_dir_all(&deep).unwrap();
    assert!(!defined().await);
    fs::write(deep.join("policy.yaml"), YES).unwrap();
    assert!(defined().await);
    fs::create_dir(fixture.path().join("policy.d")).unwrap();
    fixture.write("policy.d/1.yaml", NO);
    assert!(!defined().await);
    fs::remove_file(fixture.path().join("policy.d/1.yaml")).unwrap();
    assert!(defined().await);
    symlink(fixture.path().join("linked"), fixture.path().join("policy.d/2.yaml")).unwrap();
    assert!(defined().await);
    fixture.write("linked", NO);
    assert!(!defined().await);
    // A directory that comes earlier in the search hides it; then both go.
    fs::create_dir(deep.join("policy.d")).unwrap();
    assert!(defined().await);
    fs::write(deep.join("policy.d/1"), NO).unwrap();
    assert!(!defined().await);
    fs::remove_dir_all(deep.join("policy.d")).unwrap();
    fs::remove_file(fixture.path().join("linked")).unwrap();
    assert!(defined().await);
    // Everything above the file is exchanged.
    fs::create_dir_all(fixture.path().join("other/there/yet")).unwrap();
    fixture.write("other/there/yet/policy.yaml", NO);
    fs::rename(fixture.path().join("not"), fixture.path().join("old")).unwrap();
    fs::rename(fixture.path().join("other"), fixture.path().join("not")).unwrap();
    assert!(!defined().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_the_former_rules_while_another_reads_the_files() {
    let fixture = Fixture::with(NO);
    let enforcer = fixture.enforcer().unwrap();
    for round in 0..20 {
        let expected = round % 2 == 0;
        fixture.write("policy.yaml", if expected { YES } else { NO });
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn({
                    let enforcer = enforcer.clone();
                    async move { allows(&enforcer).await }
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), expected, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_nobody_behind() {
    let fixture = Fixture::with(NO);
    let enforcer = fixture.enforcer().unwrap();
    for round in 0..20 {
        let expected = round % 2 == 0;
        fixture.write("policy.yaml", if expected { YES } else { NO });
        // Polled once and given up, wherever it is by then.
        let _: std::task::Poll<_> = futures_util::poll!(Box::pin(enforcer.rules()));
        assert_eq!(allows(&enforcer).await, expected, "round {round}");
    }
}

#[tokio::test]
async fn other_files_do_not_matter() {
    let fixture = Fixture::with(NO);
    fs::create_dir(fixture.path().join("policy.d")).unwrap();
    let enforcer = fixture.enforcer().unwrap();
    tokio::time::sleep(Duration::from_millis(80)).await;
    let before = enforcer.rules().await;
    for name in ["other.yaml", "policy.yaml.swp", "policy.d/.hidden"] {
        fixture.write(name, YES);
        assert!(Arc::ptr_eq(&enforcer.rules().await, &before), "{name}");
    }
}

#[tokio::test]
async fn without_notices_files_are_looked_at_in_time() {
    let fixture = Fixture::with(NO);
    let dirs = [fixture.path().to_owned()];
    let enforcer = Enforcer::watching(Watch::without_inotify(), &fixture.config, &dirs).unwrap();
    assert!(!allows(&enforcer).await);
    for (text, expected) in [(YES, true), (NO, false)] {
        fixture.write("policy.yaml", text);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(allows(&enforcer).await, expected);
    }
}

#[test]
fn a_directory_that_may_be_passed_but_not_listed_is_known_to_be_unwatched() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use nix::unistd::{Uid, setfsuid};

    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let directory = place.path().join("policies");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("policy.yaml"), NO).unwrap();
    let is_complete = |mode| {
        fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
        let file = directory.join("policy.yaml");
        // For this thread alone, and only where the test runs as root, to whom everything is open.
        let look = std::thread::spawn(move || {
            setfsuid(Uid::from_raw(65534));
            let watch = Watch::new();
            watch.set([&file], []);
            watch.is_complete()
        });
        look.join().unwrap()
    };
    for (mode, expected) in [(0o755, true), (0o311, false), (0o200, true)] {
        assert_eq!(is_complete(mode), expected, "{mode:o}");
    }
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
}
