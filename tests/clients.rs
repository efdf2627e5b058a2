//! The real command line clients and the SDK, with a real Keystone, against upstream's service and against ours: both take
//! every step, and what the clients print is the same. Each test has its usual kind of database, so that all three are used;
//! `GLANCE_COMPARE_DATABASE` chooses one for all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::peers::{Keystone, Upstream, client_bin};
use common::{Conf, Server, free_port, shared_database};
use serde_json::Value;

/// One service and the clients that talk to it.
struct Side {
    url: String,
    bin: PathBuf,
    user: &'static str,
    project: &'static str,
    work: PathBuf,
    _service: Box<dyn std::any::Any + Send + Sync>,
    // After the service, so that it ends last.
    _database: Option<Arc<common::database::Server>>,
}

/// What a client's run gave.
#[derive(Debug)]
struct Run {
    ok: bool,
    printed: String,
    errors: String,
}

/// Both services, fresh, with an own folder for each side's files, on a kind of database.
fn sides(folder: &Path, database: &'static str) -> [Side; 2] {
    sides_with(folder, database, |conf, _| conf)
}

/// The same with more in their configurations; `set` is told each one's folder.
fn sides_with(folder: &Path, database: &'static str, set: impl Fn(Conf, &Path) -> Conf) -> [Side; 2] {
    let keystone = Keystone::shared();
    let conf = |name: &str| {
        let own = folder.join(name);
        let conf = set(Conf::new(&own, free_port()).two_stores().keystone(keystone), &own);
        shared_database::with_database_of(shared_database::name_or(database), conf)
    };
    let bin = client_bin();
    let side = |name: &str, port: u16, service: Box<dyn std::any::Any + Send + Sync>, database| {
        let work = folder.join(format!("{name}-work"));
        fs::create_dir_all(&work).unwrap();
        fs::write(work.join("data.raw"), data()).unwrap();
        fs::write(work.join("small.raw"), &data()[..SMALL]).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        Side { url, bin: bin.clone(), user: "demo", project: "demo", work, _service: service, _database: database }
    };
    let (theirs, database) = conf("upstream");
    let upstream = Upstream::start(theirs);
    let theirs = side("upstream", upstream.conf.port, Box::new(upstream), database);
    let (own, database) = conf("ours");
    let ours = if with_upstream() {
        let service = Upstream::start(own);
        side("ours", service.conf.port, Box::new(service), database)
    } else {
        let service = Server::start(own);
        side("ours", service.conf.port, Box::new(service), database)
    };
    [theirs, ours]
}

/// What uWSGI takes from the glance client, which uploads in chunks, in one piece: it stumbles over the next one.
const SMALL: usize = 50_000;

/// A second upstream in our place shows whether the steps are stable.
fn with_upstream() -> bool {
    std::env::var("GLANCE_COMPARE_WITH").is_ok_and(|with| with == "upstream")
}

/// Data that has no structure and is longer than any buffer on its way.
fn data() -> Vec<u8> {
    let mut state = 1_u32;
    (0..3_000_001)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

impl Side {
    fn run(&self, program: &str, arguments: &[&str]) -> Run {
        let done = self.command(program, arguments).output().unwrap();
        Run {
            ok: done.status.success(),
            printed: String::from_utf8_lossy(&done.stdout).into_owned(),
            errors: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// Runs many commands of the clients, with an outcome for each.
    fn run_all(&self, lines: &[Vec<String>]) -> Vec<Run> {
        fs::write(self.work.join("many_commands.py"), include_str!("data/many_commands.py")).unwrap();
        let mut command = self.command("python", &["many_commands.py"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = serde_json::to_vec(lines).unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "the clients could not be run");
        let outcomes: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
        let text = |outcome: &Value, name: &str| outcome[name].as_str().unwrap().to_owned();
        let run = |outcome: &Value| Run {
            ok: outcome["ok"].as_bool().unwrap(),
            printed: text(outcome, "out"),
            errors: text(outcome, "err"),
        };
        outcomes.iter().map(run).collect()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir(&self.work).env_clear().envs([
            ("PATH", "/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("HOME", self.work.to_str().unwrap()),
            ("OS_AUTH_URL", Keystone::shared().url.as_str()),
            ("OS_USERNAME", self.user),
            ("OS_PASSWORD", Keystone::shared().password.as_str()),
            ("OS_PROJECT_NAME", self.project),
            ("OS_USER_DOMAIN_ID", "default"),
            ("OS_PROJECT_DOMAIN_ID", "default"),
            ("OS_IDENTITY_API_VERSION", "3"),
            ("OS_REGION_NAME", "RegionOne"),
            ("OS_IMAGE_ENDPOINT_OVERRIDE", self.url.as_str()),
            ("OS_IMAGE_URL", self.url.as_str()),
        ]);
        command
    }
}

/// The text with what differs from run to run replaced.
fn normal(text: &str, side: &Side) -> String {
    let work = side.work.to_str().unwrap();
    let text =
        text.replace(&side.url, "<url>").replace(work, "<work>").replace(work.trim_end_matches("-work"), "<own>");
    let bytes = text.as_bytes();
    let (mut result, mut at) = (String::new(), 0);
    while at < text.len() {
        let matches = |pattern: &str| {
            bytes.get(at..at + pattern.len()).is_some_and(|found| {
                found.iter().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
                    b'x' => byte.is_ascii_hexdigit(),
                    b'd' => byte.is_ascii_digit(),
                    other => *byte == other,
                })
            })
        };
        if matches("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
            result += "<uuid>";
            at += 36;
        } else if matches("dddd-dd-ddTdd:dd:ddZ") {
            result += "<time>";
            at += 20;
        } else if matches("dddd-dd-ddTdd:dd:dd.dddddd") {
            result += "<time>";
            at += 26;
        } else {
            let letter = text[at..].chars().next().unwrap();
            result.push(letter);
            at += letter.len_utf8();
        }
    }
    result
}

/// A JSON document with sorted tags, or else the text itself.
fn printed(run: &Run, side: &Side) -> Value {
    let text = normal(&run.printed, side);
    let mut value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    sort_tags(&mut value);
    value
}

fn sort_tags(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let (true, Value::Array(tags)) = (name.eq_ignore_ascii_case("tags"), &mut *field) {
                    tags.sort_by_key(Value::to_string);
                }
                sort_tags(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort_tags),
        _ => {}
    }
}

/// Runs a client on both sides; both must do the same and print the same. `<id>` stands for the side's image.
#[track_caller]
fn both(sides: &[Side; 2], ids: &[String; 2], expect_ok: bool, line: &[&str]) -> [Run; 2] {
    let one = |side: usize| {
        let line: Vec<String> = line.iter().map(|word| word.replace("<id>", &ids[side])).collect();
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        sides[side].run(words[0], &words[1..])
    };
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| one(0));
        let ours = one(1);
        (theirs.join().unwrap(), ours)
    });
    assert_eq!(theirs.ok, expect_ok, "upstream, {line:?}: {theirs:?}");
    assert_eq!(ours.ok, expect_ok, "ours, {line:?}: {ours:?}");
    assert_eq!(printed(&ours, &sides[1]), printed(&theirs, &sides[0]), "{line:?} prints something else");
    if !expect_ok {
        assert_eq!(normal(&ours.errors, &sides[1]), normal(&theirs.errors, &sides[0]), "{line:?} complains otherwise");
    }
    [theirs, ours]
}

fn ids(runs: &[Run; 2]) -> [String; 2] {
    let id = |run: &Run| serde_json::from_str::<Value>(&run.printed).unwrap()["id"].as_str().unwrap().to_owned();
    [id(&runs[0]), id(&runs[1])]
}

#[test]
fn openstack_client() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "postgresql");
    let none = [String::new(), String::new()];
    let create = ["openstack", "image", "create", "-f", "json", "--disk-format", "raw", "--container-format", "bare"];
    let made = both(
        &sides,
        &none,
        true,
        &[&create[..], &["--file", "data.raw", "--property", "os_distro=debian", "--tag", "a", "first"]].concat(),
    );
    let id = ids(&made);
    for line in [
        &["openstack", "image", "list", "-f", "json"][..],
        &["openstack", "image", "list", "-f", "json", "--long", "--sort", "name:asc"],
        &["openstack", "image", "list", "-f", "json", "--tag", "a", "--property", "os_distro=debian", "--limit", "1"],
        &["openstack", "image", "show", "-f", "json", "<id>"],
        &["openstack", "image", "show", "-f", "json", "first"],
        &["openstack", "image", "set", "<id>", "--name", "second", "--property", "k=v", "--property", "os_distro=arch"],
        &["openstack", "image", "set", "<id>", "--min-disk", "3", "--min-ram", "64", "--tag", "b", "--private"],
        &["openstack", "image", "set", "<id>", "--protected"],
        &["openstack", "image", "show", "-f", "json", "<id>"],
        &["openstack", "image", "unset", "<id>", "--property", "k", "--tag", "a"],
        &["openstack", "image", "set", "<id>", "--unprotected", "--community", "--hidden"],
        &["openstack", "image", "show", "-f", "json", "<id>"],
        &["openstack", "image", "list", "-f", "json"],
        &["openstack", "image", "list", "-f", "json", "--hidden"],
        &["openstack", "image", "save", "--file", "saved", "<id>"],
    ] {
        both(&sides, &id, true, line);
    }
    for side in &sides {
        assert!(fs::read(side.work.join("saved")).unwrap() == data(), "{} gave other data back", side.url);
    }
    both(&sides, &none, true, &[&create[..], &["empty"]].concat());
    both(&sides, &id, false, &["openstack", "image", "set", "<id>", "--public"]);
    both(&sides, &id, false, &["openstack", "image", "show", "-f", "json", "nothing"]);
    both(
        &sides,
        &id,
        false,
        &["openstack", "image", "create", "--disk-format", "qcow2", "--file", "data.raw", "wrong"],
    );
    both(&sides, &id, true, &["openstack", "image", "delete", "<id>"]);
    both(&sides, &id, false, &["openstack", "image", "delete", "<id>"]);
    // The client has uploaded the nothing that it read from its standard input.
    both(&sides, &none, true, &["openstack", "image", "delete", "empty"]);
    if !with_upstream() {
        // Upstream keeps what it refused above for its format.
        for store in ["fast", "slow"] {
            let files = fs::read_dir(folder.path().join("ours").join(store)).unwrap();
            let left: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
            assert!(left.is_empty(), "data left in {store}: {left:?}");
        }
    }
}

#[test]
fn glance_client() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "mariadb");
    let none = [String::new(), String::new()];
    // The glance client prints tables; their text is compared as it is. The id is chosen, so it is known.
    let id = "5e5e5e5e-0000-4000-8000-00000000000e";
    let ids = [id.to_owned(), id.to_owned()];
    both(
        &sides,
        &none,
        true,
        &[
            "glance",
            "image-create",
            "--id",
            id,
            "--name",
            "one",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--property",
            "k=v",
            "--tags",
            "a",
            "--file",
            "small.raw",
        ],
    );
    for line in [
        &["glance", "image-list"][..],
        &["glance", "image-list", "--sort", "name:asc", "--limit", "1"],
        &["glance", "image-show", "<id>"],
        &["glance", "image-update", "--name", "two", "--property", "k=w", "--min-disk", "1", "<id>"],
        &["glance", "image-update", "--remove-property", "k", "--visibility", "private", "<id>"],
        &["glance", "image-download", "--file", "saved", "<id>"],
        &[
            "glance",
            "image-create",
            "--name",
            "two",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--min-ram",
            "5",
        ],
    ] {
        both(&sides, &ids, true, line);
    }
    for side in &sides {
        assert!(fs::read(side.work.join("saved")).unwrap() == data()[..SMALL], "{} gave other data back", side.url);
    }
    both(&sides, &ids, false, &["glance", "image-update", "--visibility", "public", "<id>"]);
    both(&sides, &ids, true, &["glance", "image-delete", "<id>"]);
    both(&sides, &ids, false, &["glance", "image-show", "<id>"]);
    both(&sides, &ids, false, &["glance", "image-delete", "<id>"]);
}

/// Commands that stage, import and copy, by all methods but the one that needs a third service, on both services.
#[test]
fn imports() {
    let folder = tempfile::tempdir().unwrap();
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/image", web.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in web.incoming() {
            let mut connection = connection.unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {SMALL}\r\n\r\n");
            // Whoever asked may be gone by now.
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&data()[..SMALL]));
        }
    });
    let sides = sides_with(folder.path(), "sqlite", |conf, _| {
        conf.set("import_filtering_opts.allowed_hosts", "[127.0.0.1]").set("import_filtering_opts.allowed_ports", "[]")
    });
    let sides = sides.map(|side| Side { user: "admin", project: "admin", ..side });
    let commands = include_str!("data/import_commands.txt").replace("<web>", &url);
    same_outcomes_of(&sides, &lines_of(&commands));
    for side in &sides {
        for file in ["one", "four"] {
            assert!(fs::read(side.work.join(file)).unwrap() == data()[..SMALL], "{} gave other data back", side.url);
        }
    }
}

/// Every command for metadata definitions, on both services.
#[test]
fn metadata_definitions() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "postgresql").map(|side| Side { user: "admin", project: "admin", ..side });
    for side in &sides {
        fs::write(side.work.join("namespace.json"), NAMESPACE).unwrap();
    }
    let lines = include_str!("data/metadef_commands.txt");
    for command in commands_for_metadata(&sides[0]) {
        let is_it = |line: &str| format!("{} ", line.trim_start_matches('!')).starts_with(&format!("{command} "));
        assert!(lines.lines().any(is_it), "nothing runs {command}");
    }
    same_outcomes(&sides, lines);
}

/// Every command for the image cache, on both services.
#[test]
fn image_cache() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides_with(folder.path(), "sqlite", |conf, own| {
        conf.set("paste_deploy.flavor", "keystone+cachemanagement")
            .set("DEFAULT.image_cache_dir", own.join("cache").display())
            .set("DEFAULT.worker_self_reference_url", "http://node.example.com")
    });
    let sides = sides.map(|side| Side { user: "admin", project: "admin", ..side });
    same_outcomes(&sides, include_str!("data/cache_commands.txt"));
    for side in &sides {
        assert!(fs::read(side.work.join("saved")).unwrap() == data()[..SMALL], "{} gave other data back", side.url);
    }
}

/// The lines of a text that are commands.
fn lines_of(commands: &str) -> Vec<&str> {
    commands.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Runs commands, a line each, with both clients on both sides.
fn same_outcomes(sides: &[Side; 2], commands: &str) {
    for client in ["glance", "openstack"] {
        let of_client = |line: &&str| line.trim_start_matches('!').starts_with(client);
        let lines: Vec<&str> = lines_of(commands).into_iter().filter(of_client).collect();
        same_outcomes_of(sides, &lines);
    }
}

/// Runs commands on both sides: all must do and print the same. Those that begin with `!` fail; of those that begin with `~` only the
/// success counts.
fn same_outcomes_of(sides: &[Side; 2], lines: &[&str]) {
    let words: Vec<Vec<String>> = lines.iter().map(|line| words(line)).collect();
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| sides[0].run_all(&words));
        let ours = sides[1].run_all(&words);
        (theirs.join().unwrap(), ours)
    });
    assert_eq!((theirs.len(), ours.len()), (lines.len(), lines.len()));
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        let expect_ok = !line.starts_with('!');
        assert_eq!((theirs.ok, ours.ok), (expect_ok, expect_ok), "{line}: {theirs:?} {ours:?}");
        if line.starts_with('~') {
            continue;
        }
        assert_eq!(printed(ours, &sides[1]), printed(theirs, &sides[0]), "{line} prints something else");
        assert_eq!(normal(&ours.errors, &sides[1]), normal(&theirs.errors, &sides[0]), "{line} complains otherwise");
    }
}

/// All that the clients themselves list.
fn commands_for_metadata(side: &Side) -> Vec<String> {
    let program = "from importlib.metadata import entry_points\n\
                   from glanceclient.v2 import shell\n\
                   for name in dir(shell):\n\
                   \x20   if name.startswith('do_md_'): print('glance', name[3:].replace('_', '-'))\n\
                   for point in entry_points(group='openstack.image.v2'):\n\
                   \x20   if 'metadef' in point.name: print('openstack', point.name.replace('_', ' '))\n";
    let listed = side.run("python", &["-c", program]);
    assert!(listed.ok, "{}", listed.errors);
    let commands: Vec<String> = listed.printed.lines().map(str::to_owned).collect();
    assert!(commands.len() > 50, "{commands:?}");
    commands
}

/// The words of a command, with blanks where quotation marks begin a word.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut is_quoted) = (vec![String::new()], false);
    for letter in line.trim_start_matches(['!', '~']).chars() {
        let word = words.last_mut().unwrap();
        match letter {
            '"' if is_quoted || word.is_empty() => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            other => word.push(other),
        }
    }
    words
}

const NAMESPACE: &str = r#"{
    "namespace": "imported",
    "visibility": "public",
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "img_"}],
    "properties": {"p": {"title": "P", "type": "string", "default": "x"}},
    "objects": [
        {"name": "o", "description": "d", "properties": {"q": {"title": "Q", "type": "integer"}}, "required": ["q"]}
    ],
    "tags": [{"name": "t"}]
}"#;

/// A program for the SDK; it prints one JSON document.
const SDK: &str = r#"
import hashlib, json, sys, openstack
cloud = openstack.connect()
data = open("data.raw", "rb").read()
made = cloud.image.create_image("sdk", filename="data.raw", disk_format="raw", container_format="bare",
                                validate_checksum=True, hw_disk_bus="scsi", tags=["x"], wait=True, timeout=60)
image = cloud.image.get_image(made.id)
again = cloud.image.download_image(image, stream=False).content
parts = b"".join(cloud.image.download_image(image, stream=True).iter_content(chunk_size=65536))
cloud.image.update_image(image, name="renamed", min_disk=2, hw_disk_bus="virtio")
changed = cloud.image.get_image(made.id)
by_name = cloud.image.find_image("renamed")
empty = cloud.image.create_image("empty", disk_format="raw", container_format="bare", allow_duplicates=True)
names = sorted(i.name for i in cloud.image.images(limit=1))
versions = [(v["id"], v["status"]) for v in cloud.session.get(sys.argv[1] + "/versions", authenticated=False).json()["versions"]]
keep = lambda i: {k: v for k, v in i.to_dict().items() if k not in ("location",)}
cloud.image.delete_image(made.id)
cloud.image.delete_image(made.id, ignore_missing=True)
left = [i.name for i in cloud.image.images()]
print(json.dumps({"image": keep(image), "changed": keep(changed), "same": again == data and parts == data,
                  "found": by_name.name, "names": names, "left": left, "empty": keep(empty), "versions": versions},
                 default=str))
"#;

#[test]
fn sdk() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "sqlite");
    let runs = sides.each_ref().map(|side| {
        fs::write(side.work.join("steps.py"), SDK).unwrap();
        let run = side.run("python", &["steps.py", &side.url]);
        assert!(run.ok, "{run:?}");
        run
    });
    let [theirs, ours] = [printed(&runs[0], &sides[0]), printed(&runs[1], &sides[1])];
    assert_eq!(ours["same"], true);
    assert_eq!(ours, theirs);
}

/// The functional tests of the SDK that are about images, on both services.
#[test]
fn functional_tests_of_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "mariadb");
    let run = |side: &Side| {
        fs::write(side.work.join("functional.py"), include_str!("data/sdk_functional.py")).unwrap();
        let run = side.run("python", &["functional.py"]);
        let outcomes: Option<Value> = run.printed.lines().last().and_then(|line| serde_json::from_str(line).ok());
        outcomes.unwrap_or_else(|| panic!("{run:?}"))
    };
    let [theirs, ours] = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&sides[0]));
        let ours = run(&sides[1]);
        [theirs.join().unwrap(), ours]
    });
    let outcomes = ours.as_object().unwrap();
    assert!(outcomes.len() >= 10 && outcomes.values().all(|outcome| outcome == "passed"), "{ours:#}");
    assert_eq!(ours, theirs);
}
