//! The driver `xattr`: hits are an attribute of the file, the last access is its access time.

use std::fs::{File, FileTimes, OpenOptions};
use std::io;
use std::path::Path;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr, getxattr};
use rustix::io::Errno;
use time::OffsetDateTime;

use super::{Entry, Index, IndexError};
use crate::cache::blocking::blocking;
use crate::cache::layout::{Layout, OnDisk};

const HITS: &str = "user.hits";

/// Longer than any number.
const LONGEST: usize = 32;

pub(in crate::cache) struct XattrIndex {
    layout: Layout,
}

impl XattrIndex {
    /// `None`: the file system keeps no attributes, as far as that shows where it may be read only for now.
    ///
    /// # Errors
    /// Those of the file system.
    pub(in crate::cache) async fn open(layout: Layout) -> Result<Option<Self>, IndexError> {
        let is_able = blocking(move || match getxattr(layout.base(), HITS, &mut [0_u8; LONGEST]) {
            // A folder that could not be made yet is missing.
            Ok(_) | Err(Errno::NODATA | Errno::NOENT) => Ok(Some(layout)),
            Err(Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error.into()),
        });
        Ok(is_able.await?.map(|layout| Self { layout }))
    }
}

impl Index for XattrIndex {
    fn mark(&self, file: &File) -> io::Result<()> {
        set_hits(file, 0)
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Entry>, IndexError>> {
        let layout = self.layout.clone();
        async move {
            Ok(blocking(move || {
                let files = layout.images()?;
                Ok(files.into_iter().map(|file| entry(&layout, file)).collect())
            })
            .await?)
        }
        .boxed()
    }

    fn least_recently_accessed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, IndexError>> {
        let layout = self.layout.clone();
        async move {
            Ok(blocking(move || {
                let mut files = layout.images()?;
                files.sort_by(|a, b| (a.accessed, &a.image_id).cmp(&(b.accessed, &b.image_id)));
                Ok(files.into_iter().take(limit as usize).map(|file| file.image_id).collect())
            })
            .await?)
        }
        .boxed()
    }

    fn insert(&self, entry: Entry) -> BoxFuture<'_, Result<(), IndexError>> {
        self.insert_unknown(vec![entry])
    }

    fn insert_unknown(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), IndexError>> {
        let layout = self.layout.clone();
        async move {
            Ok(blocking(move || {
                for entry in entries {
                    let Some(file) = open(&layout.image(&entry.image_id))? else { continue };
                    set_hits(&file, entry.hits.max(hits(&file)))?;
                }
                Ok(())
            })
            .await?)
        }
        .boxed()
    }

    fn count<'a>(&'a self, id: &'a str, hits: u64, at: OffsetDateTime) -> BoxFuture<'a, Result<(), IndexError>> {
        let path = self.layout.image(id);
        async move {
            Ok(blocking(move || {
                let Some(file) = open(&path)? else { return Ok(()) };
                set_hits(&file, self::hits(&file).saturating_add(hits))?;
                // Many file systems keep the access time coarsely or not at all.
                file.set_times(FileTimes::new().set_accessed(at.into()))
            })
            .await?)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, _ids: &'a [String]) -> BoxFuture<'a, Result<(), IndexError>> {
        // It went with the file.
        async { Ok(()) }.boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), IndexError>> {
        async { Ok(()) }.boxed()
    }
}

fn entry(layout: &Layout, file: OnDisk) -> Entry {
    let hits = open(&layout.image(&file.image_id)).ok().flatten().map_or(0, |file| hits(&file));
    // Upstream tells whole seconds.
    let second = |time: std::time::SystemTime| {
        let time = OffsetDateTime::from(time);
        time.replace_nanosecond(0).unwrap_or(time)
    };
    let mut entry = Entry::new(&file.image_id, file.size, second(file.modified));
    (entry.hits, entry.last_accessed) = (hits, second(file.accessed));
    entry
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// 0 where nothing legible is written.
fn hits(file: &File) -> u64 {
    let mut text = [0_u8; LONGEST];
    let length = fgetxattr(file, HITS, &mut text).unwrap_or(0);
    text.get(..length).and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_hits(file: &File, hits: u64) -> io::Result<()> {
    match fsetxattr(file, HITS, hits.to_string().as_bytes(), XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
        other => Ok(other?),
    }
}
