//! The same requests to upstream's service and to ours, in the same order on fresh state; the answers must be the same.
//!
//! The cases are data: `cases/*.yaml`, one file for a family of behaviour, each with the configuration it needs. How a case
//! is written is told in `case.rs`, what counts as the same in `difference.rs`, `names.rs` and `rules.yaml`.
//!
//! Who may do what is a table of its own (`policy/`), which upstream has answered once.
//!
//! `GLANCE_COMPARE_DATABASE` says on which database; see `common/shared_database.rs`.
//! With `GLANCE_COMPARE_WITH=upstream` a second upstream takes our place: that shows that the cases themselves are stable.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

#[path = "../common/mod.rs"]
mod common;

mod case;
mod difference;
mod names;
mod policy;
mod run;
mod running;
mod takeover;
mod web;

/// A test for each file of cases, so that they run side by side and are counted one by one.
macro_rules! files {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run::file(stringify!($name)); })*

        #[test]
        fn every_file_has_a_test() {
            let mut known = vec![$(stringify!($name).to_owned()),*];
            known.sort();
            assert_eq!(case::file_names(), known);
        }
    };
}

files! {
    actions
    anonymous
    auth
    cache
    cache_files
    cached
    cors
    create
    download
    encrypted
    formats
    formats_lenient
    formats_options
    glance_download
    hashing
    health
    horizon
    import
    imports_at_work
    import_single
    import_plugins
    info
    info_single
    keystone_limits
    list
    location_changes
    locations
    locations_api
    locations_refused
    locations_told
    locations_unhashed
    members
    members_new_defaults
    members_policy
    metadef_items
    metadef_lists
    metadef_new_defaults
    metadef_policy
    metadefs
    old_defaults
    open
    open_defaults
    paging
    pairs
    pairs_cache
    pairs_imports
    pairs_metadefs
    pairs_stores
    patch
    policy
    protections
    protections_by_rules
    protections_in_rules
    proxy_headers
    quotas
    quotas_imports
    quotas_off
    routes
    schemas
    show_delete
    stores
    stores_policy
    tags
    tasks
    tasks_import
    typed_properties
    upload
    versions
    versions_cache
    versions_single
    visibility
}
