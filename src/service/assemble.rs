//! From a configuration to the application that serves by it.

use std::sync::Arc;

use crate::config::Config;
use crate::http::App;

/// An application, and what the listener has to know about it.
pub struct Assembled {
    pub app: Arc<App>,
    /// Whether callers have to show who they are; without, every caller is an administrator.
    pub authenticated: bool,
}

/// Why the parts do not come together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Configuration(String),
    /// Something that the service depends on does not answer.
    #[error("{0}")]
    Unavailable(String),
}

impl AssembleError {
    /// Exit status of a start that fails so, as in sysexits.h.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Configuration(_) => 78,
            Self::Unavailable(_) => 69,
        }
    }
}

/// Puts the application together. `previous`: the one in force, on a reload, for what is worth keeping (pools, caches).
///
/// # Errors
/// What is wrong with the configuration or missing; the previous application is untouched then.
pub async fn assemble(config: &Config, _previous: Option<&Arc<App>>) -> Result<Assembled, AssembleError> {
    let flavor = config.paste_deploy.flavor.as_deref().unwrap_or_default();
    let authenticated = flavor.split('+').any(|part| part == "keystone");
    Ok(Assembled { app: Arc::new(App {}), authenticated })
}
