//! Keeping the index true to the files.
//!
//! Files come and go while the index is told of what was seen a moment ago. So whoever has told it something looks at the files once more.

use super::blocking::blocking;
use super::error::Error;
use super::index::Entry;
use super::inner::Inner;
use super::layout::OnDisk;

impl From<OnDisk> for Entry {
    fn from(file: OnDisk) -> Self {
        Self::new(&file.image_id, file.size, file.modified.into())
    }
}

impl Inner {
    /// Takes up an image that has just come into the cache.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(super) async fn take_up(&self, entry: Entry) -> Result<(), Error> {
        let id = entry.image_id.clone();
        self.index.insert(entry).await?;
        self.forget_absent(vec![id]).await
    }

    /// Takes up those files that the index does not know yet.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(super) async fn take_up_unknown(&self, files: Vec<OnDisk>) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        let ids = files.iter().map(|file| file.image_id.clone()).collect();
        self.index.insert_unknown(files.into_iter().map(Entry::from).collect()).await?;
        self.forget_absent(ids).await
    }

    /// Forgets images whose files were removed.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(super) async fn forget(&self, ids: Vec<String>) -> Result<(), Error> {
        self.index.remove(&ids).await?;
        // One of them may have come anew just before, and was forgotten with the others.
        let there: Vec<Entry> =
            self.look_for(ids).await?.into_iter().filter_map(|(_, file)| Some(file?.into())).collect();
        if there.is_empty() { Ok(()) } else { Ok(self.index.insert_unknown(there).await?) }
    }

    /// Forgets all images, as all files were removed.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(super) async fn forget_all(&self) -> Result<(), Error> {
        self.index.clear().await?;
        let layout = self.layout.clone();
        let there = blocking(move || layout.images()).await?;
        self.take_up_unknown(there).await
    }

    /// Forgets those of some images that have no file.
    ///
    /// # Errors
    /// Those of the directory and the index.
    pub(super) async fn forget_absent(&self, ids: Vec<String>) -> Result<(), Error> {
        let found = self.look_for(ids).await?.into_iter();
        let absent: Vec<String> = found.filter(|(_, file)| file.is_none()).map(|(id, _)| id).collect();
        if absent.is_empty() { Ok(()) } else { self.forget(absent).await }
    }

    /// The files of images, where there are any.
    async fn look_for(&self, ids: Vec<String>) -> Result<Vec<(String, Option<OnDisk>)>, Error> {
        let layout = self.layout.clone();
        let found = blocking(move || {
            ids.into_iter()
                .map(|id| {
                    let file = layout.find(&id)?;
                    Ok((id, file))
                })
                .collect()
        });
        Ok(found.await?)
    }
}

#[cfg(test)]
mod tests;
