//! What systemd is told about workers and socket, from the configuration's files (systemd.generator(7)).
//!
//! [`plan`] is a pure function of what was read; [`run`] reads, plans, writes, and says so in the journal. It comes to a
//! result whatever the files look like: a host must boot, and a service that cannot start says itself why.

mod address;
mod journal;
mod plan;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::config::{Arguments, Partial, Sources};
use crate::store;

pub use plan::{Plan, Remark, Unit, plan};

/// What the plan depends on beside the configuration.
#[derive(Clone, Debug)]
pub struct Host {
    /// CPUs that this process may use.
    pub cpus: usize,
    /// The kernel speaks IPv6.
    pub ipv6: bool,
    /// Text of `/etc/hosts`.
    pub hosts: String,
}

impl Host {
    /// Asks the kernel, and the files below `etc`.
    pub fn here(etc: &Path) -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, NonZero::get),
            ipv6: fs::metadata("/proc/net/if_inet6").is_ok(),
            hosts: fs::read_to_string(etc.join("hosts")).unwrap_or_default(),
        }
    }
}

/// The sources that the service has by its unit file: no home directory, and its state directory.
pub fn sources(etc: PathBuf) -> Sources {
    let environment = BTreeMap::from([("STATE_DIRECTORY".to_owned(), "/var/lib/glance".to_owned())]);
    Sources { arguments: Arguments::default(), environment, etc }
}

/// Writes the units of this host into `directory` (systemd's "normal" one), and tells the journal.
pub fn run(directory: &Path) {
    let sources = sources(PathBuf::from("/etc"));
    let mut plan = plan(&Partial::load(&sources, &store::kinds()), &Host::here(&sources.etc));
    for unit in &plan.units {
        if let Err(error) = write(directory, unit) {
            plan.remarks.push(Remark::error(format!("{}: {error}", directory.join(unit.path()).display())));
        }
    }
    for remark in &plan.remarks {
        journal::say(remark);
    }
}

fn write(directory: &Path, unit: &Unit) -> io::Result<()> {
    let path = directory.join(unit.path());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match unit {
        Unit::DropIn { text, .. } => fs::write(path, text),
        Unit::Wanted { template, .. } => symlink(template, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_written_below_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let units = [
            Unit::DropIn { path: "a.socket.d/b.conf".into(), text: "[Socket]\n".to_owned() },
            Unit::Wanted { path: "a.service.wants/a@1.service".into(), template: "/usr/lib/a@.service".into() },
        ];
        for unit in &units {
            write(directory.path(), unit).unwrap();
        }
        assert_eq!(fs::read_to_string(directory.path().join("a.socket.d/b.conf")).unwrap(), "[Socket]\n");
        let link = fs::read_link(directory.path().join("a.service.wants/a@1.service")).unwrap();
        assert_eq!(link, Path::new("/usr/lib/a@.service"));
        assert!(write(directory.path(), &units[1]).is_err(), "nothing is overwritten");
    }
}
