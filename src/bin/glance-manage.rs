//! glance-manage: the operator's tool for the tables of the Image service.

use std::process::ExitCode;

fn main() -> ExitCode {
    glance_api::manage::run(std::env::args_os().collect())
}
