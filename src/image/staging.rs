//! Staged data that nobody will import any more.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Error;
use super::images::Images;
use crate::db::images as rows;
use crate::store::{FileIdentity, Removal, StoreContext};

/// Images asked about in one query.
const BATCH: usize = 200;

/// Data of an image that is there, but that nobody works on, is left so long: upstream's server, where it shares the folder, keeps
/// data of a copy that has failed for the next attempt.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A file of the staging area whose name begins with an image's id.
#[derive(Clone, Debug)]
struct Staged {
    path: PathBuf,
    image_id: String,
    is_old: bool,
    /// What it was when it was listed.
    identity: FileIdentity,
}

impl Staged {
    /// Removes the file, if it is still the one that was listed: another may have got its name. Blocking.
    fn remove(&self, why: &str) {
        let Self { path, image_id, .. } = self;
        match self.identity.remove(path) {
            Ok(Removal::Removed) => info!(image_id, "{why}"),
            Ok(Removal::Another | Removal::Missing) => {}
            Err(error) => warn!(image_id, %error, "staged data that nobody waits for cannot be removed"),
        }
    }
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
            let is_kept = |staged: &&Staged| {
                let state = known.iter().find(|state| state.id == staged.image_id);
                state.is_some_and(|state| state.is_awaited || !staged.is_old)
            };
            let unwanted: Vec<Staged> = batch.iter().filter(|staged| !is_kept(staged)).cloned().collect();
            let removed = spawn_blocking(move || {
                unwanted.iter().for_each(|staged| staged.remove("staged data removed that nobody waits for"));
            });
            removed.await.map_err(Error::Interrupted)?;
        }
        Ok(())
    }

    /// Removes all that an import keeps in the staging area: the data that was staged, and what plugins were making of it. For whoever has
    /// the image for himself. What cannot be removed now, the log names, and the sweep removes later.
    pub(super) async fn drop_all_staged(&self, image_id: &str) {
        let _ = self.remove_staged(&StoreContext::default(), image_id).await;
        self.drop_made(image_id).await;
    }

    /// As [`Images::drop_all_staged`], but the data that was staged stays.
    pub(super) async fn drop_made(&self, image_id: &str) {
        let Some(folder) = self.staging_folder() else { return };
        let id = image_id.to_owned();
        let removed = spawn_blocking(move || {
            let is_made = |staged: &Staged| staged.image_id == id && !staged.path.ends_with(&id);
            for staged in list(&folder).into_iter().filter(is_made) {
                staged.remove("staged data removed that an import has left");
            }
        });
        if let Err(error) = removed.await {
            warn!(image_id, %error, "staged data stays for now");
        }
    }

    pub(super) fn staging_folder(&self) -> Option<PathBuf> {
        self.stores.staging().ok()?.store.folder().map(Path::to_owned)
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
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
        Some(Staged { path: entry.path(), image_id, is_old: age > KEPT, identity: FileIdentity::from(&metadata) })
    };
    entries.flatten().filter_map(staged).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

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

    #[test]
    fn a_file_that_has_got_the_name_of_one_that_was_listed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0a0a0a0a-0000-4000-8000-00000000000a");
        let listed = || list(folder.path()).remove(0);
        std::fs::write(&path, "data").unwrap();
        let former = listed();
        std::fs::write(folder.path().join("new"), "new data").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        former.remove("of the test");
        assert_eq!(std::fs::read(&path).unwrap(), b"new data");
        // So does the same one when it is written to.
        let former = listed();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        former.remove("of the test");
        assert!(path.try_exists().unwrap());
        let present = listed();
        for _ in 0..2 {
            present.remove("of the test");
            assert!(!path.try_exists().unwrap());
        }
    }
}
