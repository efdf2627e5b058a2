//! tempest, the tests that a cloud of OpenStack has to pass, on two hosts of ours with a real Keystone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::common::peers::{Keystone, client_bin, stock_definitions};
use crate::common::{Conf, Server, ends_with_thread, free_port, is_thorough, shared_database, wait_for};

/// The region of the catalogue whose Image service is the one under test.
const REGION: &str = "tempest";

/// Images that come in other ways than by an upload: staging, imports, tasks, copies, locations; and the cache.
const WAYS: [&str; 13] = [
    "tempest.api.image.v2.admin.test_image_caching",
    "tempest.api.image.v2.admin.test_image_task",
    "tempest.api.image.v2.admin.test_images.ImageLocationsAdminTest",
    "tempest.api.image.v2.admin.test_images.ImportCopyImagesTest",
    "tempest.api.image.v2.admin.test_images.MultiStoresImagesTest",
    "tempest.api.image.v2.test_images.HashCalculationRemoteDeletionTest",
    "tempest.api.image.v2.test_images.ImageLocationsTest",
    "tempest.api.image.v2.test_images.ImportImagesTest",
    "tempest.api.image.v2.test_images.LocationImportTest",
    "tempest.api.image.v2.test_images.MultiStoresImportImagesTest",
    "tempest.api.image.v2.test_images.MultistoreLocationImportTest",
    "tempest.api.image.v2.test_images.StoreWeightTest",
    "tempest.api.image.v2.test_images_negative.ImportImagesNegativeTest",
];

/// A minute is enough where nothing else goes on.
const LIMIT: Duration = Duration::from_secs(900);

/// The same for [`ALL`], which take a quarter of an hour.
const HOURS: Duration = Duration::from_secs(2 * 3600);

/// All of tempest that is about images, with the plugin of the Image service.
const ALL: [&str; 2] = ["tempest.api.image", "glance_tempest_plugin.tests"];

/// Words of the reasons for which tempest leaves tests out whatever the Image service is: those need Nova, say what happens with
/// `do_secure_hash = false`, or wait for a bug of upstream's.
const LEFT_OUT: [&str; 3] = ["Nova is not available", "do_secure_hash is enabled", "bugs/2030527"];

#[test]
fn tests_of_tempest() {
    let folder = tempfile::tempdir().unwrap();
    // They make users and projects.
    let keystone = Keystone::private();
    let conf = conf(&folder.path().join("one"), &keystone);
    let (conf, _database) = shared_database::with_database_of(shared_database::name_or("postgresql"), conf);
    if is_thorough() {
        // Tests of metadata definitions take the first type of resources that they find.
        let (file, path) = (conf.write(), stock_definitions());
        // A file of SQLite would get its tables from the first worker only.
        shared_database::manage(&file, &["db", "sync"]);
        shared_database::manage(&file, &["db", "load_metadefs", "--path", path.to_str().unwrap()]);
    }
    let other = Server::start(of_host(conf.clone().on_another_host(&folder.path().join("other"), free_port())));
    let one = Server::start(of_host(conf));
    let [url, other] = [&one, &other].map(|server| format!("http://127.0.0.1:{}", server.conf.port));
    keystone.add_region(REGION, &url);
    let names = if is_thorough() { &ALL[..] } else { &WAYS };
    let outcomes = run(&folder.path().join("work"), &keystone, &other, names);
    let is_well = |outcome: &str| match outcome.strip_prefix("skipped") {
        Some(reason) => LEFT_OUT.iter().any(|known| reason.contains(known)),
        None => outcome == "passed",
    };
    let passed = outcomes.values().filter(|outcome| *outcome == "passed").count();
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| !is_well(outcome)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(passed >= if is_thorough() { 232 } else { 28 }, "{passed} passed of {outcomes:#?}");
}

/// What hosts of one cloud have in common.
fn conf(folder: &Path, keystone: &Keystone) -> Conf {
    Conf::new(folder, free_port())
        .two_stores()
        .keystone(keystone)
        .set("DEFAULT.enabled_backends", "fast:file,slow:file,web:http")
        .set("web.store_description", "what others have")
        .set("DEFAULT.enabled_import_methods", "[glance-direct,web-download,copy-image,glance-download]")
        .set("DEFAULT.show_multiple_locations", true)
        .set("DEFAULT.show_image_direct_url", true)
        .set("paste_deploy.flavor", "keystone+cachemanagement")
        .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
        .set("import_filtering_opts.allowed_ports", "[]")
        // Some of tempest's images are of other formats than they say.
        .set("image_format.require_image_format_match", false)
}

/// What each host has for itself.
fn of_host(conf: Conf) -> Conf {
    let path = |name: &str| conf.dir.join(name).display().to_string();
    let (staging, cache, state) = (path("staging"), path("cache"), path("state"));
    let url = format!("http://127.0.0.1:{}", conf.port);
    std::fs::create_dir_all(&conf.dir).unwrap();
    conf.set("os_glance_staging_store.filesystem_store_datadir", staging)
        .set("DEFAULT.image_cache_dir", cache)
        .set("DEFAULT.worker_self_reference_url", url)
        .set("service.state_directory", state)
}

/// What became of each test.
fn run(work: &Path, keystone: &Keystone, other: &str, names: &[&str]) -> BTreeMap<String, String> {
    std::fs::create_dir(work).unwrap();
    std::fs::write(work.join("tempest_tests.py"), include_str!("../data/tempest_tests.py")).unwrap();
    let mut command = ends_with_thread(&client_bin().join("python"));
    command.args(["tempest_tests.py", REGION, other]).args(names).current_dir(work).env_clear().envs([
        ("PATH", "/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        ("HOME", work.to_str().unwrap()),
        ("OS_AUTH_URL", keystone.url.as_str()),
        ("OS_USERNAME", "admin"),
        ("OS_PASSWORD", keystone.password.as_str()),
        ("OS_PROJECT_NAME", "admin"),
        ("OS_USER_DOMAIN_ID", "default"),
        ("OS_PROJECT_DOMAIN_ID", "default"),
        ("OS_IDENTITY_API_VERSION", "3"),
        ("OS_REGION_NAME", "RegionOne"),
    ]);
    let [printed, errors] = ["printed", "errors"].map(|name| work.join(name));
    let file = |path| std::fs::File::create(path).unwrap();
    let mut child = command.stdout(file(&printed)).stderr(file(&errors)).spawn().unwrap();
    wait_for("tempest ends", if is_thorough() { HOURS } else { LIMIT }, || child.try_wait().unwrap());
    let [printed, errors] = [printed, errors].map(|path| std::fs::read_to_string(path).unwrap());
    let outcomes = printed.lines().last().and_then(|line| serde_json::from_str(line).ok());
    outcomes.unwrap_or_else(|| panic!("{printed}\n{errors}"))
}
