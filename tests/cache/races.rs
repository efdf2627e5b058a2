//! Crashes, and all at once; hundreds of rounds with `tests/run --thorough`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cloud::{Cloud, Image};
use crate::common::{Client, Request, is_thorough, pause, wait_for};

/// The images that the index has.
fn indexed(cloud: &Cloud) -> BTreeSet<String> {
    let state = cloud.servers[0].send(&Request::new("GET", "/v2/cache")).expect(200).json();
    let images = state["cached_images"].as_array().unwrap();
    images.iter().map(|image| image["image_id"].as_str().unwrap().to_owned()).collect()
}

/// The images whose files are there.
fn files(cloud: &Cloud, images: &[Image]) -> BTreeSet<String> {
    images.iter().filter(|image| cloud.is_cached(image)).map(|image| image.id.clone()).collect()
}

/// Reads all images and prunes, until the server dies; what came whole must be right.
fn clients(cloud: &Cloud, images: &[Image]) -> Vec<JoinHandle<()>> {
    let address = cloud.servers[0].address;
    let read = |image: Image| {
        std::thread::spawn(move || {
            if let Ok(answer) = Client::new(address).try_send(&image.request()) {
                assert!(answer.status == 200 && answer.body == *image.data, "wrong bytes");
            }
        })
    };
    let prune =
        std::thread::spawn(
            move || {
                while Client::new(address).try_send(&Request::new("POST", "/v2/cache/prune")).is_ok() {}
            },
        );
    images.iter().cloned().map(read).chain([prune]).collect()
}

/// In every other round the limit is kept by prunes alone, which then have something to do.
#[test]
fn after_a_crash_nothing_half_is_served() {
    let rounds = if is_thorough() { 300 } else { 4 };
    let mut cloud = Cloud::start(1, |conf| {
        conf.set("paste_deploy.flavor", "cachemanagement")
            .set("DEFAULT.image_cache_max_size", 5_000_000)
            .set("DEFAULT.image_cache_stall_time", 0)
    });
    let images: Vec<Image> = (0..4).map(|seed| cloud.image(40 + seed, 2_000_000)).collect();
    cloud.origin.slow_down(Duration::from_millis(2));
    for round in 0..rounds {
        let clients = clients(&cloud, &images);
        pause(Duration::from_millis(20 + (round * 37) % 120));
        cloud.servers[0].crash();
        for client in clients {
            client.join().unwrap();
        }
        cloud.check_files(&images);
        let server = &mut cloud.servers[0];
        server.conf = server.conf.clone().set("service.image_cache_enforce_max_size", round % 2 == 1);
        server.conf.write();
        server.start_again();
        let image = &images[usize::try_from(round).unwrap() % images.len()];
        cloud.read(0, image);
        cloud.wait_cached(image);
        // What the dead one has left half goes, and the index comes to say what is there.
        cloud.settle();
        // Housekeeping comes once a minute.
        wait_for("index and files agree", Duration::from_secs(180), || {
            (indexed(&cloud) == files(&cloud, &images)).then_some(())
        });
    }
}

/// Bytes of the cache, at one moment: nobody makes room for more while the directory is locked.
fn size(cloud: &Cloud) -> u64 {
    let lock = File::open(cloud.cache()).unwrap();
    lock.lock().unwrap();
    // What is about to be finished has two names for a moment.
    let mut counted = BTreeSet::new();
    let sizes = ["", "incomplete", "invalid"].map(|folder| {
        let entries = fs::read_dir(cloud.cache().join(folder)).unwrap().flatten();
        let files = entries.filter(|entry| entry.file_name().len() == 36);
        let files = files.filter_map(|entry| entry.metadata().ok()).filter(|file| counted.insert(file.ino()));
        files.map(|file| if folder.is_empty() { file.len() } else { file.len().max(file.blocks() * 512) }).sum::<u64>()
    });
    sizes.iter().sum()
}

#[test]
fn many_workers_do_everything_at_once_in_one_directory() {
    if !is_thorough() {
        return do_everything_at_once("sqlite", 2, Duration::from_secs(2));
    }
    for driver in ["sqlite", "xattr", "centralized_db"] {
        do_everything_at_once(driver, 4, Duration::from_secs(120));
    }
}

fn do_everything_at_once(driver: &str, workers: usize, time: Duration) {
    const MOST: u64 = 2_000_000;
    let cloud = Cloud::start(workers, |conf| {
        conf.set("paste_deploy.flavor", "cachemanagement")
            .set("DEFAULT.image_cache_driver", driver)
            .set("DEFAULT.image_cache_max_size", MOST)
    });
    let images: Vec<Image> = (0..6).map(|seed| cloud.image(50 + seed, 600_000)).collect();
    let end = Instant::now() + time;
    let done = AtomicUsize::new(0);
    let resident = || cloud.servers.iter().map(|server| server.resident()).max().unwrap();
    let early = std::sync::OnceLock::new();
    std::thread::scope(|scope| {
        for number in 0..workers * 2 {
            let (cloud, images, done) = (&cloud, &images, &done);
            scope.spawn(move || {
                let mut state = number as u64 + 1;
                while Instant::now() < end {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let image = &images[usize::try_from(state >> 33).unwrap() % images.len()];
                    do_something(cloud, number % workers, image, (state >> 20) % 32);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while Instant::now() < end {
            let size = size(&cloud);
            // Files that are written are counted in blocks.
            assert!(size <= MOST + 4096 * images.len() as u64, "{driver}: {size} bytes");
            if end - Instant::now() < time / 2 {
                early.get_or_init(resident);
            }
            pause(Duration::from_millis(50));
        }
    });
    cloud.settle();
    assert!(cloud.check_files(&images) * 600_000 <= usize::try_from(MOST).unwrap());
    assert_eq!(cloud.files("invalid"), 0);
    assert!(done.load(Ordering::Relaxed) > 0);
    let grown = resident().saturating_sub(*early.get_or_init(resident));
    assert!(grown < 64_000_000, "{driver}: {grown} bytes of memory more in the second half");
    eprintln!("{driver}: {} operations, memory grew by {grown} bytes in the second half", done.load(Ordering::Relaxed));
    for server in &cloud.servers {
        assert!(!server.log().contains(" ERROR "), "{driver}");
    }
}

/// Mostly reads; of 32 numbers some stand for something else. `number`: which.
fn do_something(cloud: &Cloud, worker: usize, image: &Image, number: u64) {
    let send = |method: &str, path: &str| cloud.servers[worker].send(&Request::new(method, path));
    let of_image = format!("/v2/cache/{}", image.id);
    match number {
        0 => drop(fs::remove_file(cloud.cache().join(&image.id))),
        1 => drop(send("POST", "/v2/cache/prune").expect(200)),
        2 => drop(send("POST", "/v2/cache/clean").expect(200)),
        3 => drop(send("DELETE", "/v2/cache").expect(204)),
        4 | 5 => drop(send("DELETE", &of_image).expect(204)),
        6 | 7 => drop(send("PUT", &of_image).expect(202)),
        8 | 9 => drop(send("GET", "/v2/cache").expect(200)),
        // A store without parts gives them only of what is in the cache or small.
        10..=13 => {
            let part = cloud.servers[worker].send(&image.request().header("Range", "bytes=1000-300999"));
            // Where everything in the cache is being read there is no room for one more image.
            let is_refused = part.status == 400 && part.text().contains("Getting images randomly");
            assert!(is_refused || part.expect(206).body == image.data[1000..301_000], "{} wrong bytes", image.id);
        }
        _ => drop(cloud.read(worker, image)),
    }
}
