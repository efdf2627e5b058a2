//! Disks that are full, that cannot be written to, or on which something else lies.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cloud::{Cloud, Image, Reader};
use crate::common::disk::SmallDisk;
use crate::common::{Request, wait_for};

/// Requests that meet the same fault.
const REQUESTS: usize = 5;

#[test]
fn stores_can_be_left_out() {
    let cloud = Cloud::start(1, |conf| conf.set("service.image_cache_skip_stores", "http"));
    let image = cloud.image(30, 100_000);
    cloud.read(0, &image);
    cloud.read(0, &image);
    assert_eq!((cloud.origin.reads(), cloud.is_cached(&image)), (2, false));
}

/// What the log says of the cache that an operator should look at, since the service was started for the first time.
fn complaints(cloud: &Cloud, mark: &str) -> Vec<String> {
    // The log has its lines in order.
    cloud.servers[0].send(&Request::new("GET", &format!("/{mark}")));
    let log = cloud.servers[0].log_with(mark);
    let of_cache =
        |line: &&str| [" WARNING glance.cache", " ERROR glance.cache"].iter().any(|words| line.contains(words));
    log.lines().filter(of_cache).map(str::to_owned).collect()
}

/// Reads an image several times, after something was done to its file; the store gives it each time.
#[track_caller]
fn read_from_store(cloud: &Cloud, image: &Image, prepare: impl Fn()) {
    let before = cloud.origin.reads();
    for _ in 0..REQUESTS {
        prepare();
        cloud.read(0, image);
        cloud.settle();
    }
    assert_eq!(cloud.origin.reads() - before, REQUESTS);
}

#[test]
fn full_disks_foreign_files_and_wrong_sizes_are_told_once_and_hinder_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("disk");
    let _disk = SmallDisk::on(place.clone(), 2_000_000);
    let cloud = Cloud::start_on(Some(&place), 1, |conf| conf);
    let image = |seed| cloud.image(seed, 100_000);

    let cut = image(31);
    cloud.read(0, &cut);
    cloud.wait_cached(&cut);
    let file = place.join(&cut.id);
    read_from_store(&cloud, &cut, || {
        fs::File::options().write(true).open(&file).unwrap().set_len(99_999).unwrap();
    });
    let told = complaints(&cloud, "wrong-size");
    assert!(told.len() == 1 && told[0].contains("a cached image is another one"), "{told:#?}");

    // Something else has the name of an image, or of the file in which it is to be written.
    let (folder, link, incomplete) = (image(32), image(33), image(34));
    fs::create_dir(place.join(&folder.id)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.join(&link.id)).unwrap();
    for (number, foreign) in [folder, link].iter().enumerate() {
        read_from_store(&cloud, foreign, || {});
        let told = complaints(&cloud, &format!("foreign-{number}"));
        assert_eq!(told.len(), 2 + number, "{told:#?}");
        assert!(told[1 + number].contains("the file of a cached image cannot be used"), "{told:#?}");
    }
    fs::create_dir(place.join("incomplete").join(&incomplete.id)).unwrap();
    for _ in 0..REQUESTS {
        cloud.read(0, &incomplete);
    }
    assert_eq!(complaints(&cloud, "foreign-incomplete").len(), 4);
    fs::remove_dir(place.join("incomplete").join(&incomplete.id)).unwrap();

    // What does not fit on the disk, though the cache could take it.
    let (large, larger) = (cloud.image(35, 3_000_000), cloud.image(36, 4_000_000));
    read_from_store(&cloud, &large, || {});
    read_from_store(&cloud, &larger, || {});
    let told = complaints(&cloud, "full-disk");
    assert!(told.len() == 5 && told[4].contains("the image cache cannot be used"), "{told:#?}");
    // What fits comes into it all the same.
    let before = cloud.origin.reads();
    let small = image(37);
    cloud.read(0, &small);
    cloud.wait_cached(&small);
    cloud.read(0, &small);
    assert_eq!((cloud.origin.reads() - before, cloud.files("incomplete")), (1, 0));
    assert_eq!(complaints(&cloud, "after-all").len(), 5);
}

/// A disk that cannot be written to gives what it has, from the start on, and is used again when it can.
#[test]
fn a_disk_that_is_read_only_for_a_time_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("disk");
    let disk = SmallDisk::on(place.clone(), 20_000_000);
    for (seed, driver) in [(38, "sqlite"), (40, "xattr")] {
        let mut cloud = Cloud::start_on(Some(&place), 1, |conf| conf.set("DEFAULT.image_cache_driver", driver));
        let (before, later) = (cloud.image(seed, 100_000), cloud.image(seed + 1, 100_000));
        cloud.read(0, &before);
        cloud.wait_cached(&before);
        cloud.servers[0].signal(Signal::SIGTERM);
        assert!(cloud.servers[0].wait_end(Duration::from_secs(60)).success());
        disk.set_writable(false);
        cloud.servers[0].start_again();
        cloud.read(0, &before);
        assert_eq!(cloud.origin.reads(), 1, "{driver}");
        read_from_store(&cloud, &later, || {});
        let told = complaints(&cloud, "read-only");
        assert_eq!(told.len(), 1, "{driver}: {told:#?}");
        disk.set_writable(true);
        let reads = cloud.origin.reads();
        cloud.read(0, &later);
        cloud.wait_cached(&later);
        cloud.read(0, &later);
        assert_eq!(cloud.origin.reads(), reads + 1, "{driver}");
    }
}

/// Where no room can be set aside, what others will need is written down.
#[test]
fn the_limit_holds_where_no_room_can_be_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("disk");
    let _disk = SmallDisk::without_reservations(place.clone());
    let cloud = Cloud::start_on(Some(&place), 2, |conf| conf.set("DEFAULT.image_cache_max_size", 1_000_000));
    let images: Vec<Image> = (0..5).map(|seed| cloud.image(42 + seed, 400_000)).collect();
    // Of each a first piece comes.
    cloud.origin.slow_down(Duration::from_secs(3600));
    let readers: Vec<Reader> =
        images.iter().enumerate().map(|(number, image)| Reader::start(&cloud.servers[number % 2], image)).collect();
    wait_for("two are on their way", Duration::from_secs(60), || (cloud.files("incomplete") == 2).then_some(()));
    assert_eq!(cloud.files(".reserved"), 2);
    cloud.origin.slow_down(Duration::ZERO);
    for (reader, image) in readers.into_iter().zip(&images) {
        reader.finish(image);
    }
    cloud.settle();
    assert_eq!((cloud.check_files(&images), cloud.files(".reserved")), (2, 0));
    assert_eq!(cloud.origin.reads(), images.len());
}
