use std::os::unix::ffi::OsStrExt;

use super::*;

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path().join("uploads")).unwrap();
    (folder, journal)
}

/// What recovery would take up now, and what it cannot.
fn leftovers(journal: &Journal) -> (Vec<Leftover>, Vec<Unreadable>) {
    let (mut found, mut bad) = (Vec::new(), Vec::new());
    for name in journal.names().unwrap() {
        match journal.take(&name) {
            Ok(leftover) => found.extend(leftover),
            Err(error) => bad.push(error),
        }
    }
    (found, bad)
}

fn begin(journal: &Journal, intent: Intent, image: &str) -> Entry {
    journal.begin(intent, image, &Token::new(), vec![format!("file:///a/{image}")]).unwrap()
}

#[test]
fn a_finished_entry_leaves_nothing_and_an_abandoned_one_is_found() {
    let (_folder, journal) = journal();
    begin(&journal, Intent::Upload, "one").finish().unwrap();
    let token = Token::new();
    let places = vec!["file:///a/two".to_owned(), "file:///b/two".to_owned()];
    drop(journal.begin(Intent::Delete, "two", &token, places.clone()).unwrap());

    let (mut found, _) = leftovers(&journal);
    assert_eq!(found.len(), 1);
    let Leftover { record, entry } = found.remove(0);
    let work = Work { intent: Intent::Delete, token, host: journal.host.clone() };
    assert_eq!(record, Record { image_id: "two".to_owned(), work: Some(work), places });
    entry.finish().unwrap();
    assert!(journal.names().unwrap().is_empty());
}

#[test]
fn an_entry_in_use_is_left_alone() {
    let (_folder, journal) = journal();
    let held = begin(&journal, Intent::Upload, "one");
    assert!(leftovers(&journal).0.is_empty());
    held.finish().unwrap();
}

#[test]
fn several_entries_of_one_image_do_not_touch_each_other() {
    let (_folder, journal) = journal();
    drop(begin(&journal, Intent::Upload, "one"));
    let held = begin(&journal, Intent::Upload, "one");
    assert_eq!(leftovers(&journal).0.len(), 1, "the earlier one is still there");
    drop(held);
    assert_eq!(leftovers(&journal).0.len(), 2);
}

#[test]
fn an_entry_of_an_earlier_build_is_read() {
    let (_folder, journal) = journal();
    let id = "b3a0c2d4-0000-4000-8000-00000000000a";
    for text in ["", "file:///a/x\nfile:///b/x\n"] {
        fs::write(journal.folder.join(id), text).unwrap();
        let (found, bad) = leftovers(&journal);
        assert!(bad.is_empty(), "{bad:?}");
        let places = text.lines().map(str::to_owned).collect();
        assert_eq!(found[0].record, Record { image_id: id.to_owned(), work: None, places });
    }
}

#[test]
fn what_cannot_be_read_does_not_keep_the_rest_from_being_found() {
    let (_folder, journal) = journal();
    let path = |name: &str| journal.folder.join(name);
    fs::create_dir(path("a-folder")).unwrap();
    fs::write(journal.folder.join(OsStr::from_bytes(b"\xff\xfe")), "file:///a/x\n").unwrap();
    fs::write(path("not-utf8"), b"{\xff}").unwrap();
    fs::write(path("half"), "{\"version\": 1, \"intent\": \"upl").unwrap();
    fs::write(path("later"), "{\"version\": 2, \"what\": []}\n").unwrap();
    fs::write(path("other-intent"), "{\"version\": 1, \"intent\": \"dance\"}\n").unwrap();
    std::os::unix::fs::symlink("/nowhere", path("link")).unwrap();
    nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    drop(begin(&journal, Intent::Upload, "one"));

    let (found, bad) = leftovers(&journal);
    assert_eq!(found.iter().map(|left| left.record.image_id.as_str()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(bad.len(), 8, "{bad:?}");
    assert!(bad.iter().any(|error| matches!(error, Unreadable::Version(2))), "{bad:?}");
    assert!(bad.iter().filter(|error| matches!(error, Unreadable::Kind)).count() >= 2, "{bad:?}");
}

#[test]
fn another_hosts_entry_is_left_alone_until_nobody_there_has_seen_it_for_long() {
    let (_folder, journal) = journal();
    let other = Journal { host: "elsewhere.example".to_owned(), ..journal.clone() };
    let held = begin(&other, Intent::Upload, "one");
    let path = journal.folder.join(journal.names().unwrap().remove(0));
    let old = SystemTime::now() - FOREIGN_AGE - Duration::from_secs(60);
    let age = || File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    age();
    // As its own host's workers do, which see that it is locked.
    assert!(leftovers(&other).0.is_empty());
    drop(held);
    assert!(leftovers(&journal).0.is_empty(), "it was alive a moment ago");
    age();
    assert_eq!(leftovers(&journal).0.len(), 1);
}

#[test]
fn one_look_renews_all_that_live_and_names_the_rest() {
    let (_folder, journal) = journal();
    let held: Vec<Entry> =
        ["one", "two", "three"].map(|image| begin(&journal, Intent::Upload, image)).into_iter().collect();
    drop(begin(&journal, Intent::Upload, "dead"));
    let other = Journal { host: "elsewhere.example".to_owned(), ..journal.clone() };
    drop(begin(&other, Intent::Upload, "foreign"));
    fs::write(journal.folder.join("odd"), "{").unwrap();
    let old = SystemTime::now() - FOREIGN_AGE - Duration::from_secs(60);
    held.iter().for_each(|entry| entry.lock.set_modified(old).unwrap());

    let names = journal.unattended().unwrap();
    assert_eq!(names.len(), 2, "the dead one and the odd one: {names:?}");
    assert!(names.contains(&"odd".into()));
    assert!(held.iter().all(|entry| entry.lock.metadata().unwrap().modified().unwrap() > old));
    assert_eq!(leftovers(&journal).0.len(), 1, "what has been looked at can be taken up");
}

#[test]
fn what_dead_workers_left_in_a_former_folder_is_taken_over() {
    let (folder, journal) = journal();
    let former = Journal::open(folder.path().join("former")).unwrap();
    assert_eq!(journal.adopt(&folder.path().join("none")).unwrap(), 0);
    let held = begin(&former, Intent::Upload, "alive");
    drop(begin(&former, Intent::Delete, "dead"));
    fs::write(former.folder.join("odd"), "{").unwrap();

    assert_eq!(journal.adopt(&former.folder).unwrap(), 1);
    let (mut found, bad) = leftovers(&journal);
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(found.iter().map(|left| left.record.image_id.as_str()).collect::<Vec<_>>(), ["dead"]);
    found.remove(0).entry.finish().unwrap();
    assert!(journal.names().unwrap().is_empty());
    assert_eq!(former.names().unwrap().len(), 2);
    held.finish().unwrap();
    assert_eq!(journal.adopt(&former.folder).unwrap(), 0);
}

#[test]
fn an_entry_that_cannot_be_finished_is_not_begun() {
    let (folder, journal) = journal();
    // The folder is away, as on a disk that fails.
    fs::rename(folder.path().join("uploads"), folder.path().join("moved")).unwrap();
    assert!(journal.begin(Intent::Upload, "one", &Token::new(), Vec::new()).is_err());
    fs::rename(folder.path().join("moved"), folder.path().join("uploads")).unwrap();
    // The name is taken by a folder, so that the last step fails.
    let token = Token::new();
    fs::create_dir(journal.folder.join(token.as_str())).unwrap();
    assert!(journal.begin(Intent::Upload, "one", &token, Vec::new()).is_err());
    assert_eq!(fs::read_dir(&journal.folder).unwrap().count(), 1, "a file stays");
}

#[test]
fn unfinished_entries_go_with_time() {
    let (_folder, journal) = journal();
    let path = journal.folder.join("x.new");
    let file = File::create(&path).unwrap();
    assert!(journal.names().unwrap().is_empty() && path.try_exists().unwrap());
    file.set_modified(SystemTime::now() - UNFINISHED_AGE - Duration::from_secs(60)).unwrap();
    assert!(journal.names().unwrap().is_empty() && !path.try_exists().unwrap());
}
