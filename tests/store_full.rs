//! A file store on a disk that is full: a small tmpfs, so this needs root.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use glance_api::config::Config;
use glance_api::store::{StoreContext, StoreError, Stores};

const MIB: usize = 1 << 20;

/// A tmpfs of eight MiB that goes with the test.
struct SmallDisk {
    place: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(place.path()).output();
        let mount = mount.unwrap();
        assert!(
            mount.status.success(),
            "this test mounts a small tmpfs, for which it must be root: {}",
            String::from_utf8_lossy(&mount.stderr)
        );
        Self { place }
    }

    fn stores(&self, change: impl FnOnce(&mut Config)) -> Stores {
        let mut config = Config::default();
        config.driver_options.set("filesystem_store_datadir", &[self.images().to_str().unwrap()]);
        change(&mut config);
        Stores::open(&config).unwrap()
    }

    fn images(&self) -> PathBuf {
        self.place.path().join("images")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.place.path()).status();
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// Uploads MiB after MiB and returns the error that ended it; `None` when all were taken and committed.
async fn upload(stores: &Stores, mebibytes: usize, announced: Option<u64>, byte: u8) -> Option<StoreError> {
    let mut writer = match stores.default_store().store.begin(&StoreContext::default(), "image", announced).await {
        Ok(writer) => writer,
        Err(error) => return Some(error),
    };
    let piece = Bytes::from(vec![byte; MIB]);
    for _ in 0..mebibytes {
        if let Err(error) = writer.write(piece.clone()).await {
            return Some(error);
        }
    }
    writer.commit().await.err()
}

#[tokio::test]
async fn a_disk_that_fills_up_is_full_and_left_clean() {
    let disk = SmallDisk::mount();
    let stores = disk.stores(|_| {});
    for (mebibytes, announced) in [(100, None), (9, None), (9, Some(9 * MIB as u64)), (100, Some(100 * MIB as u64))] {
        let error = upload(&stores, mebibytes, announced, 1).await.expect("more than the disk holds was taken");
        assert!(matches!(error, StoreError::Full { .. }), "{mebibytes} {announced:?}: {error}");
        assert!(is_empty(&disk.images()));
    }
    // All space is free again, at the latest when the thread that wrote has let go of its file: an image that just fits, fits.
    let mut fits = upload(&stores, 7, Some(7 * MIB as u64), 1).await;
    for _ in 0..100 {
        if fits.is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        fits = upload(&stores, 7, Some(7 * MIB as u64), 1).await;
    }
    assert!(fits.is_none(), "{fits:?}");
}

#[tokio::test]
async fn a_large_announced_size_is_refused_at_once() {
    let disk = SmallDisk::mount();
    let stores = disk.stores(|_| {});
    let error =
        stores.default_store().store.begin(&StoreContext::default(), "image", Some(20 * MIB as u64)).await.err();
    assert!(matches!(error, Some(StoreError::Full { .. })), "{error:?}");
    fs::write(disk.images().join("other"), vec![1; 6 * MIB]).unwrap();
    let error = stores.default_store().store.begin(&StoreContext::default(), "image", Some(4 * MIB as u64)).await.err();
    assert!(matches!(error, Some(StoreError::Full { .. })), "{error:?}");
}

#[tokio::test]
async fn thin_zeros_need_no_space() {
    let disk = SmallDisk::mount();
    let stores = disk.stores(|config| config.driver_options.set("filesystem_thin_provisioning", &["true"]));
    let thin = upload(&stores, 100, Some(100 * MIB as u64), 0).await;
    assert!(thin.is_none(), "{thin:?}");
    assert_eq!(fs::metadata(disk.images().join("image")).unwrap().len(), 100 * MIB as u64);
}

#[tokio::test]
async fn the_next_directory_takes_what_the_first_cannot() {
    let disk = SmallDisk::mount();
    let other = tempfile::tempdir().unwrap();
    let stores = disk.stores(|config| {
        let (small, large) = (format!("{}:9", disk.images().display()), format!("{}:1", other.path().display()));
        config.driver_options.set("filesystem_store_datadir", &[""]);
        config.driver_options.set("filesystem_store_datadirs", &[&small, &large]);
    });
    assert!(upload(&stores, 9, Some(9 * MIB as u64), 1).await.is_none());
    assert!(is_empty(&disk.images()));
    assert!(other.path().join("image").try_exists().unwrap());
}

#[tokio::test]
async fn a_file_system_that_became_read_only_denies_writes() {
    let disk = SmallDisk::mount();
    let stores = disk.stores(|_| {});
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.place.path()).status().unwrap();
    assert!(remount.success());
    let error = upload(&stores, 1, None, 1).await;
    assert!(matches!(error, Some(StoreError::WriteDenied { .. })), "{error:?}");
    let mut config = Config::default();
    config.driver_options.set("filesystem_store_datadir", &[disk.images().to_str().unwrap()]);
    let refused = Stores::open(&config).err().expect("a read-only directory was accepted").to_string();
    assert!(refused.contains("ReadWritePaths="), "{refused}");
}
