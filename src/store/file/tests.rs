use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::conformance::{self, IMAGE, pattern, put, read};
use super::*;
use crate::store::Priority;

/// A store in a directory of its own, which is shown to hold no stray file when the test ends.
struct Fixture {
    store: FileStore,
    place: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut FileOptions)) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut options = FileOptions {
            filesystem_store_datadir: place.path().join("images").to_str().unwrap().to_owned(),
            ..FileOptions::default()
        };
        change(&mut options);
        Self { store: FileStore::open("test", None, &options).unwrap(), place }
    }

    /// A second store in the same place.
    fn again(&self) -> FileStore {
        let options = FileOptions {
            filesystem_store_datadir: self.path("").to_str().unwrap().to_owned(),
            ..FileOptions::default()
        };
        FileStore::open("test", None, &options).unwrap()
    }

    /// One whose directory can only have named drafts, as NFS.
    fn named() -> Self {
        let place = tempfile::tempdir().unwrap();
        let options = FileOptions {
            filesystem_store_datadir: place.path().join("images").to_str().unwrap().to_owned(),
            ..FileOptions::default()
        };
        let store = FileStore::unprepared("test", None, &options).unwrap();
        store.inner.directories.all().for_each(|directory| directory.set_kind(Kind::Named));
        store.inner.prepare().unwrap();
        Self { store, place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join("images").join(name)
    }

    /// Waits for the threads, then lists the directory.
    async fn files(&self) -> Vec<String> {
        for _ in 0..500 {
            if self.store.inner.data.of(Priority::Request).usage() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut names = Vec::new();
        for place in [self.path(""), self.path(".glance-drafts")] {
            let entries = fs::read_dir(place).into_iter().flatten();
            names.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        }
        names.retain(|name| name != ".glance-drafts");
        names
    }
}

fn location(url: impl AsRef<str>) -> Location {
    Location::parse(url.as_ref()).unwrap()
}

#[tokio::test]
async fn conforms_in_every_configuration() {
    for fixture in [
        Fixture::new(),
        Fixture::named(),
        Fixture::with(|options| options.filesystem_thin_provisioning = true),
        Fixture::with(|options| options.filesystem_store_timeout = 30),
        Fixture::with(|options| {
            let several = std::mem::take(&mut options.filesystem_store_datadir);
            options.filesystem_store_datadirs = vec![format!("{several}:5")];
        }),
    ] {
        let store = &fixture.store;
        conformance::round_trips(store).await;
        conformance::ranges(store).await;
        conformance::undone(store).await;
        conformance::never_replaced(store).await;
        conformance::announced_sizes(store).await;
        conformance::odd_ids(store).await;
        assert_eq!(fixture.files().await, [""; 0]);
    }
}

#[tokio::test]
async fn nothing_is_visible_before_the_commit() {
    for fixture in [Fixture::new(), Fixture::named()] {
        let mut writer = fixture.store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
        for _ in 0..20 {
            writer.write(pattern(1 << 20)).await.unwrap();
        }
        assert!(!fixture.path(IMAGE).try_exists().unwrap());
        let stored = writer.commit().await.unwrap();
        assert_eq!(stored.url, format!("file://{}", fixture.path(IMAGE).display()));
        assert!(stored.metadata.is_empty());
        assert_eq!(fixture.files().await, [IMAGE]);
        assert_eq!(fs::metadata(fixture.path(IMAGE)).unwrap().len(), 20 << 20);
    }
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_undone() {
    let fixture = Fixture::new();
    for round in 0..40 {
        let kept = Arc::new(());
        let context = StoreContext::default().keeping(Arc::<()>::clone(&kept));
        let mut writer = fixture.store.begin(&context, IMAGE, None).await.unwrap();
        drop(context);
        writer.write(pattern(100_000)).await.unwrap();
        // Given up at any point: before the thread starts, while it works, after it is done.
        let given_up = tokio::time::timeout(Duration::from_micros(round * 50), writer.commit()).await;
        if given_up.is_ok() {
            fixture
                .store
                .delete(&StoreContext::default(), &location(&fixture.store.candidates(IMAGE).await.unwrap()[0]))
                .await
                .unwrap();
        }
        let begun = Instant::now();
        while Arc::strong_count(&kept) > 1 {
            assert!(begun.elapsed() < Duration::from_secs(60), "round {round}: it is kept for ever");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Not before the data has gone.
        let is_there = fixture.path(IMAGE).try_exists().unwrap();
        assert!(!is_there, "round {round}");
        assert_eq!(fixture.files().await, [""; 0], "round {round}");
    }
}

#[tokio::test]
async fn what_a_write_keeps_is_kept_while_its_threads_are_busy() {
    let fixture = Fixture::new();
    let kept = Arc::new(());
    let context = StoreContext::default().keeping(Arc::<()>::clone(&kept));
    let mut writer = fixture.store.begin(&context, IMAGE, None).await.unwrap();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    for _ in 0..WRITERS {
        let gate = Arc::clone(&gate);
        let wait = move || {
            let _ = gate.lock().unwrap().recv();
        };
        fixture.store.inner.data.of(Priority::Request).submit(Box::new(wait)).unwrap();
    }
    writer.write(pattern(1_000_000)).await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(1), writer.commit()).await;
    assert!(given_up.is_err(), "no thread was free");
    drop(context);
    assert!(Arc::strong_count(&kept) > 1);
    drop(go);
    assert_eq!(fixture.files().await, [""; 0]);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[tokio::test]
async fn metadata_names_the_store_and_the_mount() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().to_str().unwrap();
    let file = place.path().join("metadata.json");
    fs::write(&file, serde_json::json!({"id": "nfs", "mountpoint": root}).to_string()).unwrap();
    let options = FileOptions {
        filesystem_store_datadir: format!("{root}/images/"),
        filesystem_store_metadata_file: Some(file.to_str().unwrap().to_owned()),
        ..FileOptions::default()
    };
    let store = FileStore::open("fast", Some("fast"), &options).unwrap();
    let stored = store.begin(&StoreContext::default(), IMAGE, None).await.unwrap().commit().await.unwrap();
    assert_eq!(stored.url, format!("file://{root}/images/{IMAGE}"));
    assert_eq!(Value::Object(stored.metadata), serde_json::json!({"id": "nfs", "mountpoint": root, "store": "fast"}));
    assert_eq!(
        Value::Object(store.properties()),
        serde_json::json!({"data_dir": format!("{root}/images/"), "chunk_size": 65536, "thin_provisioning": false})
    );
}

#[tokio::test]
async fn permissions_are_those_of_the_option() {
    for (option, mode) in [(640, 0o640), (644, 0o644), (400, 0o400)] {
        let fixture = Fixture::with(|options| options.filesystem_store_file_perm = option);
        put(&fixture.store, IMAGE, pattern(10)).await;
        assert_eq!(fs::metadata(fixture.path(IMAGE)).unwrap().permissions().mode() & 0o7777, mode);
    }
    for option in [698, 40, 77777] {
        assert!(permissions(option).is_err(), "{option}");
    }
    assert_eq!(permissions(0), Ok(None));
    assert_eq!(permissions(-1), Ok(None));
}

#[tokio::test]
async fn the_highest_priority_with_room_takes_the_image() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().to_str().unwrap();
    let options = FileOptions {
        filesystem_store_datadir: String::new(),
        filesystem_store_datadirs: vec![format!("{root}/low:1"), format!("{root}/high:2"), format!("{root}/none")],
        ..FileOptions::default()
    };
    let store = FileStore::open("test", None, &options).unwrap();
    let stored = store.begin(&StoreContext::default(), IMAGE, Some(0)).await.unwrap().commit().await.unwrap();
    assert_eq!(stored.url, format!("file://{root}/high/{IMAGE}"));
    assert_eq!(
        store.candidates("x").await.unwrap(),
        ["high", "low", "none"].map(|name| format!("file://{root}/{name}/x"))
    );
    assert!(matches!(
        store.begin(&StoreContext::default(), "big", Some(1 << 62)).await.err(),
        Some(StoreError::NoRoom { .. })
    ));
    assert!(matches!(store.check_room(1 << 62).await, Err(StoreError::NoRoom { .. })));
}

#[tokio::test]
async fn more_than_the_disk_can_hold_is_refused_before_any_data() {
    let fixture = Fixture::new();
    assert!(matches!(fixture.store.check_room(1 << 60).await, Err(StoreError::Full { .. })));
    fixture.store.check_room(1000).await.unwrap();
    // What is merely announced may be a mistake, which the data will show.
    fixture.store.begin(&StoreContext::default(), IMAGE, Some(1 << 60)).await.unwrap().abort().await.unwrap();
    assert_eq!(fixture.files().await, [""; 0]);
}

#[tokio::test]
async fn announced_space_is_not_kept_beyond_the_data() {
    let fixture = Fixture::new();
    let mut writer = fixture.store.begin(&StoreContext::default(), IMAGE, Some(3_000_000)).await.unwrap();
    writer.write(pattern(3_000_000)).await.unwrap();
    writer.commit().await.unwrap();
    let metadata = fs::metadata(fixture.path(IMAGE)).unwrap();
    assert_eq!(metadata.len(), 3_000_000);
    assert!(metadata.blocks() * 512 < 3_200_000, "{} blocks", metadata.blocks());
}

#[tokio::test]
async fn thin_provisioning_leaves_holes() {
    const MIB: usize = 1 << 20;
    let fixture = Fixture::with(|options| options.filesystem_thin_provisioning = true);
    let mut data = vec![0; 8 * MIB];
    data[2 * MIB..3 * MIB].copy_from_slice(&pattern(MIB));
    let data = Bytes::from(data);
    let mut writer = fixture.store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
    for start in (0..data.len()).step_by(300_000) {
        writer.write(data.slice(start..(start + 300_000).min(data.len()))).await.unwrap();
    }
    let stored = writer.commit().await.unwrap();
    let metadata = fs::metadata(fixture.path(IMAGE)).unwrap();
    assert_eq!(metadata.len(), 8 * MIB as u64);
    assert!(metadata.blocks() * 512 < 2 * MIB as u64, "{} blocks", metadata.blocks());
    let back =
        read(fixture.store.open(&StoreContext::default(), &location(stored.url), None).await.unwrap()).await.unwrap();
    assert!(back == data);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Wherever zeros lie and however the data is cut, a thin file reads as what was written.
    #[test]
    fn thin_files_read_as_written(
        parts in proptest::collection::vec((any::<bool>(), 1..40_000_usize), 0..12),
        cut in 1..70_000_usize,
        block in prop_oneof![Just(1), Just(4096), Just(65_536)],
    ) {
        let data: Bytes = parts.iter().flat_map(|(zero, size)| {
            if *zero { Bytes::from(vec![0; *size]) } else { pattern(*size) }
        }).collect::<Vec<_>>().into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::with(|options| {
                options.filesystem_thin_provisioning = true;
                options.filesystem_store_chunk_size = block;
            });
            let mut writer = fixture.store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
            for start in (0..data.len()).step_by(cut) {
                writer.write(data.slice(start..(start + cut).min(data.len()))).await.unwrap();
            }
            writer.commit().await.unwrap();
            assert!(fs::read(fixture.path(IMAGE)).unwrap() == data);
        });
    }
}

#[tokio::test]
async fn locations_are_taken_apart_as_upstream_does() {
    let fixture = Fixture::new();
    put(&fixture.store, IMAGE, Bytes::from_static(b"data")).await;
    let path = fixture.path(IMAGE);
    let path = path.to_str().unwrap();
    let elsewhere = fixture.place.path().join("old");
    fs::write(&elsewhere, "old data").unwrap();
    for (url, expected) in [
        (format!("file://{path}"), "data"),
        (format!("filesystem://{path}"), "data"),
        (format!("file://{path}?query#fragment"), "data"),
        (format!("file://{}", elsewhere.display()), "old data"),
    ] {
        let reader = fixture.store.open(&StoreContext::default(), &location(&url), None).await.unwrap();
        assert_eq!(read(reader).await.unwrap(), expected.as_bytes(), "{url}");
    }
    let images = fixture.path("");
    let images = images.to_str().unwrap();
    for url in [
        format!("FILE://{path}"),
        "file:relative".to_owned(),
        "file://".to_owned(),
        "file://?x".to_owned(),
        format!("file://{images}../old"),
        "file:///etc/../etc/passwd".to_owned(),
        format!("file://{images}a\0b"),
        format!("file://{images}"),
    ] {
        let error = fixture.store.open(&StoreContext::default(), &location(&url), None).await.err().unwrap();
        assert!(matches!(error, StoreError::BadLocation { .. }), "{url}: {error}");
    }
    for url in [format!("file://{path}/below"), format!("file://{}", path.replace('-', "%2D"))] {
        conformance::missing(&fixture.store, &location(url)).await;
    }
}

#[tokio::test]
async fn links_are_followed_but_pipes_are_not_opened() {
    let fixture = Fixture::new();
    fs::write(fixture.place.path().join("target"), "linked").unwrap();
    symlink(fixture.place.path().join("target"), fixture.path("link")).unwrap();
    let link = location(format!("file://{}", fixture.path("link").display()));
    assert_eq!(
        read(fixture.store.open(&StoreContext::default(), &link, None).await.unwrap()).await.unwrap(),
        b"linked"
    );
    nix::unistd::mkfifo(&fixture.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = location(format!("file://{}", fixture.path("pipe").display()));
    assert!(matches!(
        fixture.store.open(&StoreContext::default(), &pipe, None).await.err(),
        Some(StoreError::BadLocation { .. })
    ));
}

#[tokio::test]
async fn a_disabled_store_still_reads() {
    let fixture = Fixture::new();
    let image = put(&fixture.store, IMAGE, Bytes::from_static(b"data")).await;
    let options = FileOptions { filesystem_store_datadir: "/proc/no/such".to_owned(), ..FileOptions::default() };
    let error = FileStore::open("bad", None, &options).err().unwrap();
    assert!(matches!(&error, StoreError::Configuration { store, .. } if store == "bad"), "{error}");
    let store = FileStore::disabled("bad", None, &options);
    assert_eq!(read(store.open(&StoreContext::default(), &image, None).await.unwrap()).await.unwrap(), b"data");
    conformance::read_only(&store, &image).await;
}

#[tokio::test]
async fn deleting_what_may_not_be_deleted_says_so() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("directory")).unwrap();
    let directory = location(format!("file://{}", fixture.path("directory").display()));
    let error = fixture.store.delete(&StoreContext::default(), &directory).await.unwrap_err();
    assert!(matches!(error, StoreError::DeleteDenied { .. }), "{error}");
}

#[tokio::test]
async fn a_hung_mount_times_out() {
    let fixture = Fixture::with(|options| {
        options.filesystem_store_timeout = 1;
        options.filesystem_store_thread_pool_size = 1;
    });
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let hung = fixture.store.inner.files.submit(Box::new(move || assert!(hang.recv().is_err())));
    assert!(hung.is_ok());
    let image = location(&fixture.store.candidates(IMAGE).await.unwrap()[0]);
    let error = fixture.store.size(&StoreContext::default(), &image).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");
    drop(release);
    conformance::missing(&fixture.store, &image).await;
}

#[tokio::test]
async fn start_and_sweep_remove_what_dead_writers_left() {
    let fixture = Fixture::named();
    let mut alive = fixture.store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
    let dead = || {
        let old = std::time::SystemTime::now() - Duration::from_secs(24 * 3600);
        File::create(fixture.path(".glance-drafts/x.1.part")).unwrap().set_modified(old).unwrap();
    };
    dead();
    fixture.store.sweep().await;
    assert_eq!(fixture.files().await.len(), 1);
    dead();
    fixture.again();
    assert_eq!(fixture.files().await.len(), 1);
    alive.write(pattern(10)).await.unwrap();
    alive.commit().await.unwrap();
    assert_eq!(fixture.files().await, [IMAGE]);
}

/// Reading the names of a million files each hour is work for nothing.
#[tokio::test]
async fn neither_start_nor_sweep_reads_the_names_of_images() {
    for fixture in [Fixture::new(), Fixture::named()] {
        for number in 0..20_000 {
            File::create(fixture.path(&format!("image-{number}"))).unwrap();
        }
        let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        watch.add_watch(&fixture.path(""), AddWatchFlags::IN_ACCESS).unwrap();
        let reads =
            || watch.read_events().map_or(0, |events| events.iter().filter(|event| event.name.is_none()).count());
        let _again = fixture.again();
        for _ in 0..3 {
            fixture.store.sweep().await;
        }
        assert_eq!(reads(), 0);
        assert_eq!(fs::read_dir(fixture.path("")).unwrap().filter(|entry| entry.is_ok()).count() / 1000, 20);
        assert!(reads() > 0, "the watch sees when a directory is read");
    }
}
