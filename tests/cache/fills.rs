//! Images on their way into the cache, and who reads them meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cloud::{Cloud, Image, Reader};
use crate::common::service_manager::ServiceManager;
use crate::common::{Client, Request, pause, wait_for};

/// Longer than any test: nothing comes before it is set to less.
const NEVER: Duration = Duration::from_secs(3600);

/// Bytes that a reader can have while the origin has sent one piece.
const FIRST: usize = 50_000;

#[test]
fn a_store_is_read_once_however_many_ask_and_wherever() {
    let cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(2, 6_000_000);
    cloud.origin.slow_down(NEVER);
    let mut first = Reader::start(&cloud.servers[0], &image);
    first.read(FIRST);
    let mut second = Reader::start(&cloud.servers[1], &image);
    second.read(FIRST);
    std::thread::scope(|scope| {
        // The first one's client leaves soon.
        drop(first);
        for number in 0..24 {
            let (cloud, image) = (&cloud, &image);
            scope.spawn(move || {
                pause(Duration::from_millis(number * 10));
                cloud.read(usize::from(number % 2 == 0), image);
            });
        }
        cloud.origin.slow_down(Duration::from_millis(5));
        second.finish(&image);
    });
    assert_eq!(cloud.origin.reads(), 1);
    cloud.wait_cached(&image);
    cloud.settle();
    assert_eq!(cloud.files("invalid"), 0);
}

/// The worker that writes has no client any more, and is then told to stop: neither ends what the other worker's clients read.
#[test]
fn a_fill_goes_on_as_long_as_another_worker_reads() {
    let mut cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(3, 4_000_000);
    cloud.origin.slow_down(NEVER);
    let mut first = Reader::start(&cloud.servers[0], &image);
    first.read(FIRST);
    let mut others: Vec<Reader> = (0..3).map(|_| Reader::start(&cloud.servers[1], &image)).collect();
    for other in &mut others {
        other.read(FIRST);
    }
    drop(first);
    cloud.servers[0].signal(Signal::SIGTERM);
    cloud.servers[0].log_with("stopping; requests in flight");
    // The time in which it would be given up if nobody were seen.
    pause(Duration::from_millis(500));
    cloud.origin.slow_down(Duration::ZERO);
    let stopped = cloud.servers[0].wait_end(Duration::from_secs(60));
    assert!(stopped.success(), "{stopped}");
    for other in others {
        other.finish(&image);
    }
    assert_eq!(cloud.origin.reads(), 1);
    assert!(cloud.is_cached(&image), "the worker that has ended has brought it into the cache");
    // It has also written down what it has done, however shortly before its end.
    let written: Vec<Value> = fs::read_dir(cloud.cache().join(".stats"))
        .unwrap()
        .map(|entry| serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap())
        .collect();
    assert!(written.iter().any(|counters| counters["fills"] == 1), "{written:?}");
}

#[test]
fn a_fill_that_nobody_reads_is_given_up() {
    let cloud = Cloud::start(1, |conf| conf);
    let image = cloud.image(4, 3_000_000);
    cloud.origin.slow_down(NEVER);
    drop(Reader::start(&cloud.servers[0], &image));
    cloud.settle();
    assert!(!cloud.is_cached(&image));
    // Also before the store has answered.
    cloud.origin.knobs.is_silent.store(true, Ordering::SeqCst);
    let waiting = Reader::ask(&cloud.servers[0], &image);
    wait_for("the store is asked", Duration::from_secs(60), || (cloud.origin.reads() == 2).then_some(()));
    drop(waiting);
    cloud.settle();
    cloud.origin.knobs.is_silent.store(false, Ordering::SeqCst);
    cloud.origin.slow_down(Duration::ZERO);
    cloud.read(0, &image);
    assert_eq!(cloud.origin.reads(), 3);
}

/// By an option it goes on. Not so many do that they take all of the host, and none keeps the service from ending.
#[test]
fn some_fills_that_nobody_reads_go_on_when_told_to() {
    let most = 8;
    let mut cloud = Cloud::start(1, |conf| conf.set("service.image_cache_complete_fills", true));
    let images: Vec<Image> = (0..most + 2).map(|seed| cloud.image(60 + seed as u64, 300_000)).collect();
    let last = cloud.image(80, 300_000);
    cloud.origin.slow_down(NEVER);
    let readers: Vec<Reader> = images.iter().map(|image| Reader::start(&cloud.servers[0], image)).collect();
    assert_eq!(cloud.files("incomplete"), most + 2);
    drop(readers);
    wait_for("some are given up", Duration::from_secs(60), || (cloud.files("incomplete") == most).then_some(()));
    cloud.servers[0].signal(Signal::SIGTERM);
    assert!(cloud.servers[0].wait_end(Duration::from_secs(60)).success());
    assert_eq!(cloud.files("incomplete"), 0);

    cloud.servers[0].start_again();
    cloud.origin.slow_down(Duration::from_millis(20));
    drop(Reader::start(&cloud.servers[0], &last));
    cloud.wait_cached(&last);
}

/// By an operator: at once, a few at a time however they were queued, and the service manager sees how far that is.
#[test]
fn what_is_queued_is_fetched_at_once_and_a_few_at_a_time() {
    let mut cloud = Cloud::start(1, |conf| conf);
    let images: Vec<Image> = (0..6).map(|seed| cloud.image(90 + seed, 200_000)).collect();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = ServiceManager::at(&socket);
    cloud.servers[0].signal(Signal::SIGTERM);
    assert!(cloud.servers[0].wait_end(Duration::from_secs(60)).success());
    cloud.servers[0].conf = cloud.servers[0].conf.clone().variable("NOTIFY_SOCKET", socket.display());
    cloud.servers[0].start_again();
    cloud.origin.slow_down(NEVER);
    for image in &images {
        cloud.servers[0].send(&Request::new("PUT", &format!("/v2/cache/{}", image.id))).expect(202);
    }
    wait_for("some are fetched", Duration::from_secs(60), || (cloud.origin.reads() >= 4).then_some(()));
    wait_for("the service manager sees how far it is", Duration::from_secs(60), || {
        manager.next(Duration::ZERO).filter(|(_, said)| said.contains("; 0 of 6 images fetched into the cache"))
    });
    assert_eq!(cloud.origin.reads(), 4);
    let state = cloud.servers[0].send(&Request::new("GET", "/v2/cache")).expect(200).json();
    assert_eq!(state["queued_images"].as_array().unwrap().len(), 6);
    cloud.origin.slow_down(Duration::ZERO);
    images.iter().for_each(|image| cloud.wait_cached(image));
    cloud.settle();
    assert_eq!((cloud.origin.reads(), cloud.check_files(&images)), (6, 6));
    wait_for("the queue is empty", Duration::from_secs(60), || (cloud.files("queue") == 0).then_some(()));
}

#[test]
fn wrong_data_never_seems_whole() {
    let cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(4, 2_000_000);
    cloud.origin.slow_down(Duration::from_millis(10));
    cloud.origin.knobs.lies.store(true, Ordering::SeqCst);
    read_in_vain(&cloud, &image);
    cloud.settle();
    assert!(cloud.files("invalid") == 1, "who wants to know what came finds it there");
    // Nor does it where what came is removed as soon as it is there.
    let invalid = cloud.cache().join("invalid").join(&image.id);
    let (is_over, removed) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while !is_over.load(Ordering::SeqCst) && start.elapsed() < Duration::from_secs(180) {
                removed.fetch_add(usize::from(fs::remove_file(&invalid).is_ok()), Ordering::SeqCst);
                pause(Duration::from_micros(200));
            }
        });
        read_in_vain(&cloud, &image);
        cloud.settle();
        wait_for("it is removed", Duration::from_secs(60), || (removed.load(Ordering::SeqCst) >= 2).then_some(()));
        is_over.store(true, Ordering::SeqCst);
    });
    cloud.origin.knobs.lies.store(false, Ordering::SeqCst);
    cloud.read(0, &image);
    cloud.wait_cached(&image);
}

/// One of the others goes on with its file, at the store, for the readers of all. What the dead one has written, and readers have got, is
/// judged with that.
#[test]
fn another_worker_goes_on_where_a_writer_died() {
    for lies in [false, true] {
        let mut cloud = Cloud::start(3, |conf| conf);
        let image = cloud.image(7, 2_000_000);
        cloud.origin.slow_down(NEVER);
        cloud.origin.knobs.lies_early.store(lies, Ordering::SeqCst);
        let mut first = Reader::start(&cloud.servers[0], &image);
        first.read(FIRST);
        let mut others: Vec<Reader> =
            [1, 2, 1, 2].into_iter().map(|worker| Reader::start(&cloud.servers[worker], &image)).collect();
        for other in &mut others {
            other.read(FIRST);
        }
        assert_eq!(cloud.origin.reads(), 1);
        cloud.origin.knobs.lies_early.store(false, Ordering::SeqCst);
        cloud.servers[0].crash();
        cloud.origin.slow_down(Duration::ZERO);
        for other in others {
            if lies {
                let got = other.read_to_end();
                assert!(got < image.data.len() - FIRST, "{got} bytes more of a wrong image");
            } else {
                other.finish(&image);
            }
        }
        assert_eq!(cloud.origin.reads(), 2);
        if lies {
            cloud.settle();
            assert!(!cloud.is_cached(&image));
        } else {
            cloud.wait_cached(&image);
        }
    }
}

/// However slow a store may be, its writer shows that it lives. This one does not, and is not waited for as long as a slow one.
#[test]
fn who_reads_behind_a_stopped_worker_goes_on_at_the_store() {
    let cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(10, 2_000_000);
    cloud.origin.slow_down(NEVER);
    let mut first = Reader::start(&cloud.servers[0], &image);
    first.read(FIRST);
    let mut other = Reader::start(&cloud.servers[1], &image).patient(Duration::from_secs(120));
    other.read(FIRST);
    cloud.servers[0].stop_all_threads();
    cloud.origin.slow_down(Duration::ZERO);
    other.finish(&image);
    assert_eq!(cloud.origin.reads(), 2);
    cloud.servers[0].signal(Signal::SIGCONT);
    first.finish(&image);
    cloud.wait_cached(&image);
}

/// On both workers, each with several clients that have got some of it.
fn read_behind_a_store_that_breaks_off(cloud: &Cloud, image: &Image, times: usize) -> Vec<Reader> {
    cloud.origin.slow_down(NEVER);
    cloud.origin.knobs.breaks.store(times, Ordering::SeqCst);
    let mut readers = Vec::new();
    for worker in [0, 0, 0, 1, 1, 1] {
        let mut reader = Reader::start(&cloud.servers[worker], image);
        reader.read(FIRST);
        readers.push(reader);
    }
    assert_eq!(cloud.origin.reads(), 1);
    cloud.origin.slow_down(Duration::ZERO);
    readers
}

#[test]
fn where_the_store_breaks_off_the_writer_goes_on_for_all() {
    let cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(8, 4_000_000);
    for reader in read_behind_a_store_that_breaks_off(&cloud, &image, 2) {
        reader.finish(&image);
    }
    assert_eq!(cloud.origin.reads(), 3);
    cloud.wait_cached(&image);
    cloud.check_files(&[image]);
}

/// A few times for all, and once for each reader, which may have other rights there.
#[test]
fn a_store_that_always_breaks_off_is_not_asked_without_end() {
    let cloud = Cloud::start(2, |conf| conf);
    let image = cloud.image(9, 4_000_000);
    let readers = read_behind_a_store_that_breaks_off(&cloud, &image, usize::MAX);
    let most = 4 + readers.len();
    for reader in readers {
        let got = reader.read_to_end();
        assert!(got < image.data.len() - FIRST, "{got} bytes");
    }
    cloud.settle();
    assert!((5..=most).contains(&cloud.origin.reads()), "{} reads", cloud.origin.reads());
    cloud.origin.knobs.breaks.store(0, Ordering::SeqCst);
    cloud.read(0, &image);
    cloud.wait_cached(&image);
}

/// On both workers at once.
fn read_in_vain(cloud: &Cloud, image: &Image) {
    std::thread::scope(|scope| {
        for worker in [0, 1, 0, 1] {
            scope.spawn(move || {
                let answer = Client::new(cloud.servers[worker].address).try_send(&image.request());
                assert!(answer.is_err(), "a whole answer of status {}", answer.unwrap().status);
            });
        }
    });
    assert!(!cloud.is_cached(image));
}
