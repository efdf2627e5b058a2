//! Staged data that nobody will import any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Error;
use super::images::Images;
use crate::db::images as rows;

/// Images asked about in one query.
const BATCH: usize = 200;

/// Data of an image that is there, but that nobody works on, is left so long: upstream's server, where it shares the folder, keeps
/// data of a copy that has failed for the next attempt.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A file of the staging area whose name begins with an image's id.
struct Staged {
    path: PathBuf,
    image_id: String,
    is_old: bool,
}

impl Images {
    /// Removes staged data of images that are deleted or unknown, or that wait for no import (upstream: `StagingStoreCleaner` in
    /// `glance/housekeeping.py`). Other files are left alone.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sweep_staging(&self) -> Result<(), Error> {
        let Some(folder) = self.staging_folder() else { return Ok(()) };
        let listed = spawn_blocking(move || list(&folder)).await.map_err(Error::Interrupted)?;
        for batch in listed.chunks(BATCH) {
            let ids = batch.iter().map(|staged| staged.image_id.clone()).collect();
            let known = rows::staging_states(&self.db, ids).await?;
            for Staged { path, image_id, is_old } in batch {
                let state = known.iter().find(|state| state.id == *image_id);
                if state.is_some_and(|state| state.is_awaited || !is_old) {
                    continue;
                }
                match tokio::fs::remove_file(path).await {
                    Ok(()) => info!(image_id, "staged data removed that nobody waits for"),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => warn!(image_id, %error, "staged data that nobody waits for cannot be removed"),
                }
            }
        }
        Ok(())
    }

    pub(super) fn staging_folder(&self) -> Option<PathBuf> {
        let properties = self.stores.staging().ok()?.store.properties();
        Some(PathBuf::from(properties.get("data_dir")?.as_str()?))
    }
}

/// The files that belong to images; blocks.
fn list(folder: &Path) -> Vec<Staged> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            debug!(folder = %folder.display(), %error, "the staging area cannot be looked at");
            return Vec::new();
        }
    };
    let staged = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let image_id = name.split('.').next()?.to_owned();
        Uuid::try_parse(&image_id).ok()?;
        let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
        Some(Staged { path: entry.path(), image_id, is_old: age > KEPT })
    };
    entries.flatten().filter_map(staged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_are_named_after_images_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let id = "0a0a0a0a-0000-4000-8000-00000000000a";
        for name in [id, "0a0a0a0a-0000-4000-8000-00000000000a.qcow2", "notes", ".hidden", "x.0a0a"] {
            std::fs::write(folder.path().join(name), "data").unwrap();
        }
        std::fs::create_dir(folder.path().join("0b0b0b0b-0000-4000-8000-00000000000b")).unwrap();
        let found = list(folder.path());
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|staged| staged.image_id == id && !staged.is_old));
        assert!(list(&folder.path().join("none")).is_empty());
    }
}
