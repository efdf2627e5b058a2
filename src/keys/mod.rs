//! The key manager, which has the keys of encrypted images (upstream: castellan, as Glance uses it).
//!
//! A block device service that makes an image of an encrypted volume gives the image a key of its own. Its id is a property of the
//! image, and another property says that the key is to go with the image.

mod barbican;
mod error;
mod options;

use std::time::Duration;

use tokio::time::timeout;

use self::barbican::Barbican;
use self::error::KeyError;
use self::options::Origin;
use crate::config::Config;
use crate::identity::Context;
use crate::keystone::KeystoneError;

/// So much of a key's id is logged: users write it, and it may be any text.
const SHOWN: usize = 200;

/// Asks the key manager on behalf of callers.
#[derive(Debug)]
pub(crate) struct KeyManager {
    keeper: Keeper,
    patience: Duration,
    made_from: Origin,
}

/// Who has the keys.
#[derive(Debug)]
enum Keeper {
    Barbican(Box<Barbican>),
    /// Somebody of whom this version knows nothing but the name.
    Unknown(String),
}

impl KeyManager {
    /// Makes no request yet, but reads the file of `verify_ssl_path`.
    ///
    /// # Errors
    /// `[barbican]` holds what is no URL or a file that cannot be used, or asks for a service user of whom `[barbican_service_user]`
    /// does not say enough.
    pub(crate) fn new(config: &Config) -> Result<Self, KeystoneError> {
        // Before the client reads the file: a change in between is then one to the next reload.
        let made_from = Origin::read(config);
        let keeper = if config.key_manager.is_barbican() {
            Keeper::Barbican(Box::new(Barbican::new(config)?))
        } else {
            Keeper::Unknown(config.key_manager.backend.clone())
        };
        Ok(Self { keeper, patience: options::patience(&config.barbican), made_from })
    }

    /// Whether one made from these options would be the same, so that this one, with its login and connections, can go on. Looks at
    /// the files that TLS depends on, so it blocks.
    pub(crate) fn is_made_from(&self, config: &Config) -> bool {
        self.made_from == Origin::read(config)
    }

    /// Deletes the key of an image that its caller has deleted, or gives up after some seconds. A failure is in the log alone, in
    /// upstream's words: the image is gone.
    pub(crate) async fn delete_with_image(&self, caller: &Context, image_id: &str, key: &str) {
        let deleted = self.delete(caller, key).await;
        let key: String = key.chars().take(SHOWN).collect();
        match deleted {
            Ok(()) => tracing::debug!(image_id, "encryption key {key} deleted"),
            Err(error) if error.is_missing() => tracing::warn!(image_id, "Could not find encryption key {key}"),
            Err(error) => tracing::warn!(image_id, %error, "Failed to delete cinder encryption key {key}"),
        }
    }

    async fn delete(&self, caller: &Context, key: &str) -> Result<(), KeyError> {
        match &self.keeper {
            Keeper::Barbican(barbican) => {
                let deleting = timeout(self.patience, Box::pin(barbican.delete(caller, key)));
                deleting.await.unwrap_or(Err(KeyError::Late(self.patience)))
            }
            Keeper::Unknown(name) => Err(KeyError::Unsupported(name.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
