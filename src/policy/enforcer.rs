//! Keeps the rules in force in step with the policy files.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::files::{Places, Snapshot};
use super::remote::Remote;
use super::{PolicyError, Rules};
use crate::config::{Config, OsloPolicySection};

/// Hands out the rules in force. Clones share one state.
#[derive(Clone, Debug)]
pub struct Enforcer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: OsloPolicySection,
    places: Places,
    remote: Arc<Remote>,
    state: ArcSwap<State>,
    /// Held by the one task that reads changed files.
    reading: Mutex<()>,
}

#[derive(Debug)]
struct State {
    rules: Arc<Rules>,
    /// The files as they were when last read, whether they could be used or not.
    seen: Snapshot,
    /// Whether a change of the files after that is sure to show.
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
        let options = config.oslo_policy.clone();
        let places = Places::new(&options, config_dirs);
        let remote = Arc::new(Remote::new(&options));
        let seen = places.look(None);
        if seen.file().is_none() {
            tracing::debug!(file = options.policy_file, "no policy file, the defaults are in force");
        }
        let rules = Arc::new(Rules::new(seen.read()?, &options, remote.clone()));
        let state = ArcSwap::from_pointee(State { rules, settled: seen.is_settled(), seen });
        Ok(Self(Arc::new(Inner { options, places, remote, state, reading: Mutex::new(()) })))
    }

    /// The rules in force now; call it once for a request. Looks at the time stamps of the policy files, and reads them when
    /// they have changed. A changed file that cannot be used leaves the former rules in force and is reported in the log.
    pub async fn rules(&self) -> Arc<Rules> {
        let state = self.0.state.load();
        if state.settled && self.0.places.look(Some(&state.seen)) == state.seen {
            return state.rules.clone();
        }
        drop(state);
        let _turn = self.0.reading.lock().await;
        let inner = self.0.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || inner.refresh()).await {
            tracing::error!(%error, "reading the policy files failed, the former rules stay in force");
        }
        self.0.state.load().rules.clone()
    }
}

impl Inner {
    fn refresh(&self) {
        let state = self.state.load();
        let seen = self.places.look(Some(&state.seen));
        let changed = seen != state.seen;
        if !changed && state.settled {
            return;
        }
        // Before the files are read: what changes while they are read shows the next time.
        let mut settled = seen.is_settled();
        let rules = if seen.is_half_written() {
            settled = false;
            state.rules.clone()
        } else {
            match seen.read() {
                Ok(sources) => {
                    if changed {
                        tracing::info!(file = ?seen.file(), "policy files have changed and are in force");
                    }
                    Arc::new(Rules::new(sources, &self.options, self.remote.clone()))
                }
                Err(error) => {
                    if changed {
                        tracing::error!(%error, "changed policy cannot be used, the former rules stay in force");
                    }
                    state.rules.clone()
                }
            }
        };
        self.state.store(Arc::new(State { rules, seen, settled }));
    }
}
