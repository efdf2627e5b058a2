//! How long requests take.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Request, Server};

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

/// The time below which 99 of 100 requests stay.
pub(crate) fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
