//! Says what was made. Generators run before there is a log: the kernel's buffer takes their words until journald reads it.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::net::UnixDatagram;

use super::Remark;

/// The name that the journal files them under.
const IDENTIFIER: &str = "glance-api-generator";
/// journald's native socket; present when systemd reloads, and after the boot.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// `LOG_DAEMON` of syslog(3), for the kernel's buffer.
const FACILITY: u8 = 3 << 3;

/// To the journal, else the kernel's buffer, else standard error; there too if somebody looks.
pub(super) fn say(remark: &Remark) {
    let said = to_journal(remark).or_else(|_| to_kernel(remark)).is_ok();
    let mut error = io::stderr();
    if !said || error.is_terminal() {
        // Nobody is left to tell.
        let _ = writeln!(error, "{IDENTIFIER}: {}", remark.text);
    }
}

/// The protocol is that of <https://systemd.io/JOURNAL_NATIVE_PROTOCOL>.
fn to_journal(remark: &Remark) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // journald may not be reading: the boot must not wait for it.
    socket.set_nonblocking(true)?;
    let record =
        format!("PRIORITY={}\nSYSLOG_IDENTIFIER={IDENTIFIER}\nMESSAGE={}\n", remark.priority, one_line(&remark.text));
    socket.send_to(record.as_bytes(), JOURNAL).map(drop)
}

fn to_kernel(remark: &Remark) -> io::Result<()> {
    let mut kernel = OpenOptions::new().write(true).open("/dev/kmsg")?;
    let record = format!("<{}>{IDENTIFIER}: {}\n", FACILITY | remark.priority, one_line(&remark.text));
    kernel.write_all(record.as_bytes())
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
