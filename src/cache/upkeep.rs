//! Keeping the cache in order: what is asked for by operators, and what the service does by itself.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::Cache;
use super::blocking::blocking;
use super::error::Error;
use super::index::Entry;
use super::space::Pruned;

/// An incomplete file without a writer is left alone for this long: its writer may be about to lock it.
const GRACE: Duration = Duration::from_secs(60);

/// Files that were removed because they were of no use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    pub invalid: u64,
    /// Incomplete files that nobody was writing.
    pub stalled: u64,
}

impl Cache {
    /// Removes images, those first that were read longest ago, until the cache is not larger than `image_cache_max_size`.
    /// What is being read stays.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub async fn prune(&self) -> Result<Pruned, Error> {
        self.inner.prune().await
    }

    /// Removes invalid files, and incomplete ones to which nobody has written for `image_cache_stall_time`.
    ///
    /// # Errors
    /// Those of the directory.
    pub async fn clean(&self) -> Result<Cleaned, Error> {
        let (layout, stall_time) = (self.inner.layout.clone(), self.inner.options.stall_time);
        Ok(blocking(move || {
            let before = SystemTime::now().checked_sub(stall_time).unwrap_or(SystemTime::UNIX_EPOCH);
            Ok(Cleaned { invalid: layout.remove_invalid()?, stalled: layout.remove_stalled(before)? })
        })
        .await?)
    }

    /// What the service does from time to time: removes what dead writers have left, and makes files and index agree again
    /// where a crash, an operator or another program has come between them.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub async fn tidy(&self) -> Result<(), Error> {
        let (layout, grace) = (self.inner.layout.clone(), self.inner.options.stall_time.min(GRACE));
        let files = blocking(move || {
            let before = SystemTime::now().checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
            layout.remove_stalled(before)?;
            layout.images()
        });
        let files = files.await?;
        let entries = self.inner.index.list().await?;
        let known: HashSet<&str> = entries.iter().map(|entry| entry.image_id.as_str()).collect();
        for file in files.iter().filter(|file| !known.contains(file.image_id.as_str())) {
            // Another process may have taken it up meanwhile, which then counts as new once more.
            let entry = Entry::new(&file.image_id, file.size, file.modified.into());
            self.inner.index.insert(entry).await?;
        }
        let there: HashSet<&str> = files.iter().map(|file| file.image_id.as_str()).collect();
        for entry in entries.iter().filter(|entry| !there.contains(entry.image_id.as_str())) {
            let path = self.inner.layout.image(&entry.image_id);
            if !blocking(move || path.try_exists()).await? {
                self.inner.index.remove(&entry.image_id).await?;
            }
        }
        Ok(())
    }
}
