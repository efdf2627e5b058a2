//! glance-api: arguments, configuration, then `service::run`.

use std::io::Write as _;
use std::process::ExitCode;

use glance_api::config::{Arguments, Config, Loaded, Sources};
use glance_api::{service, store};

/// `EX_USAGE` of sysexits(3): bad arguments.
const USAGE: u8 = 64;
/// `EX_UNAVAILABLE` of sysexits(3): the database does not do its part.
const UNAVAILABLE: u8 = 69;
/// `EX_CONFIG` of sysexits(3): a configuration that cannot be used. The unit file does not restart the service then.
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let sources = Sources::of_process(arguments);
    let loaded = match Config::load(&sources, &store::kinds()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let _ = writeln!(std::io::stderr(), "{errors}");
            if !sources.arguments.check_config {
                service::notify_failure(&errors);
            }
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    if sources.arguments.check_config {
        let errors = service::check(&loaded);
        if errors.is_empty() {
            return show(&loaded).unwrap_or_else(|| check_database(&loaded));
        }
        let _ = writeln!(std::io::stderr(), "{}", errors.join("\n"));
        return ExitCode::from(BAD_CONFIGURATION);
    }
    if sources.arguments.create_indexes {
        return match service::create_indexes(&loaded.config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{error}");
                ExitCode::from(UNAVAILABLE)
            }
        };
    }
    service::run(loaded, move || Config::load(&sources, &store::kinds()))
}

/// The last part of `--check-config`, which takes as long as the database needs to answer.
fn check_database(loaded: &Loaded) -> ExitCode {
    match service::check_database(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err((text, status)) => {
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(status)
        }
    }
}

/// `--check-config`: the options go to standard output, the warnings to standard error. Returns how to end if not all of it
/// could be shown.
fn show(loaded: &Loaded) -> Option<ExitCode> {
    let mut errors = std::io::stderr().lock();
    for warning in &loaded.warnings {
        let _ = writeln!(errors, "warning: {warning}");
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match loaded.report(&mut out).and_then(|()| out.flush()) {
        Ok(()) => None,
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => None,
        Err(error) => {
            let _ = writeln!(errors, "standard output: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}
