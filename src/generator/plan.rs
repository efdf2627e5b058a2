//! Which workers are wanted, and what the socket is to be.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Host;
use super::address::resolve;
use crate::config::Partial;

/// The unit that the workers are instances of.
const TEMPLATE: &str = "/usr/lib/systemd/system/glance-api@.service";
/// Pulled in by the umbrella.
const WANTS: &str = "glance-api.service.wants";
const SOCKET: &str = "glance-api.socket.d/50-glance-api-conf.conf";
/// More workers than this are a slip of the pen.
const MOST_WORKERS: usize = 1024;

/// What is to be written, and said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of writing.
    pub units: Vec<Unit>,
    /// For the journal.
    pub remarks: Vec<Remark>,
}

/// One thing in systemd's directory; paths are relative to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A file.
    DropIn { path: PathBuf, text: String },
    /// A link to a template.
    Wanted { path: PathBuf, template: PathBuf },
}

/// A line for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// As in syslog(3).
    pub priority: u8,
    /// The line.
    pub text: String,
}

impl Unit {
    /// Where it goes.
    pub fn path(&self) -> &Path {
        match self {
            Self::DropIn { path, .. } | Self::Wanted { path, .. } => path,
        }
    }
}

impl Remark {
    /// Something that does not do what the operator wants.
    pub fn error(text: String) -> Self {
        Self { priority: 3, text }
    }

    fn info(text: String) -> Self {
        Self { priority: 6, text }
    }
}

/// Turns `workers`, `bind_host`, `bind_port`, `listen_unix`, `backlog` and `tcp_keepidle` into units. What is not set, or
/// not allowed, stays as the units say that the package brings.
pub fn plan(read: &Partial, host: &Host) -> Plan {
    let mut plan = Plan::default();
    plan.remarks.extend(read.unread.iter().map(|problem| Remark::error(problem.to_string())));
    let workers = workers(read, host, &mut plan.remarks);
    for number in 1..=workers {
        let path = PathBuf::from(format!("{WANTS}/glance-api@{number}.service"));
        plan.units.push(Unit::Wanted { path, template: PathBuf::from(TEMPLATE) });
    }
    let settings = socket(read, host, &mut plan.remarks);
    let files: Vec<String> = read.files.iter().map(|file| file.display().to_string()).collect();
    let files = if files.is_empty() { "no configuration file".to_owned() } else { files.join(", ") };
    let mut said = format!("{workers} worker{} from {files}", if workers == 1 { "" } else { "s" });
    if !settings.is_empty() {
        let mut text = format!("# Made by glance-api-generator from {files}.\n\n[Socket]\n");
        for (key, value) in &settings {
            let _ = writeln!(text, "{key}={value}");
            if !value.is_empty() {
                let _ = write!(said, ", {key}={value}");
            }
        }
        plan.units.push(Unit::DropIn { path: PathBuf::from(SOCKET), text });
    }
    plan.remarks.push(Remark::info(said));
    plan
}

/// 0 is one process for upstream, and one worker here.
fn workers(read: &Partial, host: &Host, remarks: &mut Vec<Remark>) -> usize {
    if is_set(read, "workers", remarks)
        && let Some(count) = read.default.workers
    {
        let count = usize::try_from(count).unwrap_or(0);
        if count > MOST_WORKERS {
            remarks.push(Remark::error(format!("[DEFAULT] workers = {count}: {MOST_WORKERS} are started")));
        }
        return count.clamp(1, MOST_WORKERS);
    }
    host.cpus.clamp(1, MOST_WORKERS)
}

type Settings = Vec<(&'static str, String)>;

fn socket(read: &Partial, host: &Host, remarks: &mut Vec<Remark>) -> Settings {
    let mut settings = Settings::new();
    match read.service.listen_unix.as_deref().map(str::trim) {
        Some(path) if path.starts_with('/') => {
            settings.push(("ListenStream", String::new()));
            settings.push(("ListenStream", escape(path)));
            for (key, value) in
                [("SocketUser", "glance"), ("SocketGroup", "glance"), ("SocketMode", "0660"), ("RemoveOnStop", "yes")]
            {
                settings.push((key, value.to_owned()));
            }
        }
        Some(path) => {
            remarks.push(Remark::error(format!("[service] listen_unix = {path}: must be an absolute path")));
            settings.push(("ListenStream", String::new()));
        }
        None => tcp(read, host, &mut settings, remarks),
    }
    if is_set(read, "backlog", remarks) {
        settings.push(("Backlog", read.default.backlog.clamp(1, i64::from(i32::MAX)).to_string()));
    }
    if is_set(read, "tcp_keepidle", remarks) {
        settings.push(("KeepAliveTimeSec", read.default.tcp_keepidle.clamp(1, i64::from(i32::MAX)).to_string()));
    }
    settings
}

fn tcp(read: &Partial, host: &Host, settings: &mut Settings, remarks: &mut Vec<Remark>) {
    let (has_host, has_port) = (is_set(read, "bind_host", remarks), is_set(read, "bind_port", remarks));
    let port = read.default.bind_port;
    if !has_host {
        if has_port {
            settings.push(("ListenStream", String::new()));
            settings.push(("ListenStream", port.to_string()));
        }
        return;
    }
    // Without any address the socket unit is not valid: better than to listen where nobody asked for it.
    settings.push(("ListenStream", String::new()));
    let name = read.default.bind_host.trim();
    let addresses = resolve(name, host);
    if addresses.is_empty() {
        remarks.push(Remark::error(format!(
            "[DEFAULT] bind_host = {name}: no such name in /etc/hosts, so that glance-api.socket cannot listen; write an \
             address, or put the name there"
        )));
    }
    for address in &addresses {
        settings.push(("ListenStream", SocketAddr::new(*address, port).to_string()));
    }
    if addresses.iter().any(comes_with_the_network) {
        settings.push(("FreeBind", "yes".to_owned()));
    }
}

/// Sockets are opened early in the boot, before interfaces have addresses.
fn comes_with_the_network(address: &IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

/// Whether the option of `[DEFAULT]` has a value that counts.
fn is_set(read: &Partial, option: &str, remarks: &mut Vec<Remark>) -> bool {
    if let Some(problem) = read.rejected("DEFAULT", option) {
        remarks.push(Remark::error(problem.to_string()));
        return false;
    }
    read.is_set("DEFAULT", option)
}

/// `%` begins a specifier (systemd.unit(5)).
fn escape(text: &str) -> String {
    text.replace('%', "%%").replace('\n', "")
}

#[cfg(test)]
mod tests;
