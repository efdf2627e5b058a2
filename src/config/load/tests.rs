mod checks;
mod files;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::*;
use crate::config::Arguments;

/// A file system with `etc`, `home`, and whatever files a test writes; sources that see nothing else.
struct Place {
    root: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home").display().to_string();
        Self { root, environment: BTreeMap::from([("HOME".to_owned(), home)]), arguments: Vec::new() }
    }

    /// A place whose `--config-file` says this, and a database connection.
    fn with(text: &str) -> Self {
        let database = "[database]\nconnection = sqlite:////db\n";
        Self::new().file("main.conf", &format!("{text}\n{database}")).argument("--config-file", "main.conf")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        let value = value.replace("ROOT", &self.root.path().display().to_string());
        self.environment.insert(name.to_owned(), value);
        self
    }

    fn flag(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    fn argument(mut self, name: &str, path: &str) -> Self {
        self.arguments.push(format!("{name}={}", self.path(path).display()));
        self
    }

    fn load(&self) -> Result<Loaded, ConfigErrors> {
        let line = std::iter::once("glance-api").chain(self.arguments.iter().map(String::as_str));
        Config::load(&Sources {
            arguments: Arguments::parse(line.map(OsString::from)).unwrap(),
            environment: self.environment.clone(),
            etc: self.path("etc"),
        })
    }

    fn config(&self) -> Config {
        self.load().unwrap().config
    }

    /// Warnings, or errors, with the place's own path cut off.
    fn lines<T: ToString>(&self, lines: impl IntoIterator<Item = T>) -> Vec<String> {
        let root = format!("{}/", self.root.path().display());
        lines.into_iter().map(|line| line.to_string().replace(&root, "")).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.lines(self.load().unwrap().warnings)
    }

    fn errors(&self) -> Vec<String> {
        self.lines(self.load().unwrap_err().problems())
    }
}
