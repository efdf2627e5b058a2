//! The life of one worker: listener, TLS, connections, readiness, reload, drain, watchdog, signals, logging.
//!
//! [`run`] is all that the program calls. Inside, [`worker`] is the main line; a request's way is [`accept`] →
//! [`connection`] → the application; [`reload`] exchanges what is behind it; [`drain`] ends it.

mod accept;
mod body;
mod check;
mod connection;
mod connection_limit;
mod counters;
mod descriptors;
mod drain;
mod environment;
mod error;
mod example;
mod indexes;
mod jobs;
mod listener;
mod logging;
mod manager;
mod parts;
mod pulses;
mod reload;
pub mod reload_client;
mod report;
mod settings;
mod shared;
mod sockets;
mod status;
mod tls;
mod worker;

use std::io::Write as _;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::{Builder, Runtime};

use crate::config::{ConfigErrors, Loaded, locate};
use crate::sys::ceph::end_process_with_threads;
use environment::Environment;
use listener::Passed;
use logging::Logging;
use manager::Manager;
use settings::Settings;

pub use check::{check, check_database};
pub use error::Error;
pub use indexes::create_indexes;
pub use listener::{Address, ListenError};
pub use logging::LogError;
pub use parts::AssembleError;
pub use reload::Reload;
pub use report::FILE as RELOAD_REPORT;
pub use settings::SettingsError;
pub use tls::TlsError;

/// Serves until a signal ends it. `reload` reads the configuration again when SIGHUP comes.
///
/// To be called before there are threads: it takes passed sockets from the environment and sets the umask.
///
/// Exit status: 0 after SIGTERM or SIGINT; 69 something that is needed is not available, 70 internal error, 78 the
/// configuration does not allow a start.
pub fn run<R: Reload>(loaded: Loaded, reload: R) -> ExitCode {
    let environment = Environment::read();
    let passed = Passed::read();
    umask(Mode::from_bits_truncate(0o027));
    raise_descriptor_limit();
    crate::sys::heap::keep_buffers();
    let manager = Manager::start(environment.notify);

    let started = Settings::new(&loaded.config).map_err(Error::from).and_then(|settings| {
        let logging = Logging::start(&loaded.config.default, &environment)?;
        let one_worker = environment.managed || !passed.is_empty();
        let runtime = runtime(if one_worker { Some(0) } else { settings.workers }).map_err(Error::Runtime)?;
        Ok((settings, logging, runtime))
    });
    let (settings, logging, runtime) = match started {
        Ok(started) => started,
        Err(error) => {
            let message = loaded.locate(&error);
            manager.failed(&message, error.is_configuration());
            manager.flush();
            print_error(&message);
            return ExitCode::from(error.exit_status());
        }
    };
    let origins = Arc::clone(&loaded.config.origins);
    log_panics();
    let start = worker::Start {
        loaded,
        settings,
        passed,
        logging: logging.control(),
        manager: manager.clone(),
        reload,
        // The log follows it at once; see below.
        environment: environment.clone(),
    };
    let result = runtime.block_on(Box::pin(worker::run(start)));
    // Threads that wait for a disk or a resolver do not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    let failure = result.err().map(|error| (locate(&origins, &error), error));
    if let Some((message, error)) = &failure {
        manager.failed(message, error.is_configuration());
        tracing::error!("{message}");
    }
    manager.flush();
    let seen = logging.reaches_standard_error() || environment.journal;
    drop(logging);
    let status = failure.map_or(0, |(message, error)| {
        if !seen {
            print_error(&message);
        }
        error.exit_status()
    });
    end_process_with_threads(status);
    ExitCode::from(status)
}

/// Tells the service manager that there will be no start with this configuration.
pub fn notify_failure(errors: &ConfigErrors) {
    let manager = Manager::start(Environment::read().notify);
    manager.failed(&errors.to_string(), true);
    manager.flush();
}

/// `workers`: none: a thread for each CPU; 0: one thread for everything.
fn runtime(workers: Option<usize>) -> std::io::Result<Runtime> {
    let threads = workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    let mut builder = if threads == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name("glance-api").enable_all().build()
}

/// Each connection takes a descriptor, each transfer another; the usual soft limit is 1024.
fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // What is refused stays as it was.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// A panic ends one request; the log keeps where it came from. Only a payload that is text is shown.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(|s| &**s));
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {}", text.unwrap_or("without a message"));
    }));
}

/// To standard error, before or after there is a log.
fn print_error(message: &str) {
    let _ = writeln!(std::io::stderr(), "glance-api: {message}");
}
