//! glance-api-generator: systemd runs it at boot and at each reload of its units (systemd.generator(7)).

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// `EX_USAGE` of sysexits(3).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let directories: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match directories.as_slice() {
        [normal] | [normal, _, _] => {
            glance_api::generator::run(normal);
            ExitCode::SUCCESS
        }
        _ => {
            let _ = writeln!(std::io::stderr(), "usage: glance-api-generator NORMAL-DIR [EARLY-DIR LATE-DIR]");
            ExitCode::from(USAGE)
        }
    }
}
