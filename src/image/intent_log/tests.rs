use std::os::unix::ffi::OsStrExt;

use super::*;

fn intent_log() -> (tempfile::TempDir, IntentLog) {
    let folder = tempfile::tempdir().unwrap();
    let intent_log = IntentLog::open(folder.path().join("uploads")).unwrap();
    (folder, intent_log)
}

/// What recovery would take up now, and what it cannot.
fn leftovers(intent_log: &IntentLog) -> (Vec<Leftover>, Vec<Unreadable>) {
    let (mut found, mut bad) = (Vec::new(), Vec::new());
    for name in intent_log.names().unwrap() {
        match intent_log.take(&name) {
            Ok(leftover) => found.extend(leftover),
            Err(error) => bad.push(error),
        }
    }
    (found, bad)
}

fn begin(intent_log: &IntentLog, intent: Intent, image: &str) -> Entry {
    intent_log.begin(intent, image, &Token::new(), vec![format!("file:///a/{image}")]).unwrap()
}

#[test]
fn a_finished_entry_leaves_nothing_and_an_abandoned_one_is_found() {
    let (_folder, intent_log) = intent_log();
    begin(&intent_log, Intent::Upload, "one").finish().unwrap();
    let token = Token::new();
    let places = vec!["file:///a/two".to_owned(), "file:///b/two".to_owned()];
    drop(intent_log.begin(Intent::Delete, "two", &token, places.clone()).unwrap());

    let (mut found, _) = leftovers(&intent_log);
    assert_eq!(found.len(), 1);
    let Leftover { record, entry } = found.remove(0);
    let work = Work { intent: Intent::Delete, token, host: intent_log.host.clone(), reason: None };
    assert_eq!(record, Record { image_id: "two".to_owned(), work: Some(work), places });
    entry.finish().unwrap();
    assert!(intent_log.names().unwrap().is_empty());
}

#[test]
fn an_entry_in_use_is_left_alone() {
    let (_folder, intent_log) = intent_log();
    let held = begin(&intent_log, Intent::Upload, "one");
    assert!(leftovers(&intent_log).0.is_empty());
    held.finish().unwrap();
}

#[test]
fn an_entry_is_in_use_as_long_as_one_of_those_who_work_for_it() {
    let (_folder, intent_log) = intent_log();
    let entry = begin(&intent_log, Intent::Import, "one");
    let (one, other) = (entry.lock(), entry.lock());
    drop((entry, one));
    assert!(leftovers(&intent_log).0.is_empty());
    drop(other);
    assert_eq!(leftovers(&intent_log).0.len(), 1);
}

#[test]
fn an_entry_that_is_left_says_why_and_is_in_use_until_all_have_left() {
    let (_folder, intent_log) = intent_log();
    let entry = begin(&intent_log, Intent::Import, "one");
    let worker = entry.lock();
    intent_log.leave(&entry, "tired").unwrap();
    drop(entry);
    assert!(leftovers(&intent_log).0.is_empty());
    assert_eq!(intent_log.names().unwrap().len(), 1);
    drop(worker);
    let (mut found, _) = leftovers(&intent_log);
    let Leftover { record, entry } = found.remove(0);
    assert_eq!((record.image_id.as_str(), record.places.len()), ("one", 1));
    assert_eq!(record.work.unwrap().reason.as_deref(), Some("tired"));
    entry.finish().unwrap();
    // One that is gone says nothing.
    let gone = begin(&intent_log, Intent::Import, "two");
    fs::remove_file(&gone.path).unwrap();
    intent_log.leave(&gone, "tired").unwrap_err();
    assert!(intent_log.names().unwrap().is_empty());
}

#[test]
fn several_entries_of_one_image_do_not_touch_each_other() {
    let (_folder, intent_log) = intent_log();
    drop(begin(&intent_log, Intent::Upload, "one"));
    let held = begin(&intent_log, Intent::Upload, "one");
    assert_eq!(leftovers(&intent_log).0.len(), 1, "the earlier one is still there");
    drop(held);
    assert_eq!(leftovers(&intent_log).0.len(), 2);
}

#[test]
fn an_entry_of_an_earlier_build_is_read() {
    let (_folder, intent_log) = intent_log();
    let id = "b3a0c2d4-0000-4000-8000-00000000000a";
    for text in ["", "file:///a/x\nfile:///b/x\n"] {
        fs::write(intent_log.folder.join(id), text).unwrap();
        let (found, bad) = leftovers(&intent_log);
        assert!(bad.is_empty(), "{bad:?}");
        let places = text.lines().map(str::to_owned).collect();
        assert_eq!(found[0].record, Record { image_id: id.to_owned(), work: None, places });
    }
}

#[test]
fn what_cannot_be_read_does_not_keep_the_rest_from_being_found() {
    let (_folder, intent_log) = intent_log();
    let path = |name: &str| intent_log.folder.join(name);
    fs::create_dir(path("a-folder")).unwrap();
    fs::write(intent_log.folder.join(OsStr::from_bytes(b"\xff\xfe")), "file:///a/x\n").unwrap();
    fs::write(path("not-utf8"), b"{\xff}").unwrap();
    fs::write(path("half"), "{\"version\": 1, \"intent\": \"upl").unwrap();
    fs::write(path("later"), "{\"version\": 2, \"what\": []}\n").unwrap();
    fs::write(path("other-intent"), "{\"version\": 1, \"intent\": \"dance\"}\n").unwrap();
    std::os::unix::fs::symlink("/nowhere", path("link")).unwrap();
    nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    drop(begin(&intent_log, Intent::Upload, "one"));

    let (found, bad) = leftovers(&intent_log);
    assert_eq!(found.iter().map(|left| left.record.image_id.as_str()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(bad.len(), 8, "{bad:?}");
    assert!(bad.iter().any(|error| matches!(error, Unreadable::Version(2))), "{bad:?}");
    assert!(bad.iter().filter(|error| matches!(error, Unreadable::Kind)).count() >= 2, "{bad:?}");
}

#[test]
fn another_hosts_entry_is_left_alone_until_nobody_there_has_seen_it_for_long() {
    let (_folder, intent_log) = intent_log();
    let other = IntentLog { host: "elsewhere.example".to_owned(), ..intent_log.clone() };
    let held = begin(&other, Intent::Upload, "one");
    let path = intent_log.folder.join(intent_log.names().unwrap().remove(0));
    let old = SystemTime::now() - FOREIGN_AGE - Duration::from_secs(60);
    let age = || File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    age();
    // As its own host's workers do, which see that it is locked.
    assert!(leftovers(&other).0.is_empty());
    drop(held);
    assert!(leftovers(&intent_log).0.is_empty(), "it was alive a moment ago");
    age();
    assert_eq!(leftovers(&intent_log).0.len(), 1);
}

#[test]
fn one_look_renews_all_that_live_and_names_the_rest() {
    let (_folder, intent_log) = intent_log();
    let held: Vec<Entry> =
        ["one", "two", "three"].map(|image| begin(&intent_log, Intent::Upload, image)).into_iter().collect();
    drop(begin(&intent_log, Intent::Upload, "dead"));
    let other = IntentLog { host: "elsewhere.example".to_owned(), ..intent_log.clone() };
    drop(begin(&other, Intent::Upload, "foreign"));
    fs::write(intent_log.folder.join("odd"), "{").unwrap();
    let old = SystemTime::now() - FOREIGN_AGE - Duration::from_secs(60);
    held.iter().for_each(|entry| File::options().write(true).open(&entry.path).unwrap().set_modified(old).unwrap());

    let names = intent_log.unattended().unwrap();
    assert_eq!(names.len(), 2, "the dead one and the odd one: {names:?}");
    assert!(names.contains(&"odd".into()));
    assert!(held.iter().all(|entry| fs::metadata(&entry.path).unwrap().modified().unwrap() > old));
    assert_eq!(leftovers(&intent_log).0.len(), 1, "what has been looked at can be taken up");
}

#[test]
fn what_dead_workers_left_in_a_former_folder_is_taken_over() {
    let (folder, intent_log) = intent_log();
    let former = IntentLog::open(folder.path().join("former")).unwrap();
    assert_eq!(intent_log.adopt(&folder.path().join("none")).unwrap(), 0);
    let held = begin(&former, Intent::Upload, "alive");
    drop(begin(&former, Intent::Delete, "dead"));
    fs::write(former.folder.join("odd"), "{").unwrap();

    assert_eq!(intent_log.adopt(&former.folder).unwrap(), 1);
    let (mut found, bad) = leftovers(&intent_log);
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(found.iter().map(|left| left.record.image_id.as_str()).collect::<Vec<_>>(), ["dead"]);
    found.remove(0).entry.finish().unwrap();
    assert!(intent_log.names().unwrap().is_empty());
    assert_eq!(former.names().unwrap().len(), 2);
    held.finish().unwrap();
    assert_eq!(intent_log.adopt(&former.folder).unwrap(), 0);
}

#[test]
fn an_entry_that_cannot_be_finished_is_not_begun() {
    let (folder, intent_log) = intent_log();
    // The folder is away, as on a disk that fails.
    fs::rename(folder.path().join("uploads"), folder.path().join("moved")).unwrap();
    assert!(intent_log.begin(Intent::Upload, "one", &Token::new(), Vec::new()).is_err());
    fs::rename(folder.path().join("moved"), folder.path().join("uploads")).unwrap();
    // The name is taken by a folder, so that the last step fails.
    let token = Token::new();
    fs::create_dir(intent_log.folder.join(token.as_str())).unwrap();
    assert!(intent_log.begin(Intent::Upload, "one", &token, Vec::new()).is_err());
    assert_eq!(fs::read_dir(&intent_log.folder).unwrap().count(), 1, "a file stays");
}

#[test]
fn unfinished_entries_go_with_time() {
    let (_folder, intent_log) = intent_log();
    let path = intent_log.folder.join("x.new");
    let file = File::create(&path).unwrap();
    assert!(intent_log.names().unwrap().is_empty() && path.try_exists().unwrap());
    file.set_modified(SystemTime::now() - UNFINISHED_AGE - Duration::from_secs(60)).unwrap();
    assert!(intent_log.names().unwrap().is_empty() && !path.try_exists().unwrap());
}
