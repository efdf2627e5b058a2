//! What plugins are given, and what they say.

use std::path::PathBuf;

/// Staged data, and what of its image plugins look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::task::import) struct Staged {
    /// The file; a plugin may put another in its place, whose name begins with that of the first.
    pub(crate) path: PathBuf,
    pub(crate) disk_format: Option<String>,
    pub(crate) container_format: Option<String>,
}

/// What a plugin says of the image. `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::task::import) struct Findings {
    /// Where the data is now.
    pub(crate) path: Option<PathBuf>,
    /// Bytes of the data.
    pub(crate) size: Option<u64>,
    /// Bytes of the disk inside.
    pub(crate) virtual_size: Option<u64>,
    pub(crate) disk_format: Option<String>,
    pub(crate) container_format: Option<String>,
    /// Custom properties to be set.
    pub(crate) properties: Vec<(String, String)>,
}

/// A plugin could not do its work; the import fails, and whatever the plugin wrote beside the staged file is gone.
#[derive(Debug, thiserror::Error)]
pub(in crate::task) enum PluginError {
    /// The data is not what it should be, or dangerous.
    #[error("{0}")]
    Refused(String),
    /// More would come out of the data than may.
    #[error("The decompressed image is larger than the {most} bytes that are allowed for {compressed} compressed ones")]
    TooLarge { compressed: u64, most: u64 },
    /// A helper program could not be run, failed, or was killed at one of its limits.
    #[error("{0}")]
    Program(String),
    #[error("{doing}: {source}")]
    Io { doing: String, source: std::io::Error },
    /// The image went while the work was done.
    #[error("the image has been deleted")]
    Unwanted,
    /// Nobody waits for the outcome any more.
    #[error("the work was interrupted")]
    Interrupted,
}

impl PluginError {
    pub(in crate::task) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }
}

/// From 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::task) struct Percent(pub(in crate::task) u8);

impl Findings {
    /// What a later plugin says counts.
    pub(in crate::task::import) fn add(&mut self, later: Self) {
        let Self { path, size, virtual_size, disk_format, container_format, properties } = later;
        self.path = path.or_else(|| self.path.take());
        self.size = size.or(self.size);
        self.virtual_size = virtual_size.or(self.virtual_size);
        self.disk_format = disk_format.or_else(|| self.disk_format.take());
        self.container_format = container_format.or_else(|| self.container_format.take());
        self.properties.extend(properties);
    }
}
