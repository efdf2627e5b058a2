//! Keeping the cache in order: what is asked for by operators, and what the service does by itself.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::Cache;
use super::blocking::blocking;
use super::error::Error;
use super::eviction::Pruned;

/// An incomplete file without a writer is left alone for this long: its writer may be about to lock it.
const GRACE: Duration = Duration::from_secs(60);

/// By how much the clock of a file server may be ahead of this host's.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(86_400);

fn ago(time: Duration) -> SystemTime {
    SystemTime::now().checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Files that were removed because they were of no use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleaned {
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
    pub(crate) async fn prune(&self) -> Result<Pruned, Error> {
        self.inner.prune().await
    }

    /// Removes invalid files, and incomplete ones to which nobody has written for `image_cache_stall_time`.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn clean(&self) -> Result<Cleaned, Error> {
        let (layout, stall_time) = (self.inner.layout.clone(), self.inner.options.stall_time);
        Ok(blocking(move || {
            let all = SystemTime::now() + CLOCK_SKEW;
            Ok(Cleaned { invalid: layout.remove_invalid(all)?, stalled: layout.remove_stalled(ago(stall_time))? })
        })
        .await?)
    }

    /// What the service does from time to time: removes what dead writers have left and what has been invalid for long, and makes
    /// files and index agree again where a crash, an operator or another program has come between them. A disk that cannot be
    /// written to is no error: that is said once, and it is tried again the next time.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(crate) async fn tidy(&self) -> Result<(), Error> {
        match self.tidy_all().await {
            Err(error) if error.is_passing() => {
                self.inner.warn_of_index(&error);
                Ok(())
            }
            tidied => tidied,
        }
    }

    async fn tidy_all(&self) -> Result<(), Error> {
        let (layout, stall_time) = (self.inner.layout.clone(), self.inner.options.stall_time);
        let files = blocking(move || {
            layout.create_folders()?;
            layout.remove_stalled(ago(stall_time.min(GRACE)))?;
            layout.remove_invalid(ago(stall_time))?;
            layout.images()
        });
        let files = files.await?;
        self.inner.index.prepare().await?;
        let entries = self.inner.index.list().await?;
        let there: HashSet<&str> = files.iter().map(|file| file.image_id.as_str()).collect();
        let known: HashSet<&str> = entries.iter().map(|entry| entry.image_id.as_str()).collect();
        let missing = known.difference(&there).map(|id| (*id).to_owned()).collect();
        let unknown = files.iter().filter(|file| !known.contains(file.image_id.as_str())).cloned().collect();
        self.inner.take_up_unknown(unknown).await?;
        self.inner.forget_absent(missing).await
    }
}
