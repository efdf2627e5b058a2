//! The configuration of a service that nobody configured: on loopback, with its own database and file store.

use std::path::{Path, PathBuf};

use super::layers::Layer;
use super::option::Section as _;
use super::problem::Problem;
use super::sources::Sources;
use super::{GlanceStoreSection, STAGING_STORE, StoreKind, TASKS_STORE};

/// Directory under the user's own state directory.
const NAME: &str = "glance-api";

/// Where the data goes: `[service] state_directory` (from the environment: there is no file), the first directory that
/// systemd gives (`StateDirectory=`), or the user's (XDG Base Directory Specification).
pub(super) fn state_directory(sources: &Sources) -> Result<PathBuf, Problem> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let of = |name: &str| sources.variable(name).map(PathBuf::from).and_then(absolute);
    let of_systemd = || {
        let first = sources.variable("STATE_DIRECTORY")?.split(':').next()?;
        absolute(PathBuf::from(first))
    };
    of("OS_SERVICE__STATE_DIRECTORY")
        .or_else(of_systemd)
        .or_else(|| of("XDG_STATE_HOME").map(|home| home.join(NAME)))
        .or_else(|| of("HOME").map(|home| home.join(".local/state").join(NAME)))
        .ok_or(Problem::NoStateDirectory)
}

/// What takes the place of the built-in defaults.
pub(super) fn layer(state: &Path, kinds: &[&'static StoreKind]) -> Layer {
    let under = |name: &str| state.join(name).display().to_string().replace('$', "$$");
    let images = kinds.iter().filter_map(|kind| Some((GlanceStoreSection::NAME, kind.folder?, under("images"))));
    let others = [
        ("DEFAULT", "bind_host", "127.0.0.1".to_owned()),
        ("DEFAULT", "node_staging_uri", format!("file://{}", under(STAGING_STORE))),
        ("database", "connection", format!("sqlite:///{}", under("glance.db"))),
        ("service", "state_directory", state.display().to_string().replace('$', "$$")),
        ("task", "work_dir", under(TASKS_STORE)),
    ];
    Layer::embedded(others.into_iter().chain(images).collect())
}
