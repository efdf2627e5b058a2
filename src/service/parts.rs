//! The parts of the service, made from a configuration and put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::manager::Manager;
use crate::api::Api;
use crate::cache::{Cache, SetupError};
use crate::config::Config;
use crate::db::{self, Db, DbError, Dialect, LocationCipher};
use crate::http::{App, Callers, Identify, Plan};
use crate::identity::Authenticator;
use crate::image::schema::ImageSchema;
use crate::image::{Images, IntentLog};
use crate::keys::KeyManager;
use crate::keystone::UnifiedLimits;
use crate::metadef::Metadefs;
use crate::notifications::{LogListener, Notifier};
use crate::policy::{Enforcer, Protections};
use crate::store::Stores;
use crate::sys::causes::ErrorWithCauses;
use crate::task::{Pool, Tasks};

/// What a start may take once the database answers, before it tells the service manager anything again.
const REST_OF_START: Duration = Duration::from_secs(60);

/// How long the end of the process may wait for the counters of the image cache.
const COUNTERS_TIMEOUT: Duration = Duration::from_secs(2);

/// The composition root: it owns the parts that requests and jobs need, made from one configuration, and hands
/// to each layer what that layer needs.
///
/// A reload makes new ones. What is costly to lose (connections, sessions, cached tokens) is taken over from those before, where
/// the options that it is made from are the same.
pub(super) struct Parts {
    /// The pipeline around the routes: answers requests.
    pub(super) app: Arc<App>,
    pub(super) images: Images,
    pub(super) tasks: Tasks,
    pub(super) stores: Arc<Stores>,
    /// `None` where no cache is configured.
    pub(super) cache: Option<Cache>,
    pub(super) database: Db,
    /// `None` where no filter asks who is there.
    identity: Option<Arc<Authenticator>>,
    /// `None` where Keystone keeps no limits.
    unified_limits: Option<Arc<UnifiedLimits>>,
    keys: Arc<KeyManager>,
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

/// When parts are made.
#[derive(Clone, Copy)]
pub(super) enum Occasion<'a> {
    /// Nothing is served yet; a database that is away is waited for.
    Start(&'a Manager),
    /// These are in force.
    Reload(&'a Parts),
}

impl Parts {
    /// Makes the parts of a configuration. `work`: where the domain and the cache register what must come to its end though its
    /// client has gone. `pool`: runs the tasks of all configurations. `drain`: cancelled when the worker is to end.
    ///
    /// # Errors
    /// What is wrong with the configuration or missing; the parts in force are untouched then.
    pub(super) async fn new(
        config: &Config,
        work: TaskTracker,
        pool: Arc<Pool>,
        drain: CancellationToken,
        occasion: Occasion<'_>,
    ) -> Result<Self, AssembleError> {
        let before = match occasion {
            Occasion::Start(_) => None,
            Occasion::Reload(parts) => Some(parts),
        };
        let local = LocalParts::on_a_blocking_thread(config, before).await?;
        let keeps_database = local.database.is_some();
        let database = match local.database {
            Some(kept) => kept,
            None => open_database(config, occasion).await?,
        };
        let database = database.with_cipher(cipher(config)?);
        let (stores, intent_log) = (Arc::new(local.stores), Arc::new(local.intent_log));
        let notifier = Notifier::new(vec![Box::new(LogListener)]);
        let images =
            Images::new(config, database.clone(), Arc::clone(&stores), intent_log, notifier.clone(), work.clone())
                .with_unified_limits(local.unified_limits.clone())
                .with_keys(Arc::clone(&local.keys));
        let images = match before {
            Some(before) => images.succeeding(&before.images),
            None => images,
        };
        let filter = stores.url_filter().clone();
        let tasks = Tasks::new(config, database.clone(), images.clone(), filter, pool);
        let tasks = tasks.map_err(AssembleError::configuration)?;
        let callers = local
            .identity
            .clone()
            .map(|identity| Arc::new(Callers::new(identity, local.policy.clone())) as Arc<dyn Identify>);
        let metadefs = Metadefs::new(database.clone()).with_notifier(notifier);
        let fit = before.filter(|_| keeps_database);
        let cache = open_cache(config, &database, &local.plan, fit, work, drain).await?;
        let stores_of_api = Arc::clone(&stores);
        let api = Api::new(config, images.clone(), tasks.clone(), stores_of_api, metadefs, local.policy, local.schema)
            .map_err(AssembleError::configuration)?
            .with_protections(local.protections)
            .with_cache(cache.clone());
        let reachable = Arc::new(database.clone());
        let app = App::new(config, &local.plan, api, reachable, callers, config.service.debug_requests)
            .map_err(AssembleError::configuration)?;
        let authenticated = local.plan.authenticates();
        let LocalParts { identity, unified_limits, keys, .. } = local;
        let app = Arc::new(app);
        Ok(Self { app, images, tasks, stores, cache, database, identity, unified_limits, keys, authenticated })
    }

    /// Bytes of the fills of the image cache that go on.
    pub(super) fn bytes_filling(&self) -> u64 {
        self.cache.as_ref().map_or(0, Cache::bytes_filling)
    }

    /// Writes down what the image cache has counted and not written yet.
    pub(super) async fn write_counters(&self) {
        let Some(cache) = &self.cache else { return };
        match timeout(COUNTERS_TIMEOUT, cache.write_counters()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last counters of the image cache are lost"),
            Err(_) => tracing::warn!("the last counters of the image cache are lost: writing them takes too long"),
        }
    }

    /// How many images of how many have been fetched into the cache, while queued ones are fetched.
    pub(super) fn fetched(&self) -> Option<(u64, u64)> {
        self.cache.as_ref()?.fetching()
    }
}

/// The image cache, where there is one to be. What those in force fill goes on as long as the options are the same; `before` are parts
/// with this database.
async fn open_cache(
    config: &Config,
    database: &Db,
    plan: &Plan,
    before: Option<&Parts>,
    work: TaskTracker,
    drain: CancellationToken,
) -> Result<Option<Cache>, AssembleError> {
    let kept = before.and_then(|parts| parts.cache.clone()).filter(|cache| cache.is_made_from(config));
    let cache = match kept {
        Some(kept) => Some(kept),
        None => match Cache::open(config, Some(database), work, drain).await {
            // Upstream asks for the name of the node only where images go through the cache.
            Err(error) if error.is_about_node() && !plan.has_cache() => {
                tracing::warn!("{error}; there is no image cache");
                return Ok(None);
            }
            opened => opened.map_err(AssembleError::configuration)?,
        },
    };
    if cache.is_none() && plan.has_cache() {
        return Err(AssembleError::configuration(SetupError::NoDirectory));
    }
    Ok(cache)
}

/// `metadata_encryption_key`; Python takes an empty text for none.
fn cipher(config: &Config) -> Result<Option<LocationCipher>, AssembleError> {
    let key = config.default.metadata_encryption_key.as_ref().filter(|key| !key.expose().is_empty());
    let wrong = || AssembleError::Configuration("[DEFAULT] metadata_encryption_key is no key of AES".to_owned());
    key.map(|key| LocationCipher::new(key).ok_or_else(wrong)).transpose()
}

/// The parts that are made by reading and writing local files.
struct LocalParts {
    plan: Plan,
    policy: Enforcer,
    protections: Option<Protections>,
    /// The connections before, if they can go on.
    database: Option<Db>,
    identity: Option<Arc<Authenticator>>,
    unified_limits: Option<Arc<UnifiedLimits>>,
    keys: Arc<KeyManager>,
    stores: Stores,
    intent_log: IntentLog,
    schema: ImageSchema,
}

/// What new parts may take over.
#[derive(Default)]
struct Kept {
    database: Option<Db>,
    identity: Option<Arc<Authenticator>>,
    unified_limits: Option<Arc<UnifiedLimits>>,
    keys: Option<Arc<KeyManager>>,
    stores: Option<Arc<Stores>>,
}

impl Kept {
    fn of(parts: &Parts) -> Self {
        let Parts { database, identity, unified_limits, keys, stores, .. } = parts;
        Self {
            database: Some(database.clone()),
            identity: identity.clone(),
            unified_limits: unified_limits.clone(),
            keys: Some(Arc::clone(keys)),
            stores: Some(Arc::clone(stores)),
        }
    }
}

impl LocalParts {
    async fn on_a_blocking_thread(config: &Config, before: Option<&Parts>) -> Result<Self, AssembleError> {
        let config = config.clone();
        let before = before.map(Kept::of);
        let made = spawn_blocking(move || Self::new(&config, before));
        made.await.map_err(|error| AssembleError::Unavailable(error.to_string()))?
    }

    /// `before`: those in force.
    fn new(config: &Config, before: Option<Kept>) -> Result<Self, AssembleError> {
        let Kept { database, identity, unified_limits, keys, stores } = before.unwrap_or_default();
        let plan = Plan::from_config(config).map_err(AssembleError::configuration)?;
        Cache::check(config, plan.has_cache()).map_err(AssembleError::configuration)?;
        let policy = Enforcer::new(config, &config.search).map_err(AssembleError::configuration)?;
        let protections = Protections::load(config).map_err(AssembleError::configuration)?;
        let database = database.filter(|database| database.is_made_from(&config.database));
        let identity = match identity.filter(|identity| identity.is_made_from(config)) {
            _ if !plan.needs_identity() => None,
            Some(kept) => Some(kept),
            None => Some(Arc::new(Authenticator::new(config).map_err(AssembleError::configuration)?)),
        };
        let unified_limits = match unified_limits.filter(|limits| limits.is_made_from(config)) {
            _ if !config.default.use_keystone_limits => None,
            Some(kept) => Some(kept),
            None => Some(Arc::new(UnifiedLimits::new(config).map_err(AssembleError::configuration)?)),
        };
        let keys = match keys.filter(|keys| keys.is_made_from(config)) {
            Some(kept) => kept,
            None => Arc::new(KeyManager::new(config).map_err(AssembleError::configuration)?),
        };
        let stores = match stores {
            None => Stores::open(config),
            Some(previous) => Stores::open_again(config, &previous),
        };
        let stores = stores.map_err(AssembleError::configuration)?;
        let intent_log = open_intent_log(config)?;
        let schema = ImageSchema::load(config).map_err(AssembleError::configuration)?;
        Ok(Self { plan, policy, protections, database, identity, unified_limits, keys, stores, intent_log, schema })
    }
}

async fn open_database(config: &Config, occasion: Occasion<'_>) -> Result<Db, AssembleError> {
    let db = match occasion {
        Occasion::Start(manager) => {
            let waiting = |error: &DbError, next: Duration| {
                let cause = message(error);
                tracing::warn!("{cause}; trying again");
                manager.extend(next + REST_OF_START, &format!("starting: {cause}; trying again"));
            };
            Db::connect_patiently(&config.database, waiting).await
        }
        // The operator waits for the outcome, and the old configuration serves.
        Occasion::Reload(_) => Db::connect(&config.database).await,
    };
    let db = db.map_err(database_error)?;
    // A new file gets its tables here. On a server the operator makes them, as upstream's operators do (`db sync`).
    if db.dialect() == Dialect::Sqlite {
        db.create_schema().await.map_err(database_error)?;
    }
    db.check_schema().await.map_err(database_error)?;
    Ok(db)
}

fn message(error: &DbError) -> String {
    match error {
        // They begin with the option, or with the name of the database.
        DbError::Url(_) | DbError::ReplicaUrl(_) | DbError::Refused(_) => ErrorWithCauses(error).to_string(),
        _ => format!("database: {}", ErrorWithCauses(error)),
    }
}

/// What a failure of the database means for a start.
pub(super) fn database_error(error: DbError) -> AssembleError {
    let text = message(&error);
    match error {
        DbError::Unreachable(_) | DbError::Timeout(_) | DbError::Contention { .. } => AssembleError::Unavailable(text),
        _ => AssembleError::Configuration(text),
    }
}

/// Workers that share a database must find each other's intent log, and those of another service on this machine must not: the
/// folder bears a digest of what identifies the database. A password that is changed must not hide what was left under the old one.
fn open_intent_log(config: &Config) -> Result<IntentLog, AssembleError> {
    let state = config.state_directory.as_ref().ok_or_else(|| {
        AssembleError::Configuration(
            "nothing says where to keep the intent log (of work on image data in progress): set [service] state_directory".to_owned(),
        )
    })?;
    let url = config.database.connection.as_ref().map_or("", |url| url.expose());
    // What is no URL is refused where the database is opened.
    let identity = db::identity(url, &config.database.connection_parameters).unwrap_or_else(|_| url.to_owned());
    let folder = intent_log_folder(state, &identity);
    let intent_log = IntentLog::open(folder.clone()).map_err(|error| {
        AssembleError::Configuration(format!(
            "the intent log (of work on image data in progress) cannot be kept in {}: {error}; set [service] state_directory",
            folder.display()
        ))
    })?;
    // Earlier builds took the whole URL.
    let former = intent_log_folder(state, url);
    match intent_log.adopt(&former) {
        Ok(0) => {}
        Ok(entries) => tracing::info!(entries, folder = %former.display(), "entries of a former intent log taken over"),
        Err(error) => tracing::warn!(folder = %former.display(), %error, "a former intent log cannot be taken over"),
    }
    Ok(intent_log)
}

fn intent_log_folder(state: &Path, identity: &str) -> PathBuf {
    let digest = Sha256::digest(identity.as_bytes());
    state.join("uploads").join(hex::encode(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseSection;

    #[test]
    fn a_changed_password_keeps_the_intent_log_and_that_of_an_earlier_build_is_taken_over() {
        let state = tempfile::tempdir().unwrap();
        let config = |url: &str| Config {
            state_directory: Some(state.path().to_owned()),
            database: DatabaseSection { connection: Some(url.into()), ..DatabaseSection::default() },
            ..Config::default()
        };
        let (old, new) = ("mysql+pymysql://glance:old@db/glance", "mysql+pymysql://glance:new@db/glance?charset=utf8");
        let former = intent_log_folder(state.path(), old);
        std::fs::create_dir_all(&former).unwrap();
        std::fs::write(former.join("an-image"), "file:///images/an-image\n").unwrap();

        open_intent_log(&config(old)).unwrap();
        open_intent_log(&config(new)).unwrap();
        open_intent_log(&config("mysql://glance:new@db/other")).unwrap();
        let mut folders: Vec<(PathBuf, usize)> = std::fs::read_dir(state.path().join("uploads"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read_dir(path).unwrap().count()))
            .collect();
        folders.retain(|(path, _)| *path != former);
        let mut entries: Vec<usize> = folders.iter().map(|(_, entries)| *entries).collect();
        entries.sort_unstable();
        assert_eq!(entries, [0, 1], "one intent log for each database: {folders:?}");
        assert!(!former.join("an-image").try_exists().unwrap());
        assert!(open_intent_log(&Config::default()).is_err());
    }
}
