use std::path::Path;

use time::macros::datetime;

use super::super::intent_log::Token;
use super::*;
use crate::config::{Config, DriverOptions, StoreSection};
use crate::db::model::{ImageRecord, LocationRecord, NewImage};
use crate::store::{STAGING_STORE, TASKS_STORE};

fn with_owner(status: &str, owner: Option<&Token>) -> ImageAndOwner {
    let deleted = matches!(status, "deleted" | "pending_delete");
    let then = datetime!(2024-01-01 0:00);
    let image = ImageRecord {
        status: status.to_owned(),
        deleted_at: deleted.then_some(then),
        deleted,
        ..NewImage::new("one").to_record(then)
    };
    ImageAndOwner { image, owner: owner.map(|token| token.as_str().to_owned()) }
}

fn record(work: Option<(Intent, &Token)>) -> Record {
    let work = work.map(|(intent, token)| Work { intent, token: token.clone(), host: "h".to_owned(), reason: None });
    Record { image_id: "one".to_owned(), work, places: Vec::new() }
}

#[test]
fn only_what_the_token_owns_is_touched() {
    let (own, other) = (Token::new(), Token::new());
    let owners = [Some(&own), Some(&other), None];
    // Intent and status, then the fate for the three owners.
    let table = [
        (Intent::Upload, "saving", [Fate::RemoveAndRelease(Status::Saving), Fate::Over, Fate::Unclear]),
        (Intent::Upload, "queued", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Upload, "uploading", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Upload, "active", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Upload, "no-status", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Upload, "deleted", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Upload, "pending_delete", [Fate::Over; 3]),
        (Intent::Stage, "uploading", [Fate::RemoveAndRelease(Status::Uploading), Fate::Over, Fate::Over]),
        (Intent::Stage, "saving", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Import, "importing", [Fate::Leave; 3]),
        (Intent::Delete, "active", [Fate::Over; 3]),
        (Intent::Delete, "saving", [Fate::Over; 3]),
        (Intent::Delete, "deleted", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Delete, "pending_delete", [Fate::Over; 3]),
        (Intent::RemoveLocations, "active", [Fate::Remove; 3]),
        (Intent::RemoveLocations, "saving", [Fate::Remove; 3]),
        (Intent::RemoveLocations, "deleted", [Fate::Remove; 3]),
        (Intent::RemoveLocations, "pending_delete", [Fate::Leave; 3]),
    ];
    for (intent, status, fates) in table {
        for (owner, wanted) in owners.into_iter().zip(fates) {
            let found = fate(&record(Some((intent, &own))), Some(&with_owner(status, owner)));
            assert_eq!(found, wanted, "{intent:?} of an image that is {status}, owner {owner:?}, own {own:?}");
        }
    }
    assert_eq!(fate(&record(Some((Intent::Upload, &own))), None), Fate::Remove);
    assert_eq!(fate(&record(Some((Intent::RemoveLocations, &own))), None), Fate::Remove);
}

/// Else the data of a copy that has just been published would go, and the image get a location without data.
#[test]
fn what_an_image_was_to_lose_stays_while_somebody_writes_who_may_use_the_same_place() {
    let (own, writer) = (Token::new(), Token::new());
    let entry = Record { places: vec!["file:///one".to_owned()], ..record(Some((Intent::RemoveLocations, &own))) };
    for status in ["active", "queued", "saving", "uploading", "importing"] {
        assert_eq!(fate(&entry, Some(&with_owner(status, Some(&writer)))), Fate::Leave, "{status}");
        assert_eq!(fate(&entry, Some(&with_owner(status, None))), Fate::Remove, "{status}");
    }
    // A deletion is the owner then.
    assert_eq!(fate(&entry, Some(&with_owner("deleted", Some(&writer)))), Fate::Remove);
    // The row never changed, so that nobody can have written there: the place is skipped, and the entry goes.
    let mut never_changed = with_owner("active", Some(&writer));
    never_changed.image.locations = vec![LocationRecord::active("file:///one".to_owned(), serde_json::Map::new())];
    assert_eq!(fate(&entry, Some(&never_changed)), Fate::Remove);
}

#[test]
fn an_earlier_builds_entry_gives_way_to_any_token() {
    let token = Token::new();
    let table = [
        ("saving", Fate::RemoveAndRelease(Status::Saving)),
        ("queued", Fate::Over),
        ("active", Fate::Over),
        ("deleted", Fate::Remove),
        ("pending_delete", Fate::Over),
    ];
    for (status, wanted) in table {
        assert_eq!(fate(&record(None), Some(&with_owner(status, None))), wanted, "{status}");
        assert_eq!(fate(&record(None), Some(&with_owner(status, Some(&token)))), Fate::Over, "{status}");
    }
    assert_eq!(fate(&record(None), None), Fate::Remove);
}

/// Stores with these ids; a file store lies in a directory of the same name.
fn stores(place: &Path, backends: &[(&str, &str)]) -> Stores {
    let mut config = Config::default();
    let named = |(id, kind): &(&str, &str)| ((*id).to_owned(), (*kind).to_owned());
    config.default.enabled_backends = Some(backends.iter().map(named).collect());
    config.glance_store.default_backend = Some(backends[0].0.to_owned());
    for id in backends.iter().map(|(id, _)| *id).chain([STAGING_STORE, TASKS_STORE]) {
        let mut options = DriverOptions::default();
        options.set("filesystem_store_datadir", &[place.join(id).to_str().unwrap()]);
        config.stores.insert(id.to_owned(), StoreSection { options, ..StoreSection::default() });
    }
    Stores::open(&config).unwrap()
}

#[test]
fn what_is_wrong_with_an_entry_is_said_once() {
    let reported = Reported::default();
    let (one, two) = (OsString::from("one"), OsString::from("two"));
    let unclear = |status: &str| Unfinished::Unclear { status: status.into() };
    assert!(reported.is_new(&one, &unclear("saving")) && reported.is_new(&two, &unclear("saving")));
    assert!(!reported.is_new(&one, &unclear("saving")));
    reported.retain(std::slice::from_ref(&two));
    assert!(reported.is_new(&one, &unclear("saving")), "it has gone in between");
    assert!(!reported.is_new(&two, &unclear("saving")));
    assert!(reported.is_new(&two, &unclear("uploading")), "it is something else");
}

fn with_places(intent: Option<Intent>, places: Vec<String>) -> Record {
    let token = Token::new();
    Record { places, ..record(intent.map(|intent| (intent, &token))) }
}

#[tokio::test]
async fn one_bad_place_does_not_keep_the_others() {
    let place = tempfile::tempdir().unwrap();
    let images = place.path().join("images");
    let stores = stores(place.path(), &[("images", "file")]);
    let url = |name: &str| format!("file://{}", images.join(name).display());
    // Nobody can remove it as a file.
    std::fs::create_dir(images.join("folder")).unwrap();
    for name in ["first", "last", "kept"] {
        std::fs::write(images.join(name), "data").unwrap();
    }
    let bad = ["strange://place/one", "no URL", "file:relative", "file:///gone/one"].map(str::to_owned);
    let context = StoreContext::default();
    let mut places = bad.to_vec();
    places.extend(["first", "folder", "last", "kept"].map(url));
    let record = with_places(Some(Intent::Upload), places);
    let error = remove_places(&stores, &context, &record, &[&url("kept")]).await.unwrap_err();
    assert!(matches!(error, StoreError::DeleteDenied { .. }), "{error}");
    let left: Vec<bool> =
        ["first", "folder", "last", "kept"].map(|name| images.join(name).try_exists().unwrap()).to_vec();
    assert_eq!(left, [false, true, false, true]);

    let record = with_places(Some(Intent::Upload), bad.to_vec());
    remove_places(&stores, &context, &record, &[]).await.expect("nothing is at places that mean nothing");
}

/// The directory of a store has moved, and its old name leads there.
#[tokio::test]
async fn data_that_an_image_has_by_another_name_stays() {
    let place = tempfile::tempdir().unwrap();
    let (images, old) = (place.path().join("images"), place.path().join("old"));
    let stores = stores(place.path(), &[("images", "file"), ("web", "http")]);
    std::os::unix::fs::symlink(&images, &old).unwrap();
    for name in ["kept", "another"] {
        std::fs::write(images.join(name), "data").unwrap();
    }
    let url = |folder: &Path, name: &str| format!("file://{}/{name}", folder.display());
    let kept = [url(&old, "kept"), url(&old, "gone"), "http://127.0.0.1:1/one".to_owned(), "no URL".to_owned()];
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    let record = with_places(Some(Intent::Import), ["kept", "another"].map(|name| url(&images, name)).to_vec());
    remove_places(&stores, &StoreContext::default(), &record, &kept).await.unwrap();
    let left = ["kept", "another"].map(|name| images.join(name).try_exists().unwrap());
    assert_eq!(left, [true, false]);
}

#[tokio::test]
async fn a_disabled_store_keeps_the_entry_and_a_read_only_one_does_not() {
    let place = tempfile::tempdir().unwrap();
    // A file where a directory should be.
    std::fs::write(place.path().join("bad"), "").unwrap();
    let stores = stores(place.path(), &[("images", "file"), ("bad", "file"), ("web", "http")]);
    let context = StoreContext::default();
    let file = format!("file://{}", place.path().join("bad/one").display());
    let web = "http://127.0.0.1:1/one".to_owned();
    for intent in [None, Some(Intent::Upload), Some(Intent::Delete), Some(Intent::RemoveLocations)] {
        let record = with_places(intent, vec![file.clone()]);
        let error = remove_places(&stores, &context, &record, &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::Unsupported { .. }), "{intent:?}: {error}");
        let record = with_places(intent, vec![web.clone()]);
        let is_kept = remove_places(&stores, &context, &record, &[]).await.is_err();
        assert_eq!(is_kept, intent == Some(Intent::Upload), "{intent:?}");
    }
}
