//! What the operator's rules cost: protections of properties, and the files of the policy.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::{Server, Setup, wait_for};

const LIST: &str = "/v2/images?limit=1000";
/// Lists of one measurement, and measurements of a server: what else the machine does is in none of the shortest, some time.
const LISTS: usize = 2;
const ROUNDS: usize = 25;

/// A thousand images, each with ten of the properties p0 to p99.
const ROWS: &str = "
    WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999)
    INSERT INTO images (id, name, status, visibility, created_at, updated_at, deleted, min_disk, min_ram, protected, os_hidden)
    SELECT printf('00000000-0000-4000-8000-%012d', n), 'image ' || n, 'queued', 'public', '2020-01-01', '2020-01-01', 0, 0, 0, 0, 0
    FROM n;
    WITH RECURSIVE p (p) AS (SELECT 0 UNION ALL SELECT p + 1 FROM p WHERE p < 9)
    INSERT INTO image_properties (image_id, name, value, created_at, deleted)
    SELECT id, 'p' || ((CAST(substr(id, 25) AS INTEGER) * 10 + p) % 100), 'value', '2020-01-01', 0 FROM images, p";

fn fill(server: &Server) {
    let mut command = Command::new("sqlite3");
    command.arg(server.path("glance.db")).args(["-cmd", ".timeout 5000"]).arg(ROWS);
    let done = command.output().expect("sqlite3: apt-get install sqlite3");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// How many images the list has, and how many properties.
fn list(server: &Server) -> (usize, usize) {
    let answer = server.get(LIST).unwrap();
    assert_eq!(answer.status, 200);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let images = body["images"].as_array().unwrap();
    let properties = |image: &serde_json::Value| image.as_object().unwrap().values().filter(|v| **v == "value").count();
    (images.len(), images.iter().map(properties).sum())
}

/// Time of processors that the lists have cost the server.
fn cost(server: &Server) -> Duration {
    let before = server.processor_time();
    for _ in 0..LISTS {
        assert_eq!(server.get(LIST).unwrap().status, 200);
    }
    server.processor_time() - before
}

#[test]
fn a_hundred_of_them_add_less_than_a_third_to_a_list_of_a_thousand_images() {
    let setup = Setup::new();
    let section = |number: usize| {
        let who = if number.is_multiple_of(50) { "!" } else { "@" };
        format!("[^p{number}$]\ncreate = {who}\nread = {who}\nupdate = {who}\ndelete = {who}\n")
    };
    let file = setup.path("protections.conf");
    fs::write(&file, (0..100).map(section).collect::<String>()).unwrap();
    let protected = setup.more(&format!("property_protection_file = {}", file.display())).start();
    let free = Setup::new().start();
    [&protected, &free].into_iter().for_each(fill);
    assert_eq!((list(&free), list(&protected)), ((1000, 10_000), (1000, 9800)));
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        without = without.min(cost(&free));
        with = with.min(cost(&protected));
        if round >= 4 && with * 10 <= without * 13 {
            return;
        }
    }
    panic!("{without:?} without protections, {with:?} with them");
}

/// The system calls about files of the policy that the server makes while `work` is done.
fn calls_about_policy(server: &Server, work: impl FnOnce()) -> usize {
    let (trace, pid) = (server.path("trace"), server.child.id());
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--quiet=all", "--trace=%file", "--attach"]).arg(pid.to_string());
    let mut strace = command.arg("--output").arg(&trace).spawn().expect("strace: apt-get install strace");
    let tracer = format!("TracerPid:\t{}\n", strace.id());
    wait_for("all threads are traced", || {
        let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let is_traced = |status: String| status.contains(&tracer);
        threads.all(|thread| fs::read_to_string(thread.path().join("status")).is_ok_and(is_traced)).then_some(())
    });
    work();
    // It writes the rest then.
    kill(Pid::from_raw(strace.id().cast_signed()), Signal::SIGINT).unwrap();
    strace.wait().unwrap();
    fs::read_to_string(trace).unwrap().lines().filter(|line| line.contains("/policy.")).count()
}

/// Each is a way into the kernel on the thread that serves all others, and may take for ever where the files lie on a network.
#[test]
fn a_request_does_not_look_at_the_files_of_the_policy() {
    const REQUESTS: usize = 500;
    let setup = Setup::new();
    let policy = setup.path("policy.yaml");
    fs::write(&policy, "get_images: '@'\n").unwrap();
    fs::create_dir(setup.path("policy.d")).unwrap();
    let server = setup.start();
    let ask = || assert_eq!(server.get("/v2/images").unwrap().status, 200);
    let look = calls_about_policy(&server, || {
        fs::write(&policy, "get_images: '@ or @'\n").unwrap();
        ask();
    });
    assert!(look > 0, "a look at a file that has changed does not show");
    let begin = Instant::now();
    let calls = calls_about_policy(&server, || (0..REQUESTS).for_each(|_| ask()));
    // They are looked at every five seconds besides.
    let looks = begin.elapsed().as_secs() / 5 + 1;
    assert!(
        calls < REQUESTS && calls <= look * usize::try_from(looks).unwrap(),
        "{calls}, of which {look} in one of {looks} looks"
    );
}
