mod checks;
mod files;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::*;
use crate::config::{Arguments, Program, Secret};

/// Stands for the drivers, which are above.
fn kinds() -> Vec<&'static StoreKind> {
    const NONE: StoreKind =
        StoreKind { name: "", old_name: "", schemes: &[], is_read_only: false, options: &[], unverified: |_| None };
    static KINDS: [StoreKind; 7] = [
        StoreKind { name: "file", schemes: &["file", "filesystem"], options: &["filesystem_"], ..NONE },
        StoreKind {
            name: "http",
            old_name: "glance.store.http.Store",
            schemes: &["http", "https"],
            options: &["http"],
            unverified: |options| options.https_insecure.then_some("https_insecure"),
            ..NONE
        },
        StoreKind { name: "rbd", schemes: &["rbd"], options: &["rbd_"], ..NONE },
        StoreKind { name: "s3", schemes: &["s3"], options: &["s3_"], ..NONE },
        StoreKind { name: "swift", schemes: &["swift"], options: &["swift_"], ..NONE },
        StoreKind { name: "cinder", schemes: &["cinder"], options: &["cinder_"], ..NONE },
        StoreKind { name: "vmware", schemes: &["vsphere"], options: &["vmware_"], ..NONE },
    ];
    KINDS.iter().collect()
}

/// A file system with `etc`, `home`, and whatever files a test writes; sources that see nothing else.
struct Sandbox {
    root: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Sandbox {
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
        Config::load(
            &Sources {
                arguments: Arguments::parse(line.map(OsString::from)).unwrap(),
                environment: self.environment.clone(),
                etc: self.path("etc"),
            },
            &kinds(),
        )
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
