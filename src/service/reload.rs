//! A new configuration while the worker serves: whole, or not at all.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;

use super::assemble::assemble;
use super::environment::Environment;
use super::error::Error;
use super::logging::Control;
use super::report::Report;
use super::settings::Settings;
use super::sockets::Sockets;
use super::tls::Tls;
use super::worker::{Active, Shared};
use crate::config::{Config, Loaded, Needs};

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

    /// Reloads once; returns what to say about it in the status line.
    pub(super) async fn reload<R: Reload>(&mut self, source: Arc<R>) -> String {
        self.report.begin();
        let (ok, words) = match self.try_reload(source).await {
            Ok(restart) if restart.is_empty() => (true, "configuration reloaded".to_owned()),
            Ok(restart) => {
                let words = format!("configuration reloaded, a restart is needed for {}", restart.join(", "));
                (true, words)
            }
            Err(error) => (false, format!("configuration rejected, the old one stays in force: {error}")),
        };
        if ok {
            tracing::info!("{words}");
        } else {
            tracing::error!("{words}");
        }
        self.report.end(ok, &words);
        let now = OffsetDateTime::now_utc().format(format_description!("[hour]:[minute]:[second] UTC"));
        format!("{} {words}", now.unwrap_or_default())
    }

    /// What the end of the worker needs.
    pub(super) fn into_parts(self) -> (Sockets, Option<Duration>, Report) {
        (self.sockets, self.settings.grace, self.report)
    }

    /// Everything that can fail comes first; nothing has changed then.
    async fn try_reload<R: Reload>(&mut self, source: Arc<R>) -> Result<Vec<String>, Error> {
        let loading = tokio::task::spawn_blocking(move || source.load());
        let loaded = loading.await.map_err(|_| Error::Panicked)?.map_err(Error::Configuration)?;
        let settings = Settings::new(&loaded.config)?;
        let current = self.shared.active.load_full();
        let tls = settings.tls.as_ref().map(|files| Tls::load(files, current.tls.as_ref())).transpose()?;
        let log = self.logging.prepare(&loaded.config.default, &self.environment)?;
        let assembled = assemble(&loaded.config, Some(&current.app)).await?;
        let change = self.sockets.prepare(&self.settings, &settings, assembled.authenticated).await?;

        self.logging.apply(log);
        self.shared.active.store(Arc::new(Active { app: assembled.app, limits: settings.limits, tls }));
        self.shared.gate.set_limit(settings.max_connections);
        self.sockets.commit(change, &self.settings, &settings).await;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let restart = self.compare(&loaded.config);
        self.config = loaded.config;
        self.settings = settings;
        Ok(restart)
    }

    /// Tells what has changed; returns the options whose change this worker cannot take up.
    fn compare(&self, new: &Config) -> Vec<String> {
        let changes = Config::difference(&self.config, new);
        let inherited = self.sockets.inherited();
        for change in &changes {
            tracing::info!("option changed: {change}");
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
