//! glance-cache-manage: the operator's tools for the image cache. Called glance-cache-pruner, glance-cache-cleaner or
//! glance-cache-prefetcher it is these tools.

use std::process::ExitCode;

fn main() -> ExitCode {
    glance_api::manage::cache::run(std::env::args_os().collect())
}
