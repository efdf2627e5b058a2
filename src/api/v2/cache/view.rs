//! What is in the cache, as clients see it.

use serde::Serialize;

use crate::api::Error;
use crate::cache::{Cache, CachedImage};

/// `/v2/cache`
#[derive(Serialize)]
pub(super) struct CacheView {
    pub(super) cached_images: Vec<CachedImageView>,
    pub(super) queued_images: Vec<String>,
}

/// `/v2/cached_images`
#[derive(Serialize)]
pub(super) struct CachedView {
    pub(super) cached_images: Vec<CachedImageView>,
}

/// `/v2/queued_images`
#[derive(Serialize)]
pub(super) struct QueuedView {
    pub(super) queued_images: Vec<String>,
}

/// How many images went from the cache, or from its queue.
#[derive(Serialize)]
pub(super) struct DeletedView {
    pub(super) num_deleted: u64,
}

/// `/v2/cache/prune`
#[derive(Serialize)]
pub(super) struct PrunedView {
    pub(super) total_files_pruned: u64,
    pub(super) total_bytes_pruned: u64,
}

/// An image of the cache. What is shown depends on upstream's driver: `centralized_db` has a number and a checksum.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum CachedImageView {
    Row {
        id: i64,
        image_id: String,
        last_accessed: f64,
        last_modified: f64,
        size: u64,
        hits: u64,
        checksum: Option<String>,
    },
    File {
        image_id: String,
        hits: u64,
        last_accessed: Moment,
        last_modified: Moment,
        size: u64,
    },
}

/// Seconds since 1970. The times of files have no fraction, and are written without one.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Moment {
    Whole(i64),
    Exact(f64),
}

impl From<f64> for Moment {
    fn from(seconds: f64) -> Self {
        let whole = seconds as i64;
        if whole as f64 == seconds { Self::Whole(whole) } else { Self::Exact(seconds) }
    }
}

impl From<CachedImage> for CachedImageView {
    fn from(image: CachedImage) -> Self {
        let CachedImage { id, image_id, hits, last_accessed, last_modified, size, checksum } = image;
        match id {
            Some(id) => Self::Row { id, image_id, last_accessed, last_modified, size, hits, checksum },
            None => {
                let (last_accessed, last_modified) = (last_accessed.into(), last_modified.into());
                Self::File { image_id, hits, last_accessed, last_modified, size }
            }
        }
    }
}

/// All images of the cache.
///
/// # Errors
/// Those of the cache.
pub(super) async fn cached(cache: &Cache) -> Result<Vec<CachedImageView>, Error> {
    Ok(cache.cached().await?.into_iter().map(CachedImageView::from).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_shown_as_its_driver_knows_it() {
        let image = |id, checksum: Option<&str>, last_accessed| CachedImage {
            id,
            image_id: "i".to_owned(),
            hits: 2,
            last_accessed,
            last_modified: 1_700_000_000.0,
            size: 3,
            checksum: checksum.map(str::to_owned),
        };
        let shown = |image| serde_json::to_value(CachedImageView::from(image)).unwrap();
        // `json!` tells 1.0 from 1.
        let central = json!({"id": 7, "checksum": "c", "image_id": "i", "last_accessed": 1.0, "last_modified": 1_700_000_000.0,
            "size": 3, "hits": 2});
        assert_eq!(shown(image(Some(7), Some("c"), 1.0)), central);
        let text = serde_json::to_string(&CachedImageView::from(image(Some(7), None, 1.0))).unwrap();
        assert!(text.contains(r#""checksum":null"#) && text.contains(r#""last_accessed":1.0"#), "{text}");
        let of_files =
            json!({"image_id": "i", "last_accessed": 1, "last_modified": 1_700_000_000, "size": 3, "hits": 2});
        assert_eq!(shown(image(None, None, 1.0)), of_files);
        let of_sqlite =
            json!({"image_id": "i", "last_accessed": 1.5, "last_modified": 1_700_000_000, "size": 3, "hits": 2});
        assert_eq!(shown(image(None, None, 1.5)), of_sqlite);
    }
}
