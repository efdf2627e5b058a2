//! How long requests take.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Request, Server, is_thorough};

/// Fewer requests say nothing.
const LEAST: usize = 60;

/// Shows and creates images until `is_over`, a few times at least, and returns how long each request took.
pub(crate) fn times(server: &Server, mut is_over: impl FnMut() -> bool) -> Vec<Duration> {
    let image = json!({"name": "meanwhile", "disk_format": "raw", "container_format": "bare"});
    let mut client = server.client();
    let mut times = Vec::new();
    while times.len() < LEAST || !is_over() {
        let mut timed = |request: &Request| {
            let start = Instant::now();
            let answer = client.send(request);
            times.push(start.elapsed());
            answer
        };
        let made = timed(&Request::new("POST", "/v2/images").json(&image)).expect(201).json();
        let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
        timed(&Request::new("GET", &path)).expect(200);
        timed(&Request::new("GET", "/v2/images?limit=10")).expect(200);
    }
    times
}

/// Fails when requests that ran beside other work were much slower than those before it. `measured` is what the work was.
#[track_caller]
pub(crate) fn assert_hardly_slower(without: Vec<Duration>, with: Vec<Duration>, measured: &str) {
    // A run that is not thorough has few requests, on a machine that may be busy with other tests: some of them may be as slow as they
    // like, and all may need some seconds.
    let (percent, noise) = if is_thorough() { (99, Duration::ZERO) } else { (90, Duration::from_secs(10)) };
    let (without, with) = (percentile(without, percent), percentile(with, percent));
    let measured = format!("{percent} % of the requests took up to {without:?} without, {with:?} while {measured}");
    eprintln!("{measured}");
    assert!(with <= (without * 2).max(noise), "{measured}");
}

/// The time below which so many of 100 requests stay. The 99th percentile of fewer than 100 requests is the slowest of them.
fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort_unstable();
    times[times.len() * percent / 100]
}
