//! Upstream's revisions, and how they hang together (`glance/db/sqlalchemy/alembic_migrations/versions`).
//!
//! Two branches begin after `mitaka02`: `expand` adds what a newer release needs, `contract` removes what an older one needed. A
//! revision of `contract` depends on one of `expand`. The table `alembic_version` names the revisions that are done and that no
//! other one which is done follows or depends on.

use std::collections::BTreeSet;

use crate::db::error::SchemaError;

/// One step of upstream's history of the tables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) name: &'static str,
    /// Empty for the first one.
    pub(crate) follows: &'static str,
    /// Of the other branch; empty: none.
    depends_on: &'static str,
    /// Upstream's description.
    pub(crate) about: &'static str,
}

/// The newest revision of the branch that adds.
pub(crate) const EXPANDED: &str = "2024_1_expand01";
/// The newest revision of the branch that removes; everything is done then.
pub(crate) const HEAD: &str = "2024_1_contract01";
/// Where upstream's history begins.
pub(crate) const FIRST: &str = "liberty";

macro_rules! revisions {
    ($( $name:literal $follows:literal $depends_on:literal $about:literal )+) => {
        &[ $( Revision { name: $name, follows: $follows, depends_on: $depends_on, about: $about }, )+ ]
    };
}

/// All of them, each after those that it follows or depends on.
static REVISIONS: &[Revision] = revisions! {
    "liberty" "" "" "liberty initial"
    "mitaka01" "liberty" "" "add index on created_at and updated_at columns of 'images' table"
    "mitaka02" "mitaka01" "" "update metadef os_nova_server"
    "ocata_expand01" "mitaka02" "" "add visibility to images"
    "pike_expand01" "ocata_expand01" "" "empty expand for symmetry with pike_contract01"
    "queens_expand01" "pike_expand01" "" ""
    "rocky_expand01" "queens_expand01" "" "add os_hidden column to images table"
    "rocky_expand02" "rocky_expand01" "" "add os_hash_algo and os_hash_value columns to images table"
    "train_expand01" "rocky_expand02" "" "empty expand for symmetry with train_contract01"
    "ussuri_expand01" "train_expand01" "" "empty expand for symmetry with ussuri_expand01"
    "wallaby_expand01" "ussuri_expand01" "" "add image_id, request_id, user columns to tasks table\""
    "xena_expand01" "wallaby_expand01" "" "empty expand for symmetry with 2023_1_expand01"
    "yoga_expand01" "xena_expand01" "" "empty expand for symmetry with 2023_1_expand01"
    "zed_expand01" "yoga_expand01" "" "empty expand for symmetry with 2023_1_expand01"
    "2023_1_expand01" "zed_expand01" "" "empty expand for symmetry with 2023_1_expand01"
    "2024_1_expand01" "2023_1_expand01" "" "adds cache_node_reference and cached_images table(s)"
    "ocata_contract01" "mitaka02" "ocata_expand01" "remove is_public from images"
    "pike_contract01" "ocata_contract01" "pike_expand01" "drop glare artifacts tables"
    "queens_contract01" "pike_contract01" "queens_expand01" ""
    "rocky_contract01" "queens_contract01" "rocky_expand01" ""
    "rocky_contract02" "rocky_contract01" "rocky_expand02" ""
    "train_contract01" "rocky_contract02" "train_expand01" ""
    "ussuri_contract01" "train_contract01" "ussuri_expand01" ""
    "wallaby_contract01" "ussuri_contract01" "wallaby_expand01" ""
    "xena_contract01" "wallaby_contract01" "xena_expand01" ""
    "yoga_contract01" "xena_contract01" "yoga_expand01" ""
    "zed_contract01" "yoga_contract01" "zed_expand01" ""
    "2023_1_contract01" "zed_contract01" "2023_1_expand01" ""
    "2024_1_contract01" "2023_1_contract01" "2024_1_expand01" ""
};

/// Names of a former release for revisions that are the same (`get_current_alembic_heads` of upstream).
pub(super) const FORMER: [(&str, &str); 2] = [("pike01", "pike_contract01"), ("ocata01", "ocata_contract01")];

impl Revision {
    /// Those that must be done right before this one.
    fn before(&self) -> impl Iterator<Item = &'static str> {
        [self.follows, self.depends_on].into_iter().filter(|name| !name.is_empty())
    }
}

/// The revision of this name, of a branch's end (`heads`, `expand`, `contract`), or the only one whose name begins so.
///
/// # Errors
/// [`SchemaError::UnknownRevision`]
pub(crate) fn find(name: &str) -> Result<&'static Revision, SchemaError> {
    let name = match name {
        "heads" | "head" => HEAD,
        _ => match name.split_once('@').map_or(name, |(branch, _)| branch) {
            "expand" => EXPANDED,
            "contract" => HEAD,
            "ocata01" => "ocata_contract01",
            _ => name,
        },
    };
    let unknown = || SchemaError::UnknownRevision(name.to_owned());
    if let Some(exact) = REVISIONS.iter().find(|revision| revision.name == name) {
        return Ok(exact);
    }
    let mut candidates = REVISIONS.iter().filter(|revision| !name.is_empty() && revision.name.starts_with(name));
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(unknown()),
    }
}

/// All that is done when these are: they, and what they follow and depend on.
///
/// # Errors
/// [`SchemaError::UnknownRevision`]: a newer release, or another program, was here.
pub(super) fn done(heads: &[String]) -> Result<BTreeSet<&'static str>, SchemaError> {
    let mut all = BTreeSet::new();
    let mut open = Vec::new();
    for head in heads {
        let known = REVISIONS.iter().find(|revision| revision.name == head);
        open.push(known.ok_or_else(|| SchemaError::UnknownRevision(head.clone()))?);
    }
    while let Some(revision) = open.pop() {
        if all.insert(revision.name) {
            open.extend(revision.before().filter_map(|name| REVISIONS.iter().find(|other| other.name == name)));
        }
    }
    Ok(all)
}

/// What is left to do until `target` is done, in order.
///
/// # Errors
/// As [`done`].
pub(super) fn missing(heads: &[String], target: &Revision) -> Result<Vec<&'static Revision>, SchemaError> {
    let is_done = done(heads)?;
    let wanted = done(&[target.name.to_owned()])?;
    let is_missing = |revision: &&Revision| wanted.contains(revision.name) && !is_done.contains(revision.name);
    Ok(REVISIONS.iter().filter(is_missing).collect())
}

/// How the rows of `alembic_version` change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) remove: Vec<String>,
    pub(super) add: Option<&'static str>,
}

/// After `revision` was done.
pub(super) fn after(heads: &[String], revision: &'static Revision) -> Rows {
    let is_over = |head: &&String| revision.before().any(|name| name == head.as_str());
    Rows { remove: heads.iter().filter(is_over).cloned().collect(), add: Some(revision.name) }
}

/// When the tables are said to be at `revision`: whatever leads there, or comes from there, is not named any more.
///
/// # Errors
/// As [`done`].
pub(super) fn stamped(heads: &[String], revision: &'static Revision) -> Result<Rows, SchemaError> {
    if heads.iter().any(|head| head == revision.name) {
        return Ok(Rows { remove: Vec::new(), add: None });
    }
    let before = done(&[revision.name.to_owned()])?;
    let mut remove = Vec::new();
    for head in heads {
        if before.contains(head.as_str()) || done(std::slice::from_ref(head))?.contains(revision.name) {
            remove.push(head.clone());
        }
    }
    Ok(Rows { remove, add: Some(revision.name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Does everything up to `target`, and says what the table names then.
    fn upgraded(heads: &[&str], target: &str) -> Vec<String> {
        let mut heads = names(heads);
        for revision in missing(&heads, find(target).unwrap()).unwrap() {
            let rows = after(&heads, revision);
            heads.retain(|head| !rows.remove.contains(head));
            heads.extend(rows.add.map(str::to_owned));
        }
        heads
    }

    #[test]
    fn each_comes_after_those_that_it_needs() {
        for (at, revision) in REVISIONS.iter().enumerate() {
            for name in revision.before() {
                assert!(REVISIONS[..at].iter().any(|earlier| earlier.name == name), "{name} before {}", revision.name);
            }
        }
        assert_eq!(done(&names(&[HEAD])).unwrap().len(), REVISIONS.len());
    }

    /// As upstream's tool leaves the table (`alembic.runtime.migration.HeadMaintainer`).
    #[test]
    fn what_the_table_names_afterwards() {
        assert_eq!(upgraded(&[], "expand"), ["2024_1_expand01"]);
        assert_eq!(upgraded(&["2024_1_expand01"], "ocata_contract01"), ["2024_1_expand01", "ocata_contract01"]);
        assert_eq!(upgraded(&["2024_1_expand01"], "heads"), [HEAD]);
        assert_eq!(upgraded(&[], "ocata_contract01"), ["ocata_contract01"]);
        assert_eq!(upgraded(&["ocata_contract01"], "pike_expand01"), ["ocata_contract01", "pike_expand01"]);
        assert_eq!(upgraded(&["ocata_contract01"], "pike_contract01"), ["pike_contract01"]);
        assert_eq!(upgraded(&[HEAD], "expand"), [HEAD]);
    }

    #[test]
    fn a_stamp_takes_the_place_of_what_leads_to_it_or_comes_from_it() {
        let stamp = |heads: &[&str], name| {
            let rows = stamped(&names(heads), find(name).unwrap()).unwrap();
            (rows.remove, rows.add)
        };
        assert_eq!(stamp(&[HEAD], "liberty"), (names(&[HEAD]), Some("liberty")));
        assert_eq!(stamp(&["liberty"], "heads"), (names(&["liberty"]), Some(HEAD)));
        assert_eq!(stamp(&["2024_1_expand01"], "ocata_contract01"), (vec![], Some("ocata_contract01")));
        assert_eq!(stamp(&["liberty"], "liberty"), (vec![], None));
    }

    #[test]
    fn a_revision_is_found_by_name_by_branch_and_by_its_beginning() {
        for (text, name) in [
            ("heads", HEAD),
            ("expand@head", EXPANDED),
            ("contract", HEAD),
            ("ocata01", "ocata_contract01"),
            ("mitaka02", "mitaka02"),
            ("lib", "liberty"),
        ] {
            assert_eq!(find(text).unwrap().name, name, "{text}");
        }
        for text in ["mitaka", "nonsense", ""] {
            assert!(find(text).is_err(), "{text}");
        }
        assert!(done(&names(&["2099_1_contract01"])).is_err());
    }
}
