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
pub enum OpenError {
    #[error("image_cache_driver = centralized_db: worker_self_reference_url needs to be set")]
    NoNode,
    #[error("image_cache_driver = centralized_db: there is no database")]
    NoDatabase,
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Opens the index of `image_cache_driver`.
///
/// # Errors
/// Options that are missing, and those of the index.
pub(in crate::cache) async fn open(
    config: &Config,
    db: Option<&Db>,
    layout: &Layout,
) -> Result<Box<dyn Index>, OpenError> {
    let sqlite = layout.base().join(&config.default.image_cache_sqlite_db);
    Ok(match config.default.image_cache_driver.to_ascii_lowercase().as_str() {
        "xattr" => match XattrIndex::open(layout.clone()).await? {
            Some(index) => Box::new(index),
            None => {
                tracing::warn!(
                    "image_cache_driver = xattr: the file system of image_cache_dir keeps no attributes; the driver sqlite is used"
                );
                Box::new(SqliteIndex::open(&sqlite).await?)
            }
        },
        "sqlite" => Box::new(SqliteIndex::open(&sqlite).await?),
        _ => {
            let node = config.default.worker_self_reference_url.as_deref().filter(|url| !url.is_empty());
            let index = CentralIndex::open(db.ok_or(OpenError::NoDatabase)?, node.ok_or(OpenError::NoNode)?).await?;
            index.adopt(&sqlite).await;
            Box::new(index)
        }
    })
}
