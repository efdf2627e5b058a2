//! The choice of the index.

use super::central::CentralIndex;
use super::sqlite::SqliteIndex;
use super::xattr::XattrIndex;
use super::{Index, IndexError};
use crate::cache::layout::Layout;
use crate::config::Config;
use crate::db::Db;

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("[DEFAULT] image_cache_driver = centralized_db: worker_self_reference_url needs to be set")]
    NoNode,
    #[error("[DEFAULT] image_cache_driver = centralized_db: there is no database")]
    NoDatabase,
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// The name of this node for the driver `centralized_db`; `None`: another driver is configured.
///
/// # Errors
/// It is missing.
pub(in crate::cache) fn node(config: &Config) -> Result<Option<&str>, OpenError> {
    let own = &config.default;
    if ["xattr", "sqlite"].iter().any(|driver| own.image_cache_driver.eq_ignore_ascii_case(driver)) {
        return Ok(None);
    }
    let node = own.worker_self_reference_url.as_deref().filter(|url| !url.is_empty());
    node.map(Some).ok_or(OpenError::NoNode)
}

/// Opens the index of `image_cache_driver`. One that cannot be prepared now, but perhaps later, is prepared when it is needed; with it
/// comes why.
///
/// # Errors
/// Options that are missing, and those of the index.
pub(in crate::cache) async fn open(
    config: &Config,
    db: Option<&Db>,
    layout: &Layout,
) -> Result<(Box<dyn Index>, Option<IndexError>), OpenError> {
    let index = choose(config, db, layout).await?;
    match index.prepare().await {
        Err(error) if error.is_passing() => Ok((index, Some(error))),
        prepared => {
            prepared?;
            Ok((index, None))
        }
    }
}

async fn choose(config: &Config, db: Option<&Db>, layout: &Layout) -> Result<Box<dyn Index>, OpenError> {
    let sqlite = layout.base().join(&config.default.image_cache_sqlite_db);
    if let Some(node) = node(config)? {
        return Ok(Box::new(CentralIndex::new(db.ok_or(OpenError::NoDatabase)?, node, sqlite)));
    }
    if config.default.image_cache_driver.eq_ignore_ascii_case("xattr") {
        if let Some(index) = XattrIndex::open(layout.clone()).await? {
            return Ok(Box::new(index));
        }
        tracing::warn!(
            "[DEFAULT] image_cache_driver = xattr: the file system of image_cache_dir keeps no attributes; the driver sqlite \
             is used"
        );
    }
    Ok(Box::new(SqliteIndex::new(&sqlite)))
}
