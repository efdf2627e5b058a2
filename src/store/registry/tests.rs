use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use super::super::Capability;
use super::super::conformance::{IMAGE, put, read};
use super::*;
use crate::config::{Config, DriverOptions, StoreSection};

fn single(place: &TempDir) -> Config {
    let mut config = Config::default();
    config.driver_options.set("filesystem_store_datadir", &[place.path().join("images").to_str().unwrap()]);
    config
}

/// Two file stores, `fast` (weight 10) and `slow` (the default), and `web`.
fn multi(place: &TempDir) -> Config {
    let mut config = Config::default();
    let backends = [("fast", "file"), ("web", "http"), ("slow", "file")];
    config.default.enabled_backends = Some(backends.map(|(id, kind)| (id.to_owned(), kind.to_owned())).to_vec());
    config.glance_store.default_backend = Some("slow".to_owned());
    for (id, weight) in [("fast", 10), ("web", 0), ("slow", 0), (STAGING_STORE, 0), (TASKS_STORE, 0)] {
        let mut options = DriverOptions::default();
        options.set("filesystem_store_datadir", &[place.path().join(id).to_str().unwrap()]);
        let store_description = (id == "fast").then(|| "NVMe".to_owned());
        config
            .stores
            .insert(id.to_owned(), StoreSection { weight, options, store_description, ..StoreSection::default() });
    }
    config
}

fn reason(config: &Config) -> String {
    Stores::open(config).err().unwrap().to_string()
}

#[tokio::test]
async fn single_store_mode_chooses_by_scheme() {
    let place = tempfile::tempdir().unwrap();
    let stores = Stores::open(&single(&place)).unwrap();
    assert!(!stores.is_multi());
    assert_eq!(stores.public().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["file", "http"]);
    assert_eq!(stores.default_store().kind(), "file");
    assert!(stores.get("file").is_err());
    assert!(stores.reserved(STAGING_STORE).is_err());

    let image = put(&*stores.default_store().store, IMAGE, Bytes::from_static(b"data")).await;
    // A store's id in the metadata, left from other times, has no meaning here.
    for store in [None, Some("gone")] {
        let found = LocationRef { url: image.url(), store };
        assert_eq!(
            read(stores.open_location(&StoreContext::default(), found, None).await.unwrap()).await.unwrap(),
            b"data"
        );
        assert_eq!(stores.size(&StoreContext::default(), found).await.unwrap(), 4);
    }
    assert_eq!(stores.id_for_url(image.url()), None);
    let strange = LocationRef { url: "rbd://pool/image", store: None };
    assert!(
        matches!(stores.size(&StoreContext::default(), strange).await, Err(StoreError::UnknownScheme { scheme }) if scheme == "rbd")
    );
    stores.delete(&StoreContext::default(), LocationRef { url: image.url(), store: None }).await.unwrap();
    let error =
        stores.delete(&StoreContext::default(), LocationRef { url: "http://host/x", store: None }).await.unwrap_err();
    assert!(matches!(error, StoreError::Unsupported { capability: Capability::Delete, .. }));
}

#[test]
fn the_default_store_must_be_among_the_stores() {
    let place = tempfile::tempdir().unwrap();
    let mut config = single(&place);
    config.glance_store.stores = vec!["http".to_owned()];
    assert!(reason(&config).contains("Store for scheme file not found"));
    config.glance_store.default_store = "https".to_owned();
    let stores = Stores::open(&config).unwrap();
    assert!(!stores.default_store().store.can_add());
    config.glance_store.stores = vec!["glance.store.filesystem.Store".to_owned(), "file".to_owned()];
    config.glance_store.default_store = "filesystem".to_owned();
    assert_eq!(Stores::open(&config).unwrap().all().count(), 2);
}

#[test]
fn users_may_name_what_lies_in_the_web_if_there_is_a_store_for_it() {
    let place = tempfile::tempdir().unwrap();
    for config in [single(&place), multi(&place)] {
        let stores = Stores::open(&config).unwrap();
        for (url, wanted) in [
            ("http://web/a", true),
            ("https://web/a", true),
            // As upstream has it, which looks at the first letters.
            ("httpx://web/a", true),
            ("HTTP://web/a", false),
            ("file:///etc/passwd", false),
            ("rbd://a/b/c/d", false),
            ("", false),
        ] {
            assert_eq!(stores.is_open_to_users(url), wanted, "{url}");
        }
    }
    let mut config = single(&place);
    config.glance_store.stores = vec!["file".to_owned()];
    assert!(!Stores::open(&config).unwrap().is_open_to_users("http://web/a"));
}

#[test]
fn drivers_that_do_not_exist_end_the_start() {
    let place = tempfile::tempdir().unwrap();
    for kind in ["s3", "swift", "cinder", "vmware", "glance.store.s3.Store"] {
        let mut config = single(&place);
        config.glance_store.stores.push(kind.to_owned());
        assert!(reason(&config).contains("no driver"), "{kind}");
    }
    let mut config = multi(&place);
    config.default.enabled_backends.as_mut().unwrap().push(("objects".to_owned(), "s3".to_owned()));
    assert!(reason(&config).starts_with("[DEFAULT] enabled_backends: this version has no driver"));
    // A name that nobody knows is only a warning, as upstream.
    let mut config = single(&place);
    config.glance_store.stores.push("floppy".to_owned());
    assert_eq!(Stores::open(&config).unwrap().all().count(), 3);
}

#[tokio::test]
async fn a_reload_keeps_a_store_until_what_it_is_made_from_changes() {
    let place = tempfile::tempdir().unwrap();
    let authority = place.path().join("ca.pem");
    let certificate = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    std::fs::write(&authority, certificate()).unwrap();
    let web = |stores: &Stores| Arc::clone(&stores.all().find(|entry| entry.kind() == "http").unwrap().store);
    for mut config in [single(&place), multi(&place)] {
        let section = |config: &mut Config| match config.stores.get_mut("web") {
            Some(section) => std::mem::take(&mut section.options),
            None => std::mem::take(&mut config.driver_options),
        };
        let put_back = |config: &mut Config, options: DriverOptions| match config.stores.get_mut("web") {
            Some(section) => section.options = options,
            None => config.driver_options = options,
        };
        let mut options = section(&mut config);
        options.set("https_ca_certificates_file", &[authority.to_str().unwrap()]);
        put_back(&mut config, options.clone());
        let before = Stores::open(&config).unwrap();
        let is_kept = |config: &Config| Arc::ptr_eq(&web(&before), &web(&Stores::open_again(config, &before).unwrap()));
        assert!(is_kept(&config));
        let files = |stores: &Stores| Arc::clone(&stores.default_store().store);
        assert!(!Arc::ptr_eq(&files(&before), &files(&Stores::open_again(&config, &before).unwrap())), "to look anew");

        // Those of others.
        config.default.debug = true;
        options.set("filesystem_store_chunk_size", &["65537"]);
        put_back(&mut config, options.clone());
        assert!(is_kept(&config));

        let mut filtered = config.clone();
        filtered.import_filtering_opts.allowed_ports = vec!["81".to_owned()];
        assert!(!is_kept(&filtered));
        let mut other = options.clone();
        other.set("http_proxy_information", &["http:proxy:3128"]);
        put_back(&mut config, other);
        assert!(!is_kept(&config));
        put_back(&mut config, options);
        assert!(is_kept(&config));
        std::fs::write(&authority, certificate() + "\n").unwrap();
        assert!(!is_kept(&config));
    }
}

#[tokio::test]
async fn a_store_in_ceph_needs_its_configuration_and_is_not_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ceph.conf");
    let mut config = single(&place);
    config.glance_store.stores = vec!["rbd".to_owned()];
    config.glance_store.default_store = "rbd".to_owned();
    config.driver_options.set("rbd_store_ceph_conf", &[path.to_str().unwrap()]);
    config.driver_options.set("rados_connect_timeout", &["1"]);
    assert!(reason(&config).contains("rbd_store_ceph_conf /"));

    let fsid = "46e03f27-64b5-4c4c-afd4-f5ea2a4a9a5a";
    std::fs::write(&path, format!("[global]\nfsid = {fsid}\nmon_host = 127.0.0.1:1\nauth_client_required = none\n"))
        .unwrap();
    let stores = Stores::open(&config).unwrap();
    let store = &stores.default_store().store;
    assert!(store.owns(&format!("rbd://{fsid}/images/x/snap")));
    assert!(!store.owns("rbd://other/images/x/snap"));
    assert!(!store.owns(&format!("rbd://{fsid}/images2/x/snap")));
    let properties = serde_json::json!(
        {"chunk_size": 8_388_608, "pool": "images", "thin_provisioning": false, "fsid": fsid});
    assert_eq!(Value::Object(store.properties()), properties);
    // Nobody is there.
    assert_eq!(store.candidates("x").await.unwrap(), [format!("rbd://{fsid}/images/x/snap")]);
    let begun = store.begin(&StoreContext::default(), "x", None).await.map(drop);
    assert!(matches!(begun, Err(StoreError::RemoteUnavailable { .. })), "{begun:?}");

    std::fs::write(&path, "[global]\nmon_host = 127.0.0.1:1\nauth_client_required = none\n").unwrap();
    let stores = Stores::open(&config).unwrap();
    let nowhere = stores.default_store().store.candidates("x").await;
    assert!(matches!(nowhere, Err(StoreError::RemoteUnavailable { .. })), "{nowhere:?}");
}

#[test]
fn a_bad_store_is_fatal_only_as_the_default() {
    let place = tempfile::tempdir().unwrap();
    let mut config = multi(&place);
    config.stores.get_mut("fast").unwrap().options.set("filesystem_store_datadir", &["/proc/none"]);
    let stores = Stores::open(&config).unwrap();
    assert!(!stores.get("fast").unwrap().store.can_add());
    config.glance_store.default_backend = Some("fast".to_owned());
    assert!(reason(&config).contains("/proc/none"));
}

#[test]
fn multi_store_needs_ids_in_order() {
    let place = tempfile::tempdir().unwrap();
    let mut config = multi(&place);
    config.glance_store.default_backend = None;
    assert!(reason(&config).contains("'default_backend' config option is not set."));
    config.glance_store.default_backend = Some("none".to_owned());
    assert_eq!(reason(&config), "[glance_store] default_backend: Store for identifier none not found");
}

#[tokio::test]
async fn multi_store_mode_chooses_by_id() {
    let place = tempfile::tempdir().unwrap();
    let stores = Stores::open(&multi(&place)).unwrap();
    assert!(stores.is_multi());
    assert_eq!(stores.public().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["fast", "web", "slow"]);
    assert_eq!(stores.default_store().id, "slow");
    assert_eq!(stores.get("fast").unwrap().description.as_deref(), Some("NVMe"));
    assert!(!stores.get("web").unwrap().store.can_add());
    for hidden in [STAGING_STORE, TASKS_STORE, "none", ""] {
        assert!(matches!(stores.get(hidden), Err(StoreError::UnknownStore { .. })), "{hidden}");
    }
    assert!(stores.reserved(STAGING_STORE).unwrap().store.can_add());
    assert!(stores.reserved("fast").is_err());

    let fast = &stores.get("fast").unwrap().store;
    let stored = fast.begin(&StoreContext::default(), IMAGE, None).await.unwrap().commit().await.unwrap();
    assert_eq!(stored.metadata.get("store"), Some(&Value::from("fast")));
    let found = LocationRef::new(&stored.url, stored.metadata.get("store").and_then(Value::as_str));
    assert_eq!(stores.size(&StoreContext::default(), found).await.unwrap(), 0);
    assert_eq!(stores.id_for_url(&stored.url), Some("fast"));
    assert_eq!(stores.id_for_url("https://host/x"), Some("web"));
    assert_eq!(stores.id_for_url("file:///elsewhere/x"), None);

    let unknown = LocationRef { url: &stored.url, store: Some("gone") };
    assert!(matches!(stores.size(&StoreContext::default(), unknown).await, Err(StoreError::UnknownStore { .. })));
    let mismatch = LocationRef { url: &stored.url, store: Some("web") };
    assert!(matches!(stores.size(&StoreContext::default(), mismatch).await, Err(StoreError::UnknownScheme { .. })));
    // Old rows name no store: they are looked for everywhere, but their size is not asked for.
    let unnamed = LocationRef { url: &stored.url, store: None };
    assert!(matches!(stores.size(&StoreContext::default(), unnamed).await, Err(StoreError::UnknownStore { .. })));
    stores.open_location(&StoreContext::default(), unnamed, None).await.unwrap();
    stores.delete(&StoreContext::default(), unnamed).await.unwrap();
    assert!(matches!(stores.delete(&StoreContext::default(), unnamed).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn weight_orders_locations_and_keeps_ties() {
    let place = tempfile::tempdir().unwrap();
    let mut locations =
        vec![("a", Some("slow")), ("b", Some("gone")), ("c", Some("fast")), ("d", None), ("e", Some("fast"))];
    Stores::open(&multi(&place)).unwrap().sort_by_weight(&mut locations, |location| location.1);
    assert_eq!(locations.iter().map(|location| location.0).collect::<String>(), "ceabd");
    locations.reverse();
    Stores::open(&single(&place)).unwrap().sort_by_weight(&mut locations, |location| location.1);
    assert_eq!(locations.iter().map(|location| location.0).collect::<String>(), "dbaec");
}

#[tokio::test]
async fn data_is_looked_for_until_it_is_found() {
    let place = tempfile::tempdir().unwrap();
    let stores = Stores::open(&multi(&place)).unwrap();
    let copy = put(&*stores.get("slow").unwrap().store, IMAGE, Bytes::from_static(b"0123456789")).await;
    let lost = stores.get("fast").unwrap().store.candidates(IMAGE).await.unwrap().remove(0);
    let places = [
        LocationRef { url: &lost, store: Some("fast") },
        LocationRef { url: "nonsense", store: Some("fast") },
        LocationRef { url: copy.url(), store: Some("gone") },
        LocationRef { url: copy.url(), store: Some("slow") },
    ];
    let reader = stores.open_any(&StoreContext::default(), &places, Some(2..5)).await.unwrap();
    assert_eq!(read(reader).await.unwrap(), b"234");
    assert!(matches!(
        stores.open_any(&StoreContext::default(), &places[..3], None).await.err(),
        Some(StoreError::UnknownStore { .. })
    ));
    assert!(matches!(
        stores.open_any(&StoreContext::default(), &[], None).await.err(),
        Some(StoreError::NotFound { .. })
    ));
    let web = [LocationRef { url: "http://192.0.2.1/x", store: Some("web") }];
    let error = stores.open_any(&StoreContext::default(), &web, Some(0..1)).await.err().unwrap();
    assert!(matches!(error, StoreError::Unsupported { capability: Capability::ReadRange { .. }, .. }));
}

#[tokio::test]
async fn users_may_register_the_web_but_nothing_local() {
    let place = tempfile::tempdir().unwrap();
    for config in [single(&place), multi(&place)] {
        let stores = Stores::open(&config).unwrap();
        for (url, good) in [
            ("http://192.0.2.1/image", true),
            ("https://10.1.2.3/image", true),
            ("http://127.0.0.1/image", false),
            ("http://192.0.2.1:22/image", false),
            ("file:///etc/passwd", false),
            ("FILE:///etc/passwd", false),
            ("filesystem:///etc/passwd", false),
            ("swift+config://ref1/c/o", false),
            ("rbd://fsid/pool/image/snap", false),
            ("javascript:alert(1)", false),
            ("", false),
        ] {
            let verdict = stores.check_external(url).await;
            assert_eq!(verdict.is_ok(), good, "{url}");
            if let Err(error) = verdict {
                assert_eq!(error.to_string(), "Invalid location");
            }
        }
    }
}

#[tokio::test]
async fn one_object_is_known_by_each_of_its_names() {
    let place = tempfile::tempdir().unwrap();
    let stores = Stores::open(&multi(&place)).unwrap();
    let image = put(&*stores.default_store().store, IMAGE, Bytes::from_static(b"data")).await;
    let other = put(&*stores.get("fast").unwrap().store, IMAGE, Bytes::from_static(b"data")).await;
    let scheme = image.url().replacen("file:", "filesystem:", 1);
    let link = place.path().join("link");
    std::os::unix::fs::symlink(place.path().join("slow"), &link).unwrap();
    let moved = format!("file://{}/{IMAGE}", link.display());
    for (others, expected) in [
        (vec![], false),
        (vec![other.url(), "http://h/x", "no URL"], false),
        (vec![scheme.as_str()], true),
        (vec![other.url(), moved.as_str()], true),
    ] {
        assert_eq!(stores.is_among(image.url(), &others).await.unwrap(), expected, "{others:?}");
    }
    assert!(!stores.is_among("no URL", &["no URL"]).await.unwrap());
}
