//! Disks that are full, that cannot be written to, or on which something else lies.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cloud::Cloud;
use crate::common::disk::SmallDisk;
use crate::common::{Server, wait_for};

const CANNOT_BE_USED: &str = "the image cache cannot be used; images come from";

#[test]
fn stores_can_be_left_out() {
    let cloud = Cloud::start(1, |conf| conf.set("service.image_cache_skip_stores", "http"));
    let image = cloud.image(30, 100_000);
    cloud.read(0, &image);
    cloud.read(0, &image);
    assert_eq!((cloud.origin.reads(), cloud.is_cached(&image)), (2, false));
}

fn times(server: &Server, words: &str) -> usize {
    server.log_with(words).matches(words).count()
}

#[test]
fn a_full_disk_and_foreign_files_hinder_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("disk");
    let disk = SmallDisk::on(place.clone(), 2_000_000);
    let cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_dir", place.display()));
    let (small, large) = (cloud.image(31, 100_000), cloud.image(32, 4_000_000));
    for _ in 0..2 {
        cloud.read(0, &large);
        cloud.read(0, &small);
    }
    assert_eq!(cloud.origin.reads(), 3);
    assert_eq!(times(&cloud.servers[0], CANNOT_BE_USED), 1);
    // Something else has the name of an image.
    fs::create_dir(place.join(&large.id)).unwrap();
    cloud.read(0, &large);
    cloud.read(0, &large);
    assert_eq!(times(&cloud.servers[0], "the file of a cached image cannot be used"), 1);
    drop(disk);
}

/// A disk that cannot be written to gives what it has, from the start on, and is used again when it can.
#[test]
fn a_disk_that_is_read_only_for_a_time_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("disk");
    let disk = SmallDisk::on(place.clone(), 20_000_000);
    for (seed, driver) in [(33, "sqlite"), (35, "xattr")] {
        let mut cloud = Cloud::start(1, |conf| {
            conf.set("DEFAULT.image_cache_dir", place.display()).set("DEFAULT.image_cache_driver", driver)
        });
        let (before, later) = (cloud.image(seed, 100_000), cloud.image(seed + 1, 100_000));
        let is_there = |id: &str| place.join(id).try_exists().unwrap();
        cloud.read(0, &before);
        wait_for("it is cached", Duration::from_secs(60), || is_there(&before.id).then_some(()));
        cloud.servers[0].signal(Signal::SIGTERM);
        assert!(cloud.servers[0].wait_end(Duration::from_secs(60)).success());
        disk.set_writable(false);
        cloud.servers[0].start_again();
        cloud.read(0, &before);
        assert_eq!(cloud.origin.reads(), 1, "{driver}");
        for _ in 0..2 {
            cloud.read(0, &later);
        }
        assert_eq!(cloud.origin.reads(), 3, "{driver}");
        let log = cloud.servers[0].log_with(" WARNING glance.cache");
        let warnings: Vec<&str> = log.lines().filter(|line| line.contains(" WARNING glance.cache")).collect();
        assert!((1..=2).contains(&warnings.len()), "once of the start, once of what came later: {warnings:?}");
        disk.set_writable(true);
        cloud.read(0, &later);
        wait_for("it is cached", Duration::from_secs(60), || is_there(&later.id).then_some(()));
        cloud.read(0, &later);
        assert_eq!(cloud.origin.reads(), 4, "{driver}");
    }
}
