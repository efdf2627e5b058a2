//! The store's connection to its cluster: one, made when it is needed, kept while it is good.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::super::pool::Pool;
use super::super::{StoreError, background};
use super::dropped_on_pool::DroppedOnPool;
use super::options::RbdOptions;
use crate::sys::ceph::{CephPool, Client, Cluster};

/// Seconds after which an operation counts as failed where neither rados_connect_timeout nor ceph.conf says. Ceph's own
/// answer is never: an upload would wait as long as its cluster is away.
const OPERATION_TIMEOUT: &str = "300";

/// Where librados looks for keys if ceph.conf names no other place.
const FOLDER: &str = "/etc/ceph";

/// Where librados looks for the key of a user if ceph.conf does not say.
const KEYRINGS: [&str; 4] =
    ["/etc/ceph/$cluster.$name.keyring", "/etc/ceph/$cluster.keyring", "/etc/ceph/keyring", "/etc/ceph/keyring.bin"];

/// The files from which a connection is made: ceph.conf, the keyrings that it names, and the folders in which keys may be
/// exchanged. Blocks.
pub(super) fn files(options: &RbdOptions) -> Vec<PathBuf> {
    let conf = Some(&options.rbd_store_ceph_conf).filter(|path| !path.is_empty());
    let conf = conf.map_or_else(|| Path::new(FOLDER).join("ceph.conf"), PathBuf::from);
    let keyrings = keyrings(&fs::read_to_string(&conf).unwrap_or_default(), &Access::new(options).user);
    let folder = conf.parent().map(Path::to_owned);
    [conf].into_iter().chain(folder).chain([PathBuf::from(FOLDER)]).chain(keyrings).collect()
}

/// The files that may hold the key of a user: those of all sections of a ceph.conf, whichever count.
fn keyrings(conf: &str, user: &str) -> Vec<PathBuf> {
    let named = conf.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        // Blanks, hyphens and underscores are the same in the names of options.
        let key: String = key.chars().filter(char::is_ascii_alphabetic).collect();
        matches!(key.to_ascii_lowercase().as_str(), "keyring" | "keyfile").then_some(value)
    });
    let id = user.split_once('.').map_or(user, |(_, id)| id);
    let expand = |path: &str| {
        let variables = [("cluster", "ceph"), ("name", user), ("type", "client"), ("id", id)];
        variables.iter().fold(path.to_owned(), |path, (variable, value)| {
            path.replace(&format!("${{{variable}}}"), value).replace(&format!("${variable}"), value)
        })
    };
    let paths = named.flat_map(|list| list.split([',', ';', ' ', '\t'])).chain(KEYRINGS);
    paths
        .map(|path| path.trim_matches(['"', '\'']))
        .filter(|path| !path.is_empty())
        .map(|path| expand(path).into())
        .collect()
}

/// How to reach a cluster.
#[derive(Clone)]
pub(super) struct Access {
    /// As in `client.admin`.
    user: String,
    /// `None`: librados' usual places.
    conf_file: Option<String>,
    /// `rados_connect_timeout`; `None` when it is negative.
    timeout: Option<u64>,
}

impl Access {
    pub(super) fn new(options: &RbdOptions) -> Self {
        let user = options.rbd_store_user.as_deref().filter(|user| !user.is_empty()).unwrap_or("admin");
        Self {
            user: format!("client.{user}"),
            conf_file: Some(options.rbd_store_ceph_conf.clone()).filter(|path| !path.is_empty()),
            timeout: u64::try_from(options.rados_connect_timeout).ok(),
        }
    }

    /// Loads the libraries and reads ceph.conf. Contacts nothing.
    ///
    /// # Errors
    /// In words for the operator.
    pub(super) fn client(&self) -> Result<Client, String> {
        let client = Client::new(&self.user).map_err(|error| error.to_string())?;
        client.read_file(self.conf_file.as_deref()).map_err(|error| match &self.conf_file {
            Some(path) => format!("rbd_store_ceph_conf {path}: {error}"),
            None => format!("cannot read /etc/ceph/ceph.conf ({error}); set rbd_store_ceph_conf if it lies elsewhere"),
        })?;
        let set = |name, value: &str| client.set(name, value).map_err(|error| format!("option {name}: {error}"));
        match self.timeout {
            Some(seconds) => {
                for name in ["rados_osd_op_timeout", "rados_mon_op_timeout", "client_mount_timeout"] {
                    set(name, &seconds.to_string())?;
                }
            }
            None => {
                for name in ["rados_osd_op_timeout", "rados_mon_op_timeout"] {
                    let is_endless = |value: &String| value.parse() == Ok(0.0);
                    if client.option(name).is_ok_and(|value| is_endless(&value)) {
                        set(name, OPERATION_TIMEOUT)?;
                    }
                }
            }
        }
        // It is the default, and what the asynchronous half of this store stands on. A librbd that does not know it any more
        // never blocks there.
        let _ = set("rbd_non_blocking_aio", "true");
        Ok(client)
    }

    /// Why there is no connection, in words for the operator.
    fn refused(&self, error: &io::Error) -> String {
        let hint = match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM | libc::ENOENT) => {
                "; its keyring must be where ceph.conf says, and readable for the service's user"
            }
            _ => "",
        };
        format!("{} cannot connect: {error}{hint}", self.user)
    }
}

/// A connection. What is opened through it keeps it.
pub(super) struct Connection {
    cluster: DroppedOnPool<Arc<Cluster>>,
    pub(super) fsid: String,
    /// For new images.
    pub(super) features: u64,
    lost: AtomicBool,
    /// When it was made, and in milliseconds since then when the cluster last failed to answer in time; 0: never.
    made: Instant,
    silent: AtomicU64,
}

/// How long, after an operation has waited for the cluster in vain, others do not even try: they would wait as long, one
/// queue of threads after the other.
const SILENCE: Duration = Duration::from_secs(5);

impl Connection {
    /// Blocks. `threads`: where the connection is closed.
    fn make(access: &Access, threads: &Arc<Pool>) -> Result<Self, String> {
        let cluster = access.client()?.connect().map_err(|error| access.refused(&error))?;
        let fsid = cluster.fsid().map_err(|error| format!("asking for the id of the cluster: {error}"))?;
        let features = cluster.option("rbd_default_features").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let cluster = DroppedOnPool::new(Arc::new(cluster), threads);
        let (lost, made, silent) = (AtomicBool::new(false), Instant::now(), AtomicU64::new(0));
        Ok(Self { cluster, fsid, features, lost, made, silent })
    }

    /// Whether it makes sense to ask the cluster for something.
    ///
    /// # Errors
    /// `RemoteUnavailable`
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let last = Duration::from_millis(self.silent.load(Ordering::Relaxed));
        let is_silent = !last.is_zero() && self.made.elapsed().saturating_sub(last) < SILENCE;
        if is_silent { Err(unavailable("the cluster did not answer a moment ago".to_owned())) } else { Ok(()) }
    }

    /// Opens a pool. Blocks.
    ///
    /// # Errors
    /// `RemoteUnavailable`, `Io`.
    pub(super) fn pool(&self, name: &str) -> Result<Arc<CephPool>, StoreError> {
        let opened = self.cluster.get().map_or_else(|| Err(io::ErrorKind::NotConnected.into()), |it| it.pool(name));
        opened.map(Arc::new).map_err(|error| self.reading(format!("opening the pool {name}"), error))
    }

    /// Whether the cluster no longer takes anything from this connection.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Sorts a failed read.
    pub(super) fn reading(&self, doing: String, source: io::Error) -> StoreError {
        self.away(doing, source).unwrap_or_else(|(doing, source)| StoreError::system(doing, source))
    }

    /// Sorts a failed write.
    pub(super) fn writing(&self, doing: String, source: io::Error) -> StoreError {
        self.away(doing, source).unwrap_or_else(|(doing, source)| StoreError::writing(|| doing, source))
    }

    fn away(&self, doing: String, source: io::Error) -> Result<StoreError, (String, io::Error)> {
        match source.raw_os_error() {
            // ESHUTDOWN: the cluster has shut this client out (EBLOCKLISTED), which is for good.
            Some(libc::ESHUTDOWN | libc::ENOTCONN) => self.lost.store(true, Ordering::Relaxed),
            Some(libc::ETIMEDOUT) => {
                let now = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.silent.store(now.max(1), Ordering::Relaxed);
            }
            Some(libc::EHOSTUNREACH | libc::ECONNREFUSED | libc::ECONNRESET) => {}
            _ => return Err((doing, source)),
        }
        Ok(unavailable(format!("{doing}: {source}")))
    }
}

/// The way to the connection.
pub(super) struct Link {
    /// What logs call the store.
    store: String,
    access: Access,
    threads: Arc<Pool>,
    /// Locked while somebody connects.
    state: Arc<Mutex<State>>,
    /// Once known, from ceph.conf or the cluster.
    fsid: OnceLock<String>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// When the last attempt ended without one, and why.
    failure: Option<(Instant, String)>,
}

impl Link {
    /// Reads the configuration. Blocks on the file system.
    ///
    /// # Errors
    /// In words for the operator.
    pub(super) fn new(store: &str, access: Access, threads: Arc<Pool>) -> Result<Arc<Self>, String> {
        let named = access.client()?.option("fsid").ok().filter(|fsid| is_fsid(fsid));
        let fsid = named.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Arc::new(Self { store: store.to_owned(), access, threads, state: Arc::default(), fsid }))
    }

    /// Starts to connect, and returns.
    pub(super) fn begin(self: &Arc<Self>) {
        if let Ok(state) = Arc::clone(&self.state).try_lock_owned() {
            let link = Arc::clone(self);
            // Without a thread now, the first request connects.
            let _ = self.threads.submit(Box::new(move || drop(link.connect(state))));
        }
    }

    /// The id of the cluster, unless it is not yet known.
    pub(super) fn fsid(&self) -> Option<&str> {
        self.fsid.get().map(String::as_str)
    }

    /// The connection, made now if there is none. Those who ask while somebody else tries share the outcome.
    ///
    /// # Errors
    /// `RemoteUnavailable`.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, StoreError> {
        let asked = Instant::now();
        let state = Arc::clone(&self.state).lock_owned().await;
        match (&state.connection, &state.failure) {
            (Some(connection), _) if !connection.is_lost() => return Ok(Arc::clone(connection)),
            (_, Some((when, reason))) if *when >= asked => return Err(unavailable(reason.clone())),
            _ => {}
        }
        let link = Arc::clone(self);
        let attempt = self.threads.run(move || link.connect(state));
        attempt.await.unwrap_or_else(|error| Err(StoreError::without_thread(error)))
    }

    /// Blocks.
    fn connect(&self, mut state: OwnedMutexGuard<State>) -> Result<Arc<Connection>, StoreError> {
        state.connection = None;
        // Whoever drops the last of it may be a thread of the background, and one that it makes is none for requests.
        match Connection::make(&self.access, background::threads()) {
            Ok(made) => {
                tracing::info!(store = self.store, fsid = made.fsid, "connected to a Ceph cluster");
                let _ = self.fsid.set(made.fsid.clone());
                let made = Arc::new(made);
                state.connection = Some(Arc::clone(&made));
                state.failure = None;
                Ok(made)
            }
            Err(reason) => {
                tracing::warn!(
                    store = self.store,
                    reason,
                    "no connection to the Ceph cluster; the next request tries again"
                );
                state.failure = Some((Instant::now(), reason.clone()));
                Err(unavailable(reason))
            }
        }
    }
}

fn unavailable(reason: String) -> StoreError {
    StoreError::RemoteUnavailable { source: Some(reason.into()) }
}

/// Whether ceph.conf names the cluster: without, librados has zeros there.
fn is_fsid(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok_and(|id| !id.is_nil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FileStates;

    #[test]
    fn the_user_and_the_timeout_have_upstreams_meaning() {
        let access = |user: Option<&str>, timeout| {
            Access::new(&RbdOptions {
                rbd_store_user: user.map(str::to_owned),
                rados_connect_timeout: timeout,
                ..RbdOptions::default()
            })
        };
        for (user, expected) in [(None, "client.admin"), (Some(""), "client.admin"), (Some("glance"), "client.glance")]
        {
            assert_eq!(access(user, -1).user, expected);
        }
        for (timeout, expected) in [(-1, None), (0, Some(0)), (5, Some(5))] {
            assert_eq!(access(None, timeout).timeout, expected);
        }
        assert_eq!(access(None, 0).conf_file, None);
    }

    #[test]
    fn all_keyrings_that_may_count_are_known() {
        let conf = "[global]\nfsid = x\nkeyring = /srv/$cluster.${name}.keyring, /srv/two;\"/srv/three\"\n\
                    [client.glance]\n  key_file=/srv/$type-$id\n# no option\n";
        let found = keyrings(conf, "client.glance");
        let expected = ["/srv/ceph.client.glance.keyring", "/srv/two", "/srv/three", "/srv/client-glance"];
        assert_eq!(found[..4], expected.map(PathBuf::from));
        assert_eq!(found[4], Path::new("/etc/ceph/ceph.client.glance.keyring"));
        assert_eq!(keyrings("", "client.admin").len(), KEYRINGS.len());
    }

    #[test]
    fn a_key_that_is_written_in_place_makes_another_connection() {
        let folder = tempfile::tempdir().unwrap();
        let (conf, elsewhere) = (folder.path().join("ceph.conf"), folder.path().join("keys"));
        let keyring = elsewhere.join("client.glance.keyring");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(&conf, format!("[client]\nkeyring = {}/$name.keyring\n", elsewhere.display())).unwrap();
        fs::write(&keyring, "key = one").unwrap();
        let options = RbdOptions {
            rbd_store_ceph_conf: conf.to_str().unwrap().to_owned(),
            rbd_store_user: Some("glance".to_owned()),
            ..RbdOptions::default()
        };
        let states = || FileStates::read(files(&options));
        let before = states();
        assert_eq!(states(), before);
        fs::write(&keyring, "key = another").unwrap();
        assert_ne!(states(), before);
    }

    #[test]
    fn zeros_are_no_id() {
        assert!(is_fsid("46e03f27-64b5-4c4c-afd4-f5ea2a4a9a5a"));
        assert!(!is_fsid("00000000-0000-0000-0000-000000000000"));
        assert!(!is_fsid(""));
    }
}
