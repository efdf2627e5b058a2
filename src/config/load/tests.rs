mod checks;
mod files;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::*;
use crate::config::option::{Options, options, tier1};
use crate::config::{Arguments, Program, Secret};

options! {
    /// Some of the options of a driver.
    FileOptions {
        /// Read and write block size in bytes.
        filesystem_store_chunk_size: i64 = 65_536, tier1().min(1.0);
        /// Directory for image files.
        filesystem_store_datadir: String = "/var/lib/glance/images", tier1();
        /// Several directories.
        filesystem_store_datadirs: Vec<String> = [], tier1().multi();
    }
}

options! {
    /// Some of the options of another one.
    HttpOptions {
        /// Proxy per scheme.
        http_proxy_information: Vec<(String, String)> = [], tier1().urls();
        /// Do not verify HTTPS.
        https_insecure: bool = true, tier1();
    }
}

options! {
    /// Some of the options of a third one.
    RbdOptions {
        /// Ceph pool.
        rbd_store_pool: String = "images", tier1();
        /// Ceph user.
        rbd_store_user: Option<String> = None, tier1().old(&[("", "rbd_user_of_old")]);
    }
}

options! {
    /// Options of one that this version does not have.
    S3Options {
        /// Secret key.
        s3_store_secret_key: Option<Secret> = None, tier1().secret().later("stores of type s3");
    }
}

options! {
    /// Options of a section that a driver has beside those of its stores.
    LibraryOptions {
        /// Files of locks.
        library_folder: Option<String> = None, tier1().old(&[("DEFAULT", "library_folder")]);
    }
}

/// Stand for the drivers, which are above.
fn kinds() -> Vec<&'static StoreKind> {
    const NONE: StoreKind = StoreKind {
        name: "",
        old_name: "",
        schemes: &[],
        is_read_only: false,
        options: &[],
        sections: &[],
        folder: None,
        unverified: |_| None,
    };
    static KINDS: [StoreKind; 7] = [
        StoreKind {
            name: "file",
            schemes: &["file", "filesystem"],
            options: FileOptions::OPTIONS,
            folder: Some("filesystem_store_datadir"),
            ..NONE
        },
        StoreKind {
            name: "http",
            old_name: "glance.store.http.Store",
            schemes: &["http", "https"],
            options: HttpOptions::OPTIONS,
            unverified: |options| options.read::<HttpOptions>().https_insecure.then_some("https_insecure"),
            ..NONE
        },
        StoreKind { name: "rbd", schemes: &["rbd"], options: RbdOptions::OPTIONS, ..NONE },
        StoreKind { name: "s3", schemes: &["s3"], options: S3Options::OPTIONS, ..NONE },
        StoreKind { name: "swift", schemes: &["swift"], ..NONE },
        StoreKind { name: "cinder", schemes: &["cinder"], sections: &[("library", LibraryOptions::OPTIONS)], ..NONE },
        StoreKind { name: "vmware", schemes: &["vsphere"], ..NONE },
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

    /// What the file says to drivers, read as the `file` driver does.
    fn file_options(&self) -> FileOptions {
        self.config().driver_options.read()
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
