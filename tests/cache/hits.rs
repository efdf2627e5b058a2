//! What is in the cache is served from it.

use std::fs;
use std::path::Path;

use crate::cloud::{Cloud, Image};
use crate::common::Request;

#[test]
fn an_image_that_was_read_once_needs_its_store_no_more() {
    for driver in ["sqlite", "xattr", "centralized_db"] {
        let cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_driver", driver));
        let image = cloud.image(1, 300_000);
        for round in 0..3 {
            let answer = cloud.read(0, &image);
            cloud.settle();
            assert_eq!(answer.header("content-length"), Some("300000"), "{driver}, {round}");
            assert_eq!(answer.header("content-md5").unwrap().len(), 32);
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        }
        assert_eq!(cloud.origin.reads(), 1, "{driver}");
        // Upstream's cache answers before anybody has looked at the query.
        let prefers = Request { target: format!("{}?prefer=nowhere", image.request().target), ..image.request() };
        assert_eq!(cloud.servers[0].send(&prefers).status, 200);
        // Parts come from it though the store has none to give.
        let part = cloud.servers[0].send(&image.request().header("Range", "bytes=100-199")).expect(206);
        assert!(part.body == image.data[100..200]);
        assert_eq!(part.header("content-range"), Some("bytes 100-199/300000"));
        cloud.servers[0].send(&image.request().header("Range", "bytes=300000-")).expect(416);
        let etag = part.header("etag").unwrap();
        assert_eq!(
            cloud.servers[0].send(&image.request().header("If-None-Match", etag)).expect(304).header("etag"),
            Some(etag)
        );
        let of = |tag| image.request().header("Range", "bytes=100-199").header("If-Range", tag);
        assert_eq!(cloud.servers[0].send(&of(etag)).status, 206);
        assert_eq!(cloud.servers[0].send(&of("\"another\"")).expect(200).body.len(), 300_000);
        assert_eq!(cloud.origin.reads(), 1, "{driver}");
        // A file of another size is not the image.
        let file = cloud.cache().join(&image.id);
        File::cut(&file);
        cloud.read(0, &image);
        cloud.settle();
        assert_eq!(cloud.origin.reads(), 2, "{driver}");
        assert_eq!((cloud.check_files(std::slice::from_ref(&image)), cloud.files("invalid")), (1, 1));
        // Nor is one that is older than the image: ids can be used again.
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        cloud.read(0, &image);
        cloud.settle();
        assert_eq!(cloud.origin.reads(), 3, "{driver}");
        // An image that is deactivated or deleted is none of the cache's.
        let path = format!("/v2/images/{}", image.id);
        cloud.servers[0].send(&Request::new("POST", &format!("{path}/actions/deactivate"))).expect(204);
        cloud.read(0, &image);
        assert_eq!(cloud.origin.reads(), 4, "{driver}");
        cloud.servers[0].send(&Request::new("DELETE", &path)).expect(204);
        assert!(!cloud.is_cached(&image));
        // Also where its file is there still, as on another host on which nobody has looked since.
        fs::write(&file, &*image.data).unwrap();
        cloud.servers[0].send(&image.request()).expect(404);
    }
}

#[test]
fn an_image_is_in_the_cache_when_its_download_ends() {
    let cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_driver", "sqlite"));
    let images: Vec<Image> = (0..10).map(|seed| cloud.image(100 + seed, 1000)).collect();
    let there = images.iter().filter(|image| {
        cloud.read(0, image);
        cloud.is_cached(image)
    });
    // On a disk that is busy for longer than a download waits, some come later.
    assert!(there.count() > 0);
}

struct File;

impl File {
    /// Takes the last byte away.
    fn cut(path: &Path) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }
}

#[test]
fn a_part_of_what_has_no_parts_brings_the_whole_when_that_is_small() {
    let cloud = Cloud::start(1, |conf| conf.set("service.image_cache_range_fill_limit", 1_000_000));
    let (small, large) = (cloud.image(5, 500_000), cloud.image(6, 1_500_000));
    let part = |image: &Image| cloud.servers[0].send(&image.request().header("Range", "bytes=1000-1999"));
    assert!(part(&small).expect(206).body == small.data[1000..2000]);
    cloud.wait_cached(&small);
    assert!(part(&small).expect(206).body == small.data[1000..2000]);
    assert_eq!(cloud.origin.reads(), 1);
    // As without a cache.
    assert!(part(&large).expect(400).text().contains("Getting images randomly from this store is not supported."));
    assert!(!cloud.is_cached(&large));
    cloud.read(0, &large);
    cloud.wait_cached(&large);
    assert!(part(&large).expect(206).body == large.data[1000..2000]);
}

#[test]
fn the_limit_holds_and_what_does_not_fit_passes_by() {
    let cloud = Cloud::start(1, |conf| conf.set("DEFAULT.image_cache_max_size", 1_000_000));
    let images: Vec<Image> = (0..5).map(|seed| cloud.image(10 + seed, 400_000)).collect();
    for image in &images {
        cloud.read(0, image);
        cloud.settle();
        let size: u64 = fs::read_dir(cloud.cache())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().len() == 36)
            .map(|entry| entry.metadata().unwrap().len())
            .sum();
        assert!(size <= 1_000_000, "{size} bytes");
    }
    assert_eq!(cloud.check_files(&images), 2);
    assert!(cloud.is_cached(&images[3]) && cloud.is_cached(&images[4]), "the last ones stay");
    let huge = cloud.image(20, 1_100_000);
    cloud.read(0, &huge);
    cloud.settle();
    assert!(!cloud.is_cached(&huge) && cloud.is_cached(&images[4]));
}
