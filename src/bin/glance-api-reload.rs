//! glance-api-reload: reloads one worker and waits for the outcome; `ExecReload=` of glance-api@.service.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use glance_api::service::{RELOAD_REPORT, reload_client};

/// `EX_USAGE` of sysexits(3).
const USAGE: u8 = 64;
/// Less than `TimeoutStartSec=` of the unit, which bounds its reload too.
const LIMIT: Duration = Duration::from_secs(80);

fn main() -> ExitCode {
    let pid = std::env::args().nth(1).and_then(|pid| pid.parse().ok());
    let directory = std::env::var("RUNTIME_DIRECTORY").ok();
    let directory = directory.as_deref().and_then(|list| list.split(':').next()).map(PathBuf::from);
    let (Some(pid), Some(directory)) = (pid, directory) else {
        let _ = writeln!(std::io::stderr(), "usage: RUNTIME_DIRECTORY=DIR glance-api-reload PID");
        return ExitCode::from(USAGE);
    };
    match reload_client::reload(&directory.join(RELOAD_REPORT), pid, LIMIT) {
        // The worker has logged it.
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "reload failed: {error}");
            ExitCode::FAILURE
        }
    }
}
