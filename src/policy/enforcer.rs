//! Keeps the rules in force in step with the policy files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::error::PolicyError;
use super::files::{SearchPaths, Snapshot};
use super::remote::Remote;
use super::rules::Rules;
use super::watch::Watch;
use crate::config::{Config, OsloPolicySection};

/// How often files are looked at though nothing was noticed: other machines change network file systems without a notice.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// How often they are looked at where nothing can be noticed.
const LOOK_WITHOUT_NOTICE: Duration = Duration::from_secs(1);

/// A file system that does not answer for this long leaves the former rules in force.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands out the rules in force. Clones share one state.
#[derive(Clone, Debug)]
pub struct Enforcer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: OsloPolicySection,
    search_paths: SearchPaths,
    remote: Arc<Remote>,
    state: ArcSwap<State>,
    watch: Watch,
    /// What was noticed has been taken, but the rules that come of it are not in force yet.
    behind: AtomicBool,
    /// When to look without a notice, in milliseconds since `started`.
    next_look: AtomicU64,
    started: Instant,
    /// Held by the one task that looks at the files.
    looking: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct State {
    rules: Arc<Rules>,
    /// The files as they were when last read, whether they could be used or not.
    seen: Snapshot,
    /// Whether a change of the files after that is sure to show in their time stamps.
    settled: bool,
}

impl Enforcer {
    /// Reads the policy files. `config_dirs`: the directories that relative paths are looked up in, first match wins; as
    /// oslo.config's `find_file` has them: `--config-dir`, the directories of the configuration files (last first),
    /// `~/.glance`, `~`, `/etc/glance`, `/etc`. That a file or directory is missing is no error.
    ///
    /// # Errors
    /// A file that exists cannot be used.
    pub fn new(config: &Config, config_dirs: &[PathBuf]) -> Result<Self, PolicyError> {
        Self::watching(Watch::new(), config, config_dirs)
    }

    pub(super) fn watching(watch: Watch, config: &Config, config_dirs: &[PathBuf]) -> Result<Self, PolicyError> {
        let options = config.oslo_policy.clone();
        let search_paths = SearchPaths::new(&options, config_dirs);
        let remote = Arc::new(Remote::new(&options));
        watch_all(&watch, &search_paths, None);
        let seen = search_paths.look(None);
        if seen.file().is_none() {
            tracing::debug!(file = options.policy_file, "no policy file, the defaults are in force");
        }
        let rules = Arc::new(Rules::new(seen.read()?, &options, remote.clone()));
        let state = ArcSwap::from_pointee(State { rules, settled: seen.is_settled(), seen });
        let inner = Inner {
            options,
            search_paths,
            remote,
            state,
            watch,
            behind: AtomicBool::new(false),
            next_look: AtomicU64::new(0),
            started: Instant::now(),
            looking: Arc::default(),
        };
        inner.set_next_look();
        Ok(Self(Arc::new(inner)))
    }

    /// The rules in force now; call it once for a request. A file whose change was complete before the call counts. A changed
    /// file that cannot be used leaves the former rules in force and is reported in the log.
    ///
    /// Where nothing has happened, that takes one call into the kernel, which does not block; files are looked at and read on
    /// another thread.
    pub async fn rules(&self) -> Arc<Rules> {
        if self.0.may_have_changed() {
            match tokio::time::timeout(PATIENCE, self.look()).await {
                Ok(()) => {}
                Err(_) => tracing::error!("the policy files cannot be looked at, the former rules stay in force"),
            }
        }
        self.0.state.load().rules.clone()
    }

    async fn look(&self) {
        let turn = self.0.looking.clone().lock_owned().await;
        // Whoever had the turn before may have seen to it.
        if !self.0.may_have_changed() {
            return;
        }
        let inner = self.0.clone();
        // The turn goes along: this task may be given up while the files are read.
        let look = tokio::task::spawn_blocking(move || {
            inner.look();
            drop(turn);
        });
        if let Err(error) = look.await {
            tracing::error!(%error, "reading the policy files failed, the former rules stay in force");
        }
    }
}

impl Inner {
    /// A change shows as an event until [`Self::look`] takes it, and as `behind` until the files have been read. `look` sets `behind`
    /// before it takes the events, and here they are asked in the opposite order, so that one of the two is seen at any moment.
    fn may_have_changed(&self) -> bool {
        self.watch.has_events() || self.behind.load(Ordering::SeqCst) || self.is_due()
    }

    fn is_due(&self) -> bool {
        self.started.elapsed().as_millis() >= u128::from(self.next_look.load(Ordering::Relaxed))
    }

    fn set_next_look(&self) {
        let pause = if self.watch.is_complete() { LOOK_ANYWAY } else { LOOK_WITHOUT_NOTICE };
        let next = u64::try_from((self.started.elapsed() + pause).as_millis()).unwrap_or(u64::MAX);
        self.next_look.store(next, Ordering::Relaxed);
    }

    fn look(&self) {
        let was_behind = self.behind.swap(true, Ordering::SeqCst);
        let noticed = self.watch.take();
        let certain = if noticed || was_behind || self.is_due() { self.refresh(noticed) } else { true };
        self.behind.store(!certain, Ordering::SeqCst);
    }

    /// Looks at the files, and reads them where something has changed. `false`: a change to come may not show.
    fn refresh(&self, noticed: bool) -> bool {
        let state = self.state.load_full();
        watch_all(&self.watch, &self.search_paths, Some(&state.seen));
        let seen = self.search_paths.look(Some(&state.seen));
        self.set_next_look();
        let changed = seen != state.seen;
        if !changed && !noticed && state.settled {
            return true;
        }
        // Before the files are read: what changes while they are read shows the next time.
        let mut settled = seen.is_settled();
        let half_written = seen.is_half_written();
        let rules = if half_written {
            settled = false;
            state.rules.clone()
        } else {
            self.read(&seen, changed).unwrap_or_else(|| state.rules.clone())
        };
        self.state.store(Arc::new(State { rules, seen, settled }));
        !half_written && (settled || self.watch.is_complete())
    }

    /// The rules of the files, if they can be used.
    fn read(&self, seen: &Snapshot, changed: bool) -> Option<Arc<Rules>> {
        match seen.read() {
            Ok(sources) => {
                if changed {
                    tracing::info!(file = ?seen.file(), "policy files have changed and are in force");
                }
                Some(Arc::new(Rules::new(sources, &self.options, self.remote.clone())))
            }
            Err(error) => {
                if changed {
                    tracing::error!(%error, "changed policy cannot be used, the former rules stay in force");
                }
                None
            }
        }
    }
}

fn watch_all(watch: &Watch, search_paths: &SearchPaths, seen: Option<&Snapshot>) {
    let (files, directories) = search_paths.watched(seen);
    watch.set(files, directories);
}
