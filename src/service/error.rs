//! Why a worker cannot start, or a reload cannot take effect, in words for the operator.

use std::io;

use super::listener::{Address, ListenError};
use super::logging::LogError;
use super::parts::AssembleError;
use super::settings::SettingsError;
use super::tls::TlsError;

/// Everything that stops a start or a reload.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that do not go together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// None of the addresses of `bind_host` is one of this host.
    #[error("[DEFAULT] bind_host: this host has none of its addresses")]
    NoAddress,
    /// Everyone would be admin for everyone.
    #[error(
        "refusing to listen on {0} without authentication, where every caller is an administrator: set [paste_deploy] \
         flavor = keystone with a [keystone_authtoken] section, or bind_host = 127.0.0.1, or [service] listen_unix, or, \
         if this is really meant, [service] allow_unauthenticated_listen = true"
    )]
    Unauthenticated(Address),
    /// Certificate, key or certificate authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No socket to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A place for the log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The application.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The configuration as it is read again.
    #[error("{0}")]
    Configuration(Box<dyn std::error::Error + Send + Sync>),
    /// What the operating system refused at the start.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    /// A step of a reload ended in a panic.
    #[error("internal error while the configuration was read")]
    Panicked,
}

impl Error {
    /// Exit status as in sysexits.h: 69 unavailable, 70 internal, 78 configuration. A service manager should not
    /// try again after 78.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Settings(_)
            | Self::NoAddress
            | Self::Unauthenticated(_)
            | Self::Tls(_)
            | Self::Log(_)
            | Self::Configuration(_) => 78,
            Self::Listen(error) if error.is_configuration() => 78,
            Self::Listen(_) => 69,
            Self::Assemble(error) => error.exit_status(),
            Self::Runtime(_) | Self::Panicked => 70,
        }
    }

    /// Whether somebody has to change the configuration.
    pub(super) fn is_configuration(&self) -> bool {
        self.exit_status() == 78
    }
}
