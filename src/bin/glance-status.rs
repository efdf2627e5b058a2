//! glance-status: whether a configuration is ready for an upgrade.

use std::process::ExitCode;

fn main() -> ExitCode {
    glance_api::manage::status::run(std::env::args_os().collect())
}
