//! A new configuration while the worker serves: whole, or not at all.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;
use tokio::task::spawn_blocking;

use super::environment::Environment;
use super::error::Error;
use super::logging::{self, Control};
use super::parts::{Occasion, Parts};
use super::report::Report;
use super::settings::Settings;
use super::shared::{Active, Shared};
use super::sockets::{NewSockets, Sockets};
use super::tls::Tls;
use crate::config::{Config, Loaded, Needs, locate};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads and validates the configuration again, from the sources that the start was given.
pub trait Reload: Send + Sync + 'static {
    /// May block.
    ///
    /// # Errors
    /// Names file, line and option.
    fn load(&self) -> Result<Loaded, BoxError>;
}

impl<F, E> Reload for F
where
    F: Fn() -> Result<Loaded, E> + Send + Sync + 'static,
    E: Into<BoxError>,
{
    fn load(&self) -> Result<Loaded, BoxError> {
        self().map_err(Into::into)
    }
}

/// What reloads change.
pub(super) struct Reloader {
    shared: Arc<Shared>,
    sockets: Sockets,
    config: Config,
    settings: Settings,
    environment: Environment,
    logging: Arc<Control>,
    report: Report,
}

/// A configuration that can be put in force.
pub(super) struct Prepared {
    loaded: Loaded,
    settings: Settings,
    log: logging::Prepared,
    active: Active,
    fresh: NewSockets,
}

impl Reloader {
    pub(super) fn new(
        shared: Arc<Shared>,
        sockets: Sockets,
        config: Config,
        settings: Settings,
        environment: Environment,
        logging: Arc<Control>,
    ) -> Self {
        let report = Report::new(environment.runtime_directory.as_deref());
        Self { shared, sockets, config, settings, environment, logging, report }
    }

    /// Notes that a reload begins.
    pub(super) async fn begin(&mut self) {
        self.report.begin().await;
    }

    /// Everything that can fail: nothing has changed yet, so that it may be given up at any time.
    ///
    /// # Errors
    /// Why the new configuration cannot be put in force.
    pub(super) async fn prepare<R: Reload>(&self, source: Arc<R>) -> Result<Prepared, Error> {
        let loading = spawn_blocking(move || source.load());
        let mut loaded = loading.await.map_err(|_| Error::Panicked)?.map_err(Error::Configuration)?;
        // Entries of the intent log lie there, of work that goes on: it changes with a restart.
        loaded.config.state_directory.clone_from(&self.config.state_directory);
        let origins = Arc::clone(&loaded.config.origins);
        Box::pin(self.prepare_with(loaded)).await.map_err(|error| Error::Configuration(locate(&origins, &error).into()))
    }

    async fn prepare_with(&self, loaded: Loaded) -> Result<Prepared, Error> {
        let settings = Settings::new(&loaded.config)?;
        let current = self.shared.active.load_full();
        let (tls, log) = self.open_files(&loaded.config, &settings, &current).await?;
        let parts = Parts::new(
            &loaded.config,
            self.shared.work.clone(),
            Arc::clone(&self.shared.pool),
            self.shared.drain.clone(),
            Occasion::Reload(&current.parts),
        )
        .await?;
        let fresh = self.sockets.prepare(&self.settings, &settings, parts.authenticated).await?;
        let active = Active { parts: Arc::new(parts), limits: settings.limits, tls };
        Ok(Prepared { loaded, settings, log, active, fresh })
    }

    /// Certificates and log files: a disk that does not answer must not stop the requests.
    async fn open_files(
        &self,
        config: &Config,
        settings: &Settings,
        current: &Arc<Active>,
    ) -> Result<(Option<Tls>, logging::Prepared), Error> {
        let (options, environment, files) = (config.default.clone(), self.environment.clone(), settings.tls.clone());
        let (logging, current) = (Arc::clone(&self.logging), Arc::clone(current));
        let opening = spawn_blocking(move || {
            let tls = files.map(|files| Tls::load(&files, current.tls.as_ref())).transpose()?;
            Ok((tls, logging.prepare(&options, &environment)?))
        });
        opening.await.map_err(|_| Error::Panicked)?
    }

    /// Puts in force what was prepared; returns the outcome for the status line.
    pub(super) async fn finish(&mut self, prepared: Result<Prepared, Error>) -> String {
        let outcome = match prepared {
            Ok(prepared) => Ok(Box::pin(self.apply(prepared)).await),
            Err(error) => Err(error),
        };
        let (ok, message) = match outcome {
            Ok(restart) if restart.is_empty() => (true, "configuration reloaded".to_owned()),
            Ok(restart) => {
                let message = format!("configuration reloaded, a restart is needed for {}", restart.join(", "));
                (true, message)
            }
            Err(error) => (false, format!("configuration rejected, the old one stays in force: {error}")),
        };
        if ok {
            tracing::info!("{message}");
        } else {
            tracing::error!("{message}");
        }
        self.report.end(ok, &message).await;
        let now = OffsetDateTime::now_utc().format(format_description!("[hour]:[minute]:[second] UTC"));
        format!("{} {message}", now.unwrap_or_default())
    }

    /// What the end of the worker needs.
    pub(super) fn into_parts(self) -> (Sockets, Option<Duration>, Report) {
        (self.sockets, self.settings.grace, self.report)
    }

    /// Returns the options whose change this worker cannot take up.
    async fn apply(&mut self, prepared: Prepared) -> Vec<String> {
        let Prepared { loaded, settings, log, active, fresh } = prepared;
        self.logging.apply(log);
        active.parts.tasks.put_limit_in_force();
        self.shared.active.store(Arc::new(active));
        self.shared.connection_limit.set_limit(settings.max_connections);
        self.sockets.commit(fresh, &self.settings, &settings).await;
        self.shared.warn_of(&loaded);
        let restart = self.compare(&loaded.config);
        self.config = loaded.config;
        self.settings = settings;
        restart
    }

    /// Tells what has changed; returns the options whose change this worker cannot take up.
    fn compare(&self, new: &Config) -> Vec<String> {
        let changes = Config::difference(&self.config, new);
        let inherited = self.sockets.inherited();
        for change in &changes {
            tracing::info!("option changed: {}", locate(&new.origins, &change));
        }
        let waiting = changes.iter().filter(|change| !change.is_live(inherited)).filter(|change| {
            // Set on the shared socket as well as on one of our own.
            change.option != "tcp_keepidle"
        });
        waiting
            .map(|change| match change.needs {
                Needs::Socket => format!("{} (of the socket unit)", change.option),
                Needs::Reload | Needs::Restart => change.option.to_owned(),
            })
            .collect()
    }
}
