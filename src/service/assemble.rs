//! From a configuration to the application that serves by it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use super::manager::Manager;
use crate::api::Api;
use crate::config::Config;
use crate::db::{Db, DbError, Dialect, LocationCipher};
use crate::http::{App, Callers, Chain, Identify, Plan};
use crate::identity::Authenticator;
use crate::image::schema::ImageSchema;
use crate::image::{Images, Journal};
use crate::policy::Enforcer;
use crate::store::Stores;

/// What a start may take once the database answers, before it tells the service manager anything again.
const REST_OF_START: Duration = Duration::from_secs(60);

/// An application, and what the listener has to know about it.
pub(super) struct Assembled {
    pub(super) app: Arc<App>,
    /// Whether callers have to show who they are; without, every caller is an administrator.
    pub(super) authenticated: bool,
}

/// Why the parts do not come together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Configuration(String),
    /// Something that the service depends on does not answer.
    #[error("{0}")]
    Unavailable(String),
}

impl AssembleError {
    /// Exit status of a start that fails so, as in sysexits.h.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Configuration(_) => 78,
            Self::Unavailable(_) => 69,
        }
    }

    pub(super) fn configuration(error: impl std::fmt::Display) -> Self {
        Self::Configuration(error.to_string())
    }
}

/// What an application is put together for.
#[derive(Clone, Copy)]
pub(super) enum Occasion<'a> {
    /// Nothing is served yet; a database that is away is waited for.
    Start(&'a Manager),
    /// The application in force has what is worth keeping: the database's connections, as long as its options are the same,
    /// and the work in progress.
    Reload(&'a Arc<App>),
}

/// Puts the application together.
///
/// # Errors
/// What is wrong with the configuration or missing; the application in force is untouched then.
pub(super) async fn assemble(config: &Config, occasion: Occasion<'_>) -> Result<Assembled, AssembleError> {
    let plan = Plan::from_config(config).map_err(AssembleError::configuration)?;
    let parts = blocking_parts(config, &plan).await?;
    let before = match occasion {
        Occasion::Start(_) => None,
        Occasion::Reload(app) => Some(app.handler().images()),
    };
    let tasks = before.map_or_else(TaskTracker::new, Images::tasks);
    let db = match before.map(Images::db).filter(|db| db.is_made_from(&config.database)) {
        Some(db) => db,
        None => open_database(config, occasion).await?,
    };
    let db = db.with_cipher(cipher(config)?);
    let images = Images::new(config, db, Arc::new(parts.stores), Arc::new(parts.journal), tasks);
    let api = Api::new(config, images, parts.enforcer, parts.schema).map_err(AssembleError::configuration)?;
    let app = App::new(config, &plan, api, parts.callers, config.service.debug_requests)
        .map_err(AssembleError::configuration)?;
    Ok(Assembled { app: Arc::new(app), authenticated: plan.authenticates() })
}

/// `metadata_encryption_key`; Python takes an empty text for none.
fn cipher(config: &Config) -> Result<Option<LocationCipher>, AssembleError> {
    let key = config.default.metadata_encryption_key.as_ref().filter(|key| !key.expose().is_empty());
    let wrong = || AssembleError::Configuration("[DEFAULT] metadata_encryption_key is no key of AES".to_owned());
    key.map(|key| LocationCipher::new(key).ok_or_else(wrong)).transpose()
}

/// What is made by reading and writing local files.
struct Parts {
    stores: Stores,
    journal: Journal,
    enforcer: Enforcer,
    callers: Option<Arc<dyn Identify>>,
    schema: ImageSchema,
}

async fn blocking_parts(config: &Config, plan: &Plan) -> Result<Parts, AssembleError> {
    let config = config.clone();
    let needs_identity = plan.needs_identity();
    let made = spawn_blocking(move || {
        let enforcer = Enforcer::new(&config, &config.search).map_err(AssembleError::configuration)?;
        let callers = if needs_identity {
            let authenticator = Authenticator::new(&config).map_err(AssembleError::configuration)?;
            Some(Arc::new(Callers::new(authenticator, enforcer.clone())) as Arc<dyn Identify>)
        } else {
            None
        };
        let stores = Stores::open(&config).map_err(AssembleError::configuration)?;
        let folder = journal_folder(&config)?;
        let journal = Journal::open(folder.clone()).map_err(|error| {
            AssembleError::Configuration(format!(
                "the journal of uploads cannot be kept in {}: {error}; set [service] state_directory",
                folder.display()
            ))
        })?;
        let schema = ImageSchema::load(&config).map_err(AssembleError::configuration)?;
        Ok(Parts { stores, journal, enforcer, callers, schema })
    });
    made.await.map_err(|error| AssembleError::Unavailable(error.to_string()))?
}

async fn open_database(config: &Config, occasion: Occasion<'_>) -> Result<Db, AssembleError> {
    let db = match occasion {
        Occasion::Start(manager) => {
            let waiting = |error: &DbError, next: Duration| {
                let cause = in_words(error);
                tracing::warn!("{cause}; trying again");
                manager.extend(next + REST_OF_START, &format!("starting: {cause}; trying again"));
            };
            Db::connect_patiently(&config.database, waiting).await
        }
        // Somebody waits for the outcome, and the old configuration serves.
        Occasion::Reload(_) => Db::connect(&config.database).await,
    };
    let db = db.map_err(of_database)?;
    // An empty file is nobody's database. On a server, tables are the operator's doing, with `glance-manage db sync`.
    if db.dialect() == Dialect::Sqlite {
        db.create_schema().await.map_err(of_database)?;
    }
    db.check_schema().await.map_err(of_database)?;
    Ok(db)
}

fn in_words(error: &DbError) -> String {
    match error {
        // Begins with the option.
        DbError::Url(_) => Chain(error).to_string(),
        _ => format!("database: {}", Chain(error)),
    }
}

fn of_database(error: DbError) -> AssembleError {
    let text = in_words(&error);
    match error {
        DbError::Unreachable(_) | DbError::Timeout(_) | DbError::Contention { .. } => AssembleError::Unavailable(text),
        _ => AssembleError::Configuration(text),
    }
}

/// Workers that share a database must find each other's journal, and those of another service on this machine must not: the
/// folder bears a digest of the database's URL.
fn journal_folder(config: &Config) -> Result<PathBuf, AssembleError> {
    let state = config.state_directory.as_ref().ok_or_else(|| {
        AssembleError::Configuration(
            "nothing says where to keep the journal of uploads: set [service] state_directory".to_owned(),
        )
    })?;
    let url = config.database.connection.as_ref().map_or("", |url| url.expose());
    let digest = Sha256::digest(url.as_bytes());
    Ok(state.join("uploads").join(hex::encode(&digest[..8])))
}
