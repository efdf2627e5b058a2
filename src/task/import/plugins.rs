//! The steps between fetching the data and storing it (`[image_import_opts] image_import_plugins`, in its order).

use tracing::debug;

use crate::config::Config;
use crate::image::Plan;

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plugin {
    /// Says that it was there.
    NoOp,
}

/// The plugins of a configuration.
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
        let plugin = |name: &String| match name.as_str() {
            "no_op" => Ok(Plugin::NoOp),
            _ => Err(UnknownPlugin(name.clone())),
        };
        let plugins: Result<Vec<Plugin>, UnknownPlugin> =
            config.image_import_opts.image_import_plugins.iter().map(plugin).collect();
        Ok(Self(plugins?))
    }

    /// Runs the plugins that need no more than the image's record, before any data is read.
    pub(super) fn run(&self, plan: &Plan) {
        for plugin in &self.0 {
            match plugin {
                Plugin::NoOp => debug!(image_id = plan.image.id, task_id = plan.task_id, "no_op plugin executed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_is_not_there_ends_the_start() {
        let mut config = Config::default();
        assert!(Plugins::new(&config).unwrap().0.is_empty());
        config.image_import_opts.image_import_plugins = vec!["no_op".to_owned(), "no_op".to_owned()];
        assert_eq!(Plugins::new(&config).unwrap().0, [Plugin::NoOp, Plugin::NoOp]);
        config.image_import_opts.image_import_plugins.push("virus_scan".to_owned());
        assert!(Plugins::new(&config).unwrap_err().to_string().contains("virus_scan"));
    }
}
