//! A service with the clients that talk to it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::common::peers::{Keystone, Upstream, client_bin};
use crate::common::{Conf, Server, database, free_port, shared_database};

/// One service and the clients that talk to it.
pub(crate) struct Side {
    pub(crate) url: String,
    pub(crate) bin: PathBuf,
    pub(crate) user: &'static str,
    pub(crate) project: &'static str,
    pub(crate) work: PathBuf,
    pub(crate) _service: Box<dyn std::any::Any + Send + Sync>,
    // After the service, so that it ends last.
    pub(crate) _database: Option<Arc<database::Server>>,
}

/// What a client's run gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) ok: bool,
    pub(crate) printed: String,
    pub(crate) errors: String,
}

/// Both services, fresh, with an own folder for each side's files, on a kind of database.
pub(crate) fn sides(folder: &Path, database: &'static str) -> [Side; 2] {
    sides_with(folder, database, |conf, _| conf)
}

/// The same with more in their configurations; `set` is told each one's folder.
pub(crate) fn sides_with(folder: &Path, database: &'static str, set: impl Fn(Conf, &Path) -> Conf) -> [Side; 2] {
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
pub(crate) const SMALL: usize = 50_000;

/// A second upstream in our place shows whether the steps are stable.
pub(crate) fn with_upstream() -> bool {
    std::env::var("GLANCE_COMPARE_WITH").is_ok_and(|with| with == "upstream")
}

/// Data that has no structure and is longer than any buffer on its way.
pub(crate) fn data() -> Vec<u8> {
    let mut state = 1_u32;
    (0..3_000_001)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

impl Side {
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Run {
        let done = self.command(program, arguments).output().unwrap();
        Run {
            ok: done.status.success(),
            printed: String::from_utf8_lossy(&done.stdout).into_owned(),
            errors: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// Runs many commands of the clients, with an outcome for each.
    pub(crate) fn run_all(&self, lines: &[Vec<String>]) -> Vec<Run> {
        fs::write(self.work.join("many_commands.py"), include_str!("../data/many_commands.py")).unwrap();
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
