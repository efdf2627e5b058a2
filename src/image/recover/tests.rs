use time::macros::datetime;

use super::super::journal::{Token, Work};
use super::*;
use crate::db::model::ImageRecord;

fn standing(status: &str, owner: Option<&Token>) -> Standing {
    let deleted = matches!(status, "deleted" | "pending_delete");
    let image = ImageRecord {
        id: "one".to_owned(),
        name: None,
        size: None,
        virtual_size: None,
        status: status.to_owned(),
        visibility: "shared".to_owned(),
        disk_format: None,
        container_format: None,
        checksum: None,
        os_hash_algo: None,
        os_hash_value: None,
        owner: None,
        min_disk: 0,
        min_ram: 0,
        protected: false,
        os_hidden: false,
        created_at: datetime!(2024-01-01 0:00),
        updated_at: datetime!(2024-01-01 0:00),
        deleted_at: deleted.then_some(datetime!(2024-01-01 0:00)),
        deleted,
        properties: Vec::new(),
        tags: Vec::new(),
        locations: Vec::new(),
    };
    Standing { image, owner: owner.map(|token| token.as_str().to_owned()) }
}

fn record(work: Option<(Intent, &Token)>) -> Record {
    let work = work.map(|(intent, token)| Work { intent, token: token.clone(), host: "h".to_owned() });
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
        (Intent::Stage, "uploading", [Fate::RemoveAndRelease(Status::Uploading), Fate::Over, Fate::Unclear]),
        (Intent::Stage, "saving", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Import, "importing", [Fate::RemoveAndRelease(Status::Importing), Fate::Over, Fate::Unclear]),
        (Intent::Delete, "active", [Fate::Over; 3]),
        (Intent::Delete, "saving", [Fate::Over; 3]),
        (Intent::Delete, "deleted", [Fate::Remove, Fate::Over, Fate::Over]),
        (Intent::Delete, "pending_delete", [Fate::Over; 3]),
        (Intent::RemoveLocations, "active", [Fate::Remove; 3]),
        (Intent::RemoveLocations, "saving", [Fate::Remove; 3]),
        (Intent::RemoveLocations, "deleted", [Fate::Remove; 3]),
        (Intent::RemoveLocations, "pending_delete", [Fate::Leave; 3]),
        (Intent::Cache, "active", [Fate::Leave; 3]),
    ];
    for (intent, status, fates) in table {
        for (owner, wanted) in owners.into_iter().zip(fates) {
            let found = fate(&record(Some((intent, &own))), Some(&standing(status, owner)));
            assert_eq!(found, wanted, "{intent:?} of an image that is {status}, owner {owner:?}, own {own:?}");
        }
    }
    assert_eq!(fate(&record(Some((Intent::Upload, &own))), None), Fate::Remove);
    assert_eq!(fate(&record(Some((Intent::RemoveLocations, &own))), None), Fate::Remove);
    assert_eq!(fate(&record(Some((Intent::Cache, &own))), None), Fate::Leave);
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
        assert_eq!(fate(&record(None), Some(&standing(status, None))), wanted, "{status}");
        assert_eq!(fate(&record(None), Some(&standing(status, Some(&token)))), Fate::Over, "{status}");
    }
    assert_eq!(fate(&record(None), None), Fate::Remove);
}
