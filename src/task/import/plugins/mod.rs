//! What may be done to staged data on its way into the stores (upstream: `glance/async_/flows/plugins/`).
//!
//! An import runs the plugins of `image_import_plugins` in their order. Each gets the staged file and tells what has become of it
//! and of the image; the import writes that down before it goes on.

mod convert;
mod decompress;
mod interrupt;
mod qemu_img;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::debug;

use super::progress::Progress;
use crate::config::Config;
use convert::Conversion;
use decompress::Decompression;
use interrupt::{Interrupt, InterruptOnDrop};

/// Staged data, and what of its image plugins look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::task) struct Staged {
    /// The file; a plugin may put another in its place, whose name begins with that of the first.
    pub(crate) path: PathBuf,
    pub(crate) disk_format: Option<String>,
    pub(crate) container_format: Option<String>,
}

/// What a plugin says of the image. `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::task) struct Findings {
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
    /// Nobody waits for the outcome any more.
    #[error("the work was interrupted")]
    Interrupted,
}

impl PluginError {
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }
}

/// Is told how far a plugin has come.
type Tell = Arc<dyn Fn(Percent) + Send + Sync>;

/// From 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Percent(u8);

/// One of them, with its options.
#[derive(Clone, Debug)]
enum Plugin {
    NoOp,
    InjectMetadata(Arc<Injection>),
    Decompress(Arc<Decompression>),
    Convert(Arc<Conversion>),
}

/// Custom properties that every imported image gets (`[inject_metadata_properties]`).
#[derive(Debug)]
struct Injection {
    properties: Vec<(String, String)>,
    /// Callers with one of these roles get none.
    spared: Vec<String>,
}

/// The plugins of a configuration, in its order.
#[derive(Clone, Debug, Default)]
pub struct Plugins(Vec<Plugin>);

/// A plugin that the configuration names and that does not exist.
#[derive(Debug, thiserror::Error)]
#[error(
    "[image_import_opts] image_import_plugins names {0}, which this version does not have; remove it, or images would be stored \
     without what it does"
)]
pub struct UnknownPlugin(String);

impl Plugins {
    /// # Errors
    /// [`UnknownPlugin`]
    pub fn new(config: &Config) -> Result<Self, UnknownPlugin> {
        let names = config.image_import_opts.image_import_plugins.iter();
        let plugins = names.map(|name| Plugin::named(name, config).ok_or_else(|| UnknownPlugin(name.clone())));
        Ok(Self(plugins.collect::<Result<_, _>>()?))
    }

    /// Whether one of them works on the data, so that all of it must be in a file first.
    pub(super) fn need_file(&self) -> bool {
        self.0.iter().any(Plugin::needs_file)
    }

    /// Runs them. `staged` is where the data is at each time, also when they fail; `roles`: the caller's.
    ///
    /// # Errors
    /// Why the image cannot be imported.
    pub(super) async fn run(
        &self,
        staged: &mut Staged,
        roles: &[String],
        progress: &Progress,
    ) -> Result<Findings, PluginError> {
        let mut all = Findings::default();
        for plugin in &self.0 {
            debug!(plugin = plugin.name(), "an import plugin runs");
            let counted = progress.clone();
            let tell: Tell = Arc::new(move |Percent(percent)| counted.converted(percent));
            let found = plugin.apply(staged, roles, tell).await?;
            if let Some(path) = &found.path {
                staged.path.clone_from(path);
            }
            for (field, found) in
                [(&mut staged.disk_format, &found.disk_format), (&mut staged.container_format, &found.container_format)]
            {
                if found.is_some() {
                    field.clone_from(found);
                }
            }
            all.add(found);
        }
        Ok(all)
    }
}

impl Findings {
    /// What a later plugin says counts.
    fn add(&mut self, later: Self) {
        let Self { path, size, virtual_size, disk_format, container_format, properties } = later;
        self.path = path.or_else(|| self.path.take());
        self.size = size.or(self.size);
        self.virtual_size = virtual_size.or(self.virtual_size);
        self.disk_format = disk_format.or_else(|| self.disk_format.take());
        self.container_format = container_format.or_else(|| self.container_format.take());
        self.properties.extend(properties);
    }
}

impl Plugin {
    fn named(name: &str, config: &Config) -> Option<Self> {
        match name {
            "no_op" => Some(Self::NoOp),
            "inject_image_metadata" => {
                let section = &config.inject_metadata_properties;
                let (properties, spared) = (section.inject.clone(), section.ignore_user_roles.clone());
                Some(Self::InjectMetadata(Arc::new(Injection { properties, spared })))
            }
            "image_decompression" => Some(Self::Decompress(Arc::new(Decompression::new(config)))),
            "image_conversion" => Some(Self::Convert(Arc::new(Conversion::new(config)))),
            _ => None,
        }
    }

    /// Its name in the configuration.
    fn name(&self) -> &'static str {
        match self {
            Self::NoOp => "no_op",
            Self::InjectMetadata(_) => "inject_image_metadata",
            Self::Decompress(_) => "image_decompression",
            Self::Convert(_) => "image_conversion",
        }
    }

    /// Whether it works on the data, so that all of it must be in a file first.
    fn needs_file(&self) -> bool {
        matches!(self, Self::Decompress(_) | Self::Convert(_))
    }

    /// Does its work. `roles`: the caller's. When the future is dropped, the work ends soon and leaves nothing beside the staged file.
    ///
    /// # Errors
    /// Why the image cannot be imported.
    async fn apply(&self, staged: &Staged, roles: &[String], tell: Tell) -> Result<Findings, PluginError> {
        match self {
            Self::NoOp => Ok(Findings::default()),
            Self::InjectMetadata(injection) => {
                Ok(Findings { properties: injection.of(roles).to_vec(), ..Findings::default() })
            }
            Self::Decompress(decompression) => {
                let (work, staged) = (Arc::clone(decompression), staged.clone());
                aside(move |interrupt| work.run(&staged, interrupt)).await
            }
            Self::Convert(conversion) => {
                let (work, staged) = (Arc::clone(conversion), staged.clone());
                aside(move |interrupt| work.run(&staged, interrupt, &*tell)).await
            }
        }
    }
}

impl Injection {
    fn of(&self, roles: &[String]) -> &[(String, String)] {
        let is_spared = roles.iter().any(|role| self.spared.contains(role));
        if is_spared { &[] } else { &self.properties }
    }
}

/// Runs what blocks on a thread of its own, and tells it when nobody waits any more.
async fn aside<T: Send + 'static>(
    work: impl FnOnce(&Interrupt) -> Result<T, PluginError> + Send + 'static,
) -> Result<T, PluginError> {
    let interrupt = Interrupt::default();
    let _on_drop = InterruptOnDrop(interrupt.clone());
    let done = spawn_blocking(move || work(&interrupt)).await;
    done.map_err(|error| match error.is_panic() {
        // A parser met what its author did not expect.
        true => PluginError::Refused("The image cannot be read".to_owned()),
        false => PluginError::Interrupted,
    })?
}

#[cfg(test)]
mod tests;
