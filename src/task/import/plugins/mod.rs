//! What may be done to staged data on its way into the stores (upstream: `glance/async_/flows/plugins/`).
//!
//! An import runs the plugins of `image_import_plugins` in their order. Each gets the staged file and tells what has become of it
//! and of the image; the import writes that down before it goes on.

mod convert;
mod decompress;
mod interrupt;
mod outcome;
mod qemu_img;
mod watched;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::{debug, warn};

use super::progress::Progress;
use crate::config::Config;
use crate::image::RESERVED_NAMESPACE;
use crate::store::run_in_background;
pub(in crate::task) use convert::Conversion;
pub(in crate::task) use decompress::Decompression;
pub(in crate::task) use interrupt::Interrupt;
use interrupt::InterruptOnDrop;
pub(in crate::task::import) use outcome::{Findings, Staged};
pub(in crate::task) use outcome::{Percent, PluginError};
pub(in crate::task) use watched::Watched;

/// One of them, with its options.
#[derive(Clone, Debug)]
pub(super) enum Plugin {
    NoOp,
    InjectMetadata(Arc<Injection>),
    Decompress(Arc<Decompression>),
    Convert(Arc<Conversion>),
}

/// Custom properties that every imported image gets (`[inject_metadata_properties]`).
#[derive(Debug)]
pub(super) struct Injection {
    properties: Vec<(String, String)>,
    /// Callers with one of these roles get none.
    spared: Vec<String>,
}

/// The plugins of a configuration, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plugins(Vec<Plugin>);

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
    pub(crate) fn new(config: &Config) -> Result<Self, UnknownPlugin> {
        let names = config.image_import_opts.image_import_plugins.iter();
        let plugins = names.map(|name| Plugin::named(name, config).ok_or_else(|| UnknownPlugin(name.clone())));
        Ok(Self(plugins.collect::<Result<_, _>>()?))
    }

    /// Whether one of them works on the data, so that all of it must be in a file first.
    pub(super) fn need_file(&self) -> bool {
        self.0.iter().any(Plugin::needs_file)
    }

    /// Whether one of them gives the data another format where need be.
    pub(super) fn convert(&self) -> bool {
        self.0.iter().any(|plugin| matches!(plugin, Plugin::Convert(_)))
    }

    /// In their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Plugin> {
        self.0.iter()
    }
}

impl Plugin {
    /// Runs it. `staged` is where the data is then, also when it fails; `roles`: the caller's.
    ///
    /// # Errors
    /// Why the image cannot be imported.
    pub(super) async fn run(
        &self,
        staged: &mut Staged,
        roles: &[String],
        progress: &Progress,
    ) -> Result<Findings, PluginError> {
        debug!(plugin = self.name(), "an import plugin runs");
        let found = self.apply(staged, roles, progress).await?;
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
        Ok(found)
    }

    fn named(name: &str, config: &Config) -> Option<Self> {
        match name {
            "no_op" => Some(Self::NoOp),
            "inject_image_metadata" => Some(Self::InjectMetadata(Arc::new(Injection::new(config)))),
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

    /// Does its work. `roles`: the caller's. When the future is dropped, the work ends soon and leaves nothing beside the staged file;
    /// the threads of `progress` tell when.
    ///
    /// # Errors
    /// Why the image cannot be imported.
    async fn apply(&self, staged: &Staged, roles: &[String], progress: &Progress) -> Result<Findings, PluginError> {
        match self {
            Self::NoOp => Ok(Findings::default()),
            Self::InjectMetadata(injection) => {
                Ok(Findings { properties: injection.of(roles).to_vec(), ..Findings::default() })
            }
            Self::Decompress(decompression) => {
                let (work, staged) = (Arc::clone(decompression), staged.clone());
                aside(progress, move |interrupt| work.run(&staged, interrupt)).await
            }
            Self::Convert(conversion) => {
                let (work, staged) = (Arc::clone(conversion), staged.clone());
                let told = progress.clone();
                let tell = move |Percent(percent)| told.converted(percent);
                aside(progress, move |interrupt| work.run(&staged, interrupt, &tell)).await
            }
        }
    }
}

impl Injection {
    /// Names that are the service's own are left out, as upstream does it: one of them would lock the image, or say who has its data.
    fn new(config: &Config) -> Self {
        let section = &config.inject_metadata_properties;
        let is_free = |(name, _): &&(String, String)| {
            let is_free = !name.starts_with(RESERVED_NAMESPACE);
            if !is_free {
                warn!(name, "inject_image_metadata gives images no property of the service's own");
            }
            is_free
        };
        let properties = section.inject.iter().filter(is_free).cloned().collect();
        Self { properties, spared: section.ignore_user_roles.clone() }
    }

    fn of(&self, roles: &[String]) -> &[(String, String)] {
        let is_spared = roles.iter().any(|role| self.spared.contains(role));
        if is_spared { &[] } else { &self.properties }
    }
}

/// Runs what blocks on a thread of its own, and tells it when nobody waits any more, or `progress` is given up. The thread gives way to
/// those of requests, and so do the programs that it starts. `progress` knows of the thread until it has ended, and is told that it goes
/// on.
pub(in crate::task) async fn aside<T: Send + 'static>(
    progress: &Progress,
    work: impl FnOnce(&Interrupt) -> Result<T, PluginError> + Send + 'static,
) -> Result<T, PluginError> {
    let interrupt = Interrupt::of(progress);
    let _on_drop = InterruptOnDrop(interrupt.clone());
    let working = progress.threads().token();
    let done = run_in_background(move || {
        let done = catch_unwind(AssertUnwindSafe(|| work(&interrupt)));
        drop(working);
        done
    });
    match done.await {
        Some(Ok(outcome)) => outcome,
        // A parser met what its author did not expect.
        Some(Err(_)) => Err(PluginError::Refused("The image cannot be read".to_owned())),
        None => Err(PluginError::Interrupted),
    }
}

#[cfg(test)]
mod tests;
