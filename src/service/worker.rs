//! The life of one worker inside the runtime: start, serve, reload, drain.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::drain::{self, Unfinished};
use super::environment::Environment;
use super::error::Error;
use super::example;
use super::jobs::{self, Board, Reports, recover_before_serving};
use super::listener::{ListenError, Listener, Passed, inherit};
use super::logging::Control;
use super::manager::Manager;
use super::parts::{Occasion, Parts};
use super::reload::{Reload, Reloader};
use super::settings::Settings;
use super::shared::{Active, Shared};
use super::sockets::{Sockets, bind_all, check_exposure};
use super::status::Status;
use super::tls::Tls;
use crate::config::Loaded;
use crate::task::Pool;

/// What a worker is started with.
pub(super) struct Start<R> {
    pub(super) loaded: Loaded,
    pub(super) settings: Settings,
    pub(super) environment: Environment,
    pub(super) passed: Passed,
    pub(super) logging: Arc<Control>,
    pub(super) manager: Manager,
    pub(super) reload: R,
}

/// Runs until a signal ends it.
///
/// # Errors
/// What keeps it from starting.
pub(super) async fn run<R: Reload>(start: Start<R>) -> Result<(), Error> {
    let Start { loaded, settings, environment, passed, logging, manager, reload } = start;
    // Before READY: until its handler stands, a signal kills.
    let mut signals = Signals::install().map_err(Error::Runtime)?;
    manager.status("starting");

    let tls = settings.tls.as_ref().map(|files| Tls::load(files, None)).transpose()?;
    let may_bind = matches!(settings.listen.address, super::settings::ListenAddress::Unix(_));
    let mut listeners = inherit(passed, &environment, may_bind)?;
    for listener in &listeners {
        let address = listener.address.clone();
        let set = listener.set_keepidle(settings.listen.keepidle);
        set.map_err(|source| ListenError::Bind { address, source })?;
    }
    manager.status("starting: opening the database and the stores");
    let work = TaskTracker::new();
    let pool = Pool::new(work.clone());
    let drain = CancellationToken::new();
    let parts = tokio::select! {
        parts = Parts::new(&loaded.config, work.clone(), Arc::clone(&pool), drain.clone(), Occasion::Start(&manager)) => parts?,
        () = signals.stop.signalled() => return Ok(()),
    };
    parts.tasks.put_limit_in_force();
    tokio::select! {
        () = recover_before_serving(&parts) => {}
        () = signals.stop.signalled() => return Ok(()),
    }
    if listeners.is_empty() {
        listeners = tokio::select! {
            bound = bind_all(&settings, parts.authenticated, &manager) => bound?,
            () = signals.stop.signalled() => return Ok(()),
        };
    }
    check_exposure(listeners.iter().map(|listener| &listener.address), &settings, parts.authenticated)?;

    let active = Active { parts: Arc::new(parts), limits: settings.limits, tls };
    let shared = Shared::new(active, settings.max_connections, work, pool, drain);
    serve(shared, listeners, Context { loaded, settings, environment, logging, manager, signals }, reload).await
}

struct Context {
    loaded: Loaded,
    settings: Settings,
    environment: Environment,
    logging: Arc<Control>,
    manager: Manager,
    signals: Signals,
}

async fn serve<R: Reload>(
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    context: Context,
    reload: R,
) -> Result<(), Error> {
    let Context { loaded, settings, environment, logging, manager, signals } = context;
    let Signals { mut hangup, mut stop } = signals;
    let board = Arc::new(Board::default());
    let status = Arc::new(Status::new(Arc::clone(&board), Arc::clone(&shared.pool)));
    let (pulses, asked) = watch::channel(Vec::new());
    let sockets = Sockets::start(listeners, Arc::clone(&shared), Arc::clone(&status), pulses);
    shared.warn_of(&loaded);
    let addresses: Vec<String> = sockets.addresses().map(ToString::to_string).collect();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "glance-api is listening on {}", addresses.join(", "));
    if let (true, Some(address)) = (loaded.config.embedded.is_some(), sockets.addresses().next()) {
        let (address, tls) = (address.clone(), settings.tls.clone());
        // Standard output may be a pipe that nobody reads.
        tokio::task::spawn_blocking(move || example::print(&address, tls.as_ref()));
    }

    let mut reloader = Reloader::new(Arc::clone(&shared), sockets, loaded.config, settings, environment, logging);
    manager.ready(&status.now(&shared));
    let reports = Reports { manager: manager.clone(), status: Arc::clone(&status), pulses: asked };
    let jobs = jobs::start(&shared, board, reports);

    let reload = Arc::new(reload);
    'serving: loop {
        tokio::select! {
            () = stop.signalled() => break,
            _ = hangup.recv() => {
                // Signals that come before the outcome begin it anew: what was read before them is out of date.
                let prepared = loop {
                    manager.reloading("reloading the configuration");
                    reloader.begin().await;
                    tokio::select! {
                        prepared = reloader.prepare(Arc::clone(&reload)) => break prepared,
                        _ = hangup.recv() => {}
                        () = stop.signalled() => break 'serving,
                    }
                };
                let outcome = tokio::select! {
                    outcome = reloader.finish(prepared) => outcome,
                    () = stop.signalled() => break,
                };
                status.set_reload(outcome);
                jobs.reloaded();
                manager.ready(&status.now(&shared));
            }
        }
    }

    // The job of the status line ends before the service manager is told that the worker stops.
    jobs.drain();
    manager.stopping("stopping");
    let (requests, (tasks, _)) = (shared.counters.in_flight(), shared.pool.counts());
    tracing::info!(requests, tasks, "stopping; requests in flight and tasks that run are finished first");
    let (sockets, grace, _report) = reloader.into_parts();
    let ending = async {
        sockets.close().await;
        let cut = drain::run(&shared, grace, &manager).await;
        jobs.stop().await;
        cut
    };
    let cut = tokio::select! {
        cut = ending => cut,
        () = stop.signalled() => {
            tracing::warn!("stopping at once");
            drain::unfinished(&shared)
        }
    };
    if cut != Unfinished::default() {
        let Unfinished { requests, tasks } = cut;
        tracing::warn!(requests, tasks, "requests in flight and tasks that run are cut off");
        drain::abandon(&shared).await;
    }
    shared.parts().write_counters().await;
    tracing::info!("stopped");
    Ok(())
}

/// The signals that the worker listens to, installed once: between two streams a signal would be lost.
struct Signals {
    hangup: Signal,
    stop: Stop,
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        let stop = Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { hangup: signal(SignalKind::hangup())?, stop })
    }
}

impl Stop {
    async fn signalled(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
