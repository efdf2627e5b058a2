//! The real Keystone, the real Ceph, the real Barbican and upstream's own Image service, by way of `tests/peers/peers`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{Conf, http};

/// Runs `tests/peers/peers` and returns what it printed.
#[track_caller]
pub(crate) fn peers(arguments: &[&str]) -> String {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/peers");
    let done = Command::new("python3").arg(program).args(arguments).stderr(Stdio::inherit()).output().unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "peers {arguments:?}: {}", done.status);
    printed.trim().to_owned()
}

/// The bin folder of the environment with the command line clients and the SDK.
pub(crate) fn client_bin() -> PathBuf {
    PathBuf::from(peers(&["environment", "client"]))
}

/// The metadata definitions that upstream delivers.
pub(crate) fn stock_definitions() -> PathBuf {
    Path::new(&peers(&["environment", "server"])).join("../etc/glance/metadefs")
}

#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Keystone {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) password: String,
    /// Ids by name.
    pub(crate) projects: BTreeMap<String, String>,
    /// Ids by name.
    pub(crate) users: BTreeMap<String, String>,
}

impl Keystone {
    /// The instance that all test binaries share. It runs as long as one of them does.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Keystone> = OnceLock::new();
        SHARED.get_or_init(|| Self::named("shared", "flat"))
    }

    /// An instance of this test's own, to be taken away and brought back. Its limits hold for two levels, the domain being the upper one.
    pub(crate) fn private() -> Self {
        Self::named(&format!("keystone-{}-{}", std::process::id(), super::free_port()), "strict_two_level")
    }

    fn named(name: &str, model: &str) -> Self {
        let user = std::process::id().to_string();
        serde_json::from_str(&peers(&["keystone", "up", name, "--user", &user, "--model", model])).unwrap()
    }

    /// Ends the service, keeping its users and tokens.
    pub(crate) fn away(&self) {
        peers(&["keystone", "away", &self.name]);
    }

    /// Brings the service back where it was.
    pub(crate) fn again(&self) {
        peers(&["keystone", "again", &self.name]);
    }

    pub(crate) fn stop(&self) {
        peers(&["stop", &self.name]);
    }

    /// Tokens for `user@project`; see `tests/peers/keystone.py` for more forms.
    pub(crate) fn tokens(&self, who: &[&str]) -> BTreeMap<String, String> {
        let arguments = [&["keystone", "tokens", &self.name], who].concat();
        serde_json::from_str(&peers(&arguments)).unwrap()
    }

    /// Makes limits on images what the document says; see `tests/peers/limits.py`.
    pub(crate) fn limits(&self, wanted: &serde_json::Value) {
        peers(&["keystone", "limits", &self.name, &wanted.to_string()]);
    }

    /// A further region, whose Image service is there.
    pub(crate) fn add_region(&self, region: &str, url: &str) {
        peers(&["keystone", "region", &self.name, region, url]);
    }

    pub(crate) fn token(&self, who: &str) -> String {
        self.tokens(&[who]).remove(who).unwrap()
    }
}

/// A key manager with its own state, for users of a Keystone; its keeper ends it with this process.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Barbican {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Barbican {
    pub(crate) fn start(keystone: &Keystone) -> Self {
        let user = std::process::id().to_string();
        let name = format!("barbican-{user}-{}", super::free_port());
        let told = peers(&["barbican", "up", &name, "--user", &user, "--keystone", &keystone.name]);
        serde_json::from_str(&told).unwrap()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    pub(crate) fn stop(&self) {
        peers(&["stop", &self.name]);
    }
}

#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Ceph {
    pub(crate) name: String,
    /// The path of its ceph.conf.
    pub(crate) conf: String,
    pub(crate) fsid: String,
    pub(crate) pool: String,
    pub(crate) user: String,
}

impl Ceph {
    /// The cluster that all tests share. It runs as long as one of their binaries does.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Ceph> = OnceLock::new();
        SHARED.get_or_init(|| Self::named("ceph"))
    }

    /// A cluster of this test's own, to be taken away and brought back.
    pub(crate) fn private() -> Self {
        Self::named(&format!("ceph-{}-{}", std::process::id(), super::free_port()))
    }

    fn named(name: &str) -> Self {
        let user = std::process::id().to_string();
        serde_json::from_str(&peers(&["ceph", "up", name, "--user", &user])).unwrap()
    }

    /// Ends the daemons, keeping their data.
    pub(crate) fn away(&self) {
        peers(&["ceph", "away", &self.name]);
    }

    /// Starts the daemons again.
    pub(crate) fn again(&self) {
        peers(&["ceph", "again", &self.name]);
    }

    pub(crate) fn stop(&self) {
        peers(&["stop", &self.name]);
    }

    /// Runs one of Ceph's own commands as the administrator; what it printed, and whether it succeeded.
    pub(crate) fn try_run(&self, program: &str, arguments: &[&str]) -> (String, bool) {
        let done = Command::new(program).args(["--conf", &self.conf]).args(arguments).output().unwrap();
        let printed = [done.stdout, done.stderr].concat();
        (String::from_utf8(printed).unwrap(), done.status.success())
    }

    /// Runs `rbd` as the administrator; what it printed.
    #[track_caller]
    pub(crate) fn rbd(&self, arguments: &[&str]) -> String {
        let (printed, succeeded) = self.try_run("rbd", arguments);
        assert!(succeeded, "rbd {arguments:?}: {printed}");
        printed
    }

    /// The names of all images in the pool.
    pub(crate) fn images(&self) -> Vec<String> {
        self.rbd(&["ls", &self.pool]).lines().map(str::to_owned).collect()
    }
}

/// An instance of upstream's service with its own state; ended when dropped.
pub(crate) struct Upstream {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) conf: Conf,
    /// What it writes while it runs.
    pub(crate) log: PathBuf,
    name: String,
}

/// What `peers upstream up` tells.
#[derive(serde::Deserialize)]
struct Started {
    log: PathBuf,
}

impl Upstream {
    pub(crate) fn start(conf: Conf) -> Self {
        assert!(conf.environment.is_empty(), "upstream's service would not see {:?}", conf.environment);
        let path = conf.write().display().to_string();
        let database = conf.database().display().to_string();
        let user = std::process::id().to_string();
        let name = format!("upstream-{user}-{}", conf.port);
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], conf.port));
        let told = peers(&["upstream", "up", &name, "--user", &user, "--conf", &path, "--database", &database]);
        let Started { log } = serde_json::from_str(&told).unwrap();
        Self { address, conf, log, name }
    }

    pub(crate) fn client(&self) -> http::Client {
        http::Client::new(self.address)
    }

    /// Ends it, and waits until it is gone.
    pub(crate) fn end(self) {
        peers(&["stop", &self.name]);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Its keeper ends it anyway when this process is gone; this is only sooner.
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/peers");
        let _ = Command::new("python3").arg(program).args(["stop", "--soon", &self.name]).status();
    }
}
