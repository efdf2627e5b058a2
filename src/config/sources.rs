//! Where a configuration comes from: which files, in which order.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::arguments::{Arguments, Given};
use super::problem::Problem;

/// All that a load depends on beside the files: kept for reloads, and replaceable in tests.
#[derive(Clone)]
pub struct Sources {
    /// The program's arguments.
    pub arguments: Arguments,
    /// The environment's variables.
    pub environment: BTreeMap<String, String>,
    /// `/etc`
    pub etc: PathBuf,
}

/// The environment may hold secrets: only its names are shown.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.keys().collect();
        f.debug_struct("Sources")
            .field("arguments", &self.arguments)
            .field("environment", &names)
            .finish_non_exhaustive()
    }
}

/// The files to read, in order, and where others are looked for.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    pub(super) search: Vec<PathBuf>,
    /// The place was named, by arguments or environment; the embedded default is for those who name none.
    pub(super) named: bool,
}

impl Sources {
    /// The sources of this process. Variables that are not UTF-8 are left out.
    pub fn of_process(arguments: Arguments) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment = std::env::vars_os().filter_map(text).collect();
        Self { arguments, environment, etc: PathBuf::from("/etc") }
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The files that oslo.config would read (`ConfigOpts._parse_config_files`), and those of upstream's WSGI
    /// application (`glance/common/wsgi_app.py`): the default files unless `--config-file` is given, those of the
    /// default directories unless `--config-dir` is given, then what is given.
    pub(super) fn find(&self) -> Result<Found, Vec<Problem>> {
        let given = &self.arguments.given;
        let mut found = Found { named: !given.is_empty(), ..Found::default() };
        let mut problems = Vec::new();
        let mut directories = Vec::new();

        if !given.iter().any(|given| matches!(given, Given::File(_))) {
            self.default_files(&mut found);
        }
        if !given.iter().any(|given| matches!(given, Given::Directory(_))) {
            let own = self.arguments.program.own_files().map(|name| format!("{name}.conf.d"));
            for name in ["glance.conf.d", "glance-api.conf.d"].into_iter().chain(own.as_deref()) {
                if let Some(path) = first_with(&self.usual_places(), name) {
                    self.directory(&path, &mut found.files, &mut problems);
                }
            }
        }
        for given in given {
            match given {
                Given::File(path) => found.files.push(self.absolute(path)),
                Given::Directory(path) => {
                    let path = self.absolute(path);
                    self.directory(&path, &mut found.files, &mut problems);
                    directories.push(path);
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let beside = found.files.iter().rev().filter_map(|file| file.parent()).map(Path::to_path_buf);
        found.search = directories.into_iter().chain(beside).chain(self.usual_places()).collect();
        let mut seen = Vec::new();
        found.search.retain(|path| {
            let new = !seen.contains(path);
            seen.push(path.clone());
            new
        });
        Ok(found)
    }

    /// `OS_GLANCE_CONFIG_DIR` names the directory, as for upstream's WSGI application, not for its tool; else the usual
    /// places do.
    fn default_files(&self, found: &mut Found) {
        let places = self.usual_places();
        if let Some(own) = self.arguments.program.own_files() {
            for name in ["glance.conf", "glance-api.conf", &format!("{own}.conf")] {
                found.files.extend(first_with(&places, name));
            }
            return;
        }
        if let Some(directory) = self.variable("OS_GLANCE_CONFIG_DIR") {
            let directory = self.absolute(Path::new(directory.trim()));
            found.named = true;
            found.files.extend(first_with(std::slice::from_ref(&directory), "glance-image-import.conf"));
            found.files.push(directory.join("glance-api.conf"));
            return;
        }
        for name in ["glance.conf", "glance-image-import.conf", "glance-api.conf"] {
            found.files.extend(first_with(&places, name));
        }
    }

    /// `~/.glance`, `~`, `/etc/glance`, `/etc`, and a snap's (`_get_config_dirs`).
    fn usual_places(&self) -> Vec<PathBuf> {
        let mut places = Vec::new();
        if let Some(home) = self.variable("HOME") {
            places.extend([Path::new(home).join(".glance"), PathBuf::from(home)]);
        }
        places.extend([self.etc.join("glance"), self.etc.clone()]);
        for name in ["SNAP_COMMON", "SNAP"] {
            places.extend(self.variable(name).map(|snap| Path::new(snap).join("etc/glance")));
        }
        places
    }

    fn directory(&self, path: &Path, files: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) {
        match configuration_files(path) {
            Ok(found) => files.extend(found),
            Err(source) => problems.push(Problem::Unreadable { path: path.to_path_buf(), source }),
        }
    }

    /// `~` is the home directory; a relative path is one of the working directory.
    fn absolute(&self, path: &Path) -> PathBuf {
        let path = match (path.strip_prefix("~"), self.variable("HOME")) {
            (Ok(rest), Some(home)) => Path::new(home).join(rest),
            _ => path.to_path_buf(),
        };
        std::path::absolute(&path).unwrap_or(path)
    }
}

/// The file of this name in the first of the directories that has one.
pub(super) fn find_in(directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.join(name)).find(|path| path.try_exists().unwrap_or(false))
}

fn first_with(places: &[PathBuf], name: &str) -> Option<PathBuf> {
    places.iter().map(|place| place.join(name)).find(|path| path.try_exists().unwrap_or(true))
}

/// `*.conf` as Python's `glob` finds them: without hidden ones; sorted by name.
fn configuration_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(".conf") && !name.starts_with('.')) {
            files.push(directory.join(name));
        }
    }
    files.sort();
    Ok(files)
}
