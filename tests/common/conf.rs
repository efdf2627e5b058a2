//! Configuration files for upstream and for us alike.

use std::fs;
use std::path::{Path, PathBuf};

use super::peers::{Ceph, Keystone};

/// A glance-api.conf in the making, and the folders it names.
#[derive(Clone, Debug)]
pub(crate) struct Conf {
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    options: Vec<(String, String, String)>,
    /// What our service finds in its environment besides; upstream's has none.
    pub(super) environment: Vec<(String, String)>,
    /// Whether permissions of files hold for our service, though root has started it.
    pub(super) is_unprivileged: bool,
}

impl Conf {
    /// SQLite and one file store below `dir`, nobody is asked who they are.
    pub(crate) fn new(dir: &Path, port: u16) -> Self {
        let new =
            Self { dir: dir.to_owned(), port, options: Vec::new(), environment: Vec::new(), is_unprivileged: false };
        let path = |name: &str| dir.join(name).display().to_string();
        new.set("DEFAULT.bind_host", "127.0.0.1")
            .set("DEFAULT.bind_port", port)
            .set("DEFAULT.workers", 2)
            .set("DEFAULT.debug", true)
            .set("DEFAULT.node_staging_uri", format!("file://{}", path("staging")))
            .set("database.connection", format!("sqlite:///{}", path("glance.db")))
            .set("glance_store.filesystem_store_datadir", path("images"))
            .set("oslo_concurrency.lock_path", path("locks"))
    }

    /// The same database and stores, with a folder and a port of its own.
    pub(crate) fn on_another_host(self, dir: &Path, port: u16) -> Self {
        Self { dir: dir.to_owned(), port, ..self }.set("DEFAULT.bind_port", port)
    }

    /// A state directory of its own, beside its other files.
    pub(crate) fn own_state(self) -> Self {
        let state = self.dir.join("state").display().to_string();
        self.set("service.state_directory", state)
    }

    /// Two file stores, `fast` (the default one) and `slow`.
    pub(crate) fn two_stores(self) -> Self {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let (fast, slow, staging, tasks) = (path("fast"), path("slow"), path("staging"), path("tasks"));
        self.set("DEFAULT.enabled_backends", "fast:file,slow:file")
            .set("glance_store.default_backend", "fast")
            .set("fast.filesystem_store_datadir", fast)
            .set("fast.store_description", "quick disks")
            .set("fast.weight", 10)
            .set("slow.filesystem_store_datadir", slow)
            .set("os_glance_staging_store.filesystem_store_datadir", staging)
            .set("os_glance_tasks_store.filesystem_store_datadir", tasks)
    }

    /// One store, in this Ceph.
    pub(crate) fn ceph(self, ceph: &Ceph) -> Self {
        self.set("glance_store.stores", "rbd")
            .set("glance_store.default_store", "rbd")
            .set("glance_store.rbd_store_ceph_conf", &ceph.conf)
            .set("glance_store.rbd_store_user", &ceph.user)
            .set("glance_store.rbd_store_pool", &ceph.pool)
    }

    /// Tokens of this Keystone are asked for.
    pub(crate) fn keystone(self, keystone: &Keystone) -> Self {
        self.keystone_at(&keystone.url, &keystone.password)
            .set("keystone_authtoken.service_token_roles", "service")
            .set("keystone_authtoken.service_token_roles_required", true)
    }

    /// Tokens are asked for at this URL, where the service has this password.
    pub(crate) fn keystone_at(self, url: &str, password: &str) -> Self {
        self.set("paste_deploy.flavor", "keystone")
            .set("keystone_authtoken.www_authenticate_uri", url)
            .set("keystone_authtoken.auth_url", url)
            .set("keystone_authtoken.auth_type", "password")
            .set("keystone_authtoken.username", "glance")
            .set("keystone_authtoken.password", password)
            .set("keystone_authtoken.project_name", "service")
            .set("keystone_authtoken.user_domain_id", "default")
            .set("keystone_authtoken.project_domain_id", "default")
    }

    /// Limits are kept by this Keystone.
    pub(crate) fn limits(self, keystone: &Keystone) -> Self {
        self.set("DEFAULT.use_keystone_limits", true)
            .set("oslo_limit.auth_url", &keystone.url)
            .set("oslo_limit.auth_type", "password")
            .set("oslo_limit.username", "glance")
            .set("oslo_limit.password", &keystone.password)
            .set("oslo_limit.user_domain_id", "default")
            .set("oslo_limit.system_scope", "all")
            .set("oslo_limit.endpoint_service_type", "image")
            .set("oslo_limit.endpoint_region_name", "RegionOne")
    }

    /// Sets `section.option`; a value given again replaces the older one.
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        let (section, option) = name.split_once('.').unwrap_or(("DEFAULT", name));
        self.options.retain(|(s, o, _)| s != section || o != option);
        self.options.push((section.into(), option.into(), value.to_string()));
        self
    }

    /// A variable in the environment of our service; upstream's cannot be started with one.
    pub(crate) fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// What others keep to themselves is closed to our service, as it is to any user but root.
    pub(crate) fn without_privileges(mut self) -> Self {
        self.is_unprivileged = true;
        self
    }

    /// The rules of a policy file, in force instead of the built-in ones of the same names.
    pub(crate) fn policy<'a>(self, rules: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let rules: std::collections::BTreeMap<_, _> = rules.into_iter().collect();
        let path = self.dir.join("policy.yaml");
        fs::create_dir_all(&self.dir).unwrap();
        fs::write(&path, serde_json::to_string_pretty(&rules).unwrap()).unwrap();
        self.set("oslo_policy.policy_file", path.display())
    }

    /// An operator's schema for custom properties.
    pub(crate) fn properties(self, schema: &serde_json::Value) -> Self {
        fs::create_dir_all(&self.dir).unwrap();
        fs::write(self.dir.join("schema-image.json"), schema.to_string()).unwrap();
        self
    }

    /// Who may do what with single properties.
    pub(crate) fn protections(self, rules: &str) -> Self {
        let path = self.dir.join("protections.conf");
        fs::create_dir_all(&self.dir).unwrap();
        fs::write(&path, rules).unwrap();
        self.set("DEFAULT.property_protection_file", path.display())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("glance-api.conf")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("glance.db")
    }

    /// Writes the file, makes the folders, and returns the file's path.
    pub(crate) fn write(&self) -> PathBuf {
        for name in ["images", "fast", "slow", "staging", "tasks", "locks"] {
            fs::create_dir_all(self.dir.join(name)).unwrap();
        }
        let mut sections: Vec<&str> = self.options.iter().map(|(section, ..)| section.as_str()).collect();
        sections.sort_unstable();
        sections.dedup();
        let mut text = String::new();
        for section in sections {
            text += &format!("[{section}]\n");
            for (_, option, value) in self.options.iter().filter(|(s, ..)| s == section) {
                text += &format!("{option} = {value}\n");
            }
        }
        fs::write(self.path(), text).unwrap();
        self.path()
    }
}
