//! The options of this room, in the types in which it works with them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, DefaultSection};

/// More than this in one timeout means for ever; `Instant` must be able to add it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Options that contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(&'static str);

/// Everything that the worker itself, rather than the application, is told by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) listen: Listen,
    pub(super) limits: Limits,
    pub(super) tls: Option<TlsFiles>,
    /// How long requests in flight may take to finish at a stop; `None`: for ever.
    pub(super) grace: Option<Duration>,
    /// Connections served at once.
    pub(super) max_connections: usize,
    /// Listen beyond this host although every caller is an administrator.
    pub(super) allow_unauthenticated: bool,
    /// `workers`; `None`: as many as there are CPUs.
    pub(super) workers: Option<usize>,
}

/// Where to listen if no socket is inherited, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    pub(super) address: ListenAddress,
    pub(super) backlog: i32,
    /// Idle time before the first keep-alive probe.
    pub(super) keepidle: Duration,
}

/// An address as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListenAddress {
    /// A name or address, empty for all, and a port.
    Tcp(String, u16),
    Unix(PathBuf),
}

/// What one client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of the request line or of one header line; 0: bounded by the whole head alone.
    pub(super) max_header_line: usize,
    /// How long a connection may move no byte; `None`: for ever.
    pub(super) idle: Option<Duration>,
    /// How long a TLS handshake may take.
    pub(super) handshake: Duration,
    /// More than one request on a connection.
    pub(super) keepalive: bool,
    /// Send regions of files without copying them.
    pub(super) sendfile: bool,
}

impl Limits {
    /// Bytes that hyper may hold of a request's head or queue of a response: the chunk that copied image data come in,
    /// or several of the longest header lines.
    pub(super) fn buffer(&self) -> usize {
        self.max_header_line.saturating_mul(4).clamp(256 * 1024, 16 * 1024 * 1024)
    }
}

/// The files that make TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Set: clients must show a certificate that this authority signed.
    pub(super) authority: Option<PathBuf>,
}

impl Settings {
    /// # Errors
    /// Options that contradict each other.
    pub(super) fn new(config: &Config) -> Result<Self, SettingsError> {
        let (default, service) = (&config.default, &config.service);
        let address = match &service.listen_unix {
            Some(path) => ListenAddress::Unix(PathBuf::from(path)),
            None => ListenAddress::Tcp(default.bind_host.clone(), default.bind_port),
        };
        Ok(Self {
            listen: Listen {
                address,
                backlog: i32::try_from(default.backlog).unwrap_or(i32::MAX).max(1),
                keepidle: seconds(default.tcp_keepidle.clamp(1, DefaultSection::LONGEST_KEEPIDLE)),
            },
            limits: Limits {
                max_header_line: usize::try_from(default.max_header_line).unwrap_or(0),
                idle: seconds_or_ever(default.client_socket_timeout),
                handshake: seconds(service.tls_handshake_timeout).max(Duration::from_secs(1)),
                keepalive: default.http_keepalive,
                sendfile: service.enable_sendfile,
            },
            tls: tls_files(config)?,
            grace: seconds_or_ever(service.graceful_shutdown_timeout),
            max_connections: usize::try_from(service.max_connections).unwrap_or(0).max(1),
            allow_unauthenticated: service.allow_unauthenticated_listen,
            workers: default.workers.map(|count| usize::try_from(count).unwrap_or(0)),
        })
    }
}

fn tls_files(config: &Config) -> Result<Option<TlsFiles>, SettingsError> {
    let default = &config.default;
    match (&default.cert_file, &default.key_file) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
            authority: default.ca_file.as_ref().map(PathBuf::from),
        })),
        (None, None) if default.ca_file.is_some() => Err(SettingsError(
            "[DEFAULT] ca_file asks for client certificates, which needs TLS: set cert_file and key_file too",
        )),
        (None, None) => Ok(None),
        _ => Err(SettingsError(
            "When running server in SSL mode, you must specify both a cert_file and key_file option value in your \
             configuration file",
        )),
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0)).min(LONGEST)
}

fn seconds_or_ever(count: i64) -> Option<Duration> {
    Some(seconds(count)).filter(|limit| !limit.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_standalone_server() {
        let settings = Settings::new(&Config::default()).unwrap();
        assert_eq!(settings.listen.address, ListenAddress::Tcp("0.0.0.0".to_owned(), 9292));
        assert_eq!((settings.listen.backlog, settings.listen.keepidle), (4096, Duration::from_secs(600)));
        assert_eq!(settings.limits.max_header_line, 16384);
        assert_eq!(settings.limits.idle, Some(Duration::from_secs(900)));
        assert_eq!((settings.max_connections, settings.workers), (1000, None));
        assert_eq!(settings.tls, None);
    }

    #[test]
    fn the_kernel_limits_the_idle_time() {
        for (given, expected) in [(0, 1), (600, 600), (32_767, 32_767), (32_768, 32_767), (i64::MAX, 32_767)] {
            let mut config = Config::default();
            config.default.tcp_keepidle = given;
            assert_eq!(Settings::new(&config).unwrap().listen.keepidle, Duration::from_secs(expected), "{given}");
        }
    }

    #[test]
    fn zero_is_for_ever_and_too_much_does_not_overflow() {
        assert_eq!(seconds_or_ever(0), None);
        assert_eq!(seconds_or_ever(-1), None);
        assert_eq!(seconds_or_ever(i64::MAX), Some(LONGEST));
        assert_eq!(seconds_or_ever(7), Some(Duration::from_secs(7)));
    }

    #[test]
    fn half_a_key_pair_is_an_error() {
        for (certificate, key, authority, fine) in [
            (Some("c"), Some("k"), None, true),
            (Some("c"), Some("k"), Some("a"), true),
            (Some("c"), None, None, false),
            (None, Some("k"), None, false),
            (None, None, Some("a"), false),
            (None, None, None, true),
        ] {
            let mut config = Config::default();
            config.default.cert_file = certificate.map(str::to_owned);
            config.default.key_file = key.map(str::to_owned);
            config.default.ca_file = authority.map(str::to_owned);
            assert_eq!(Settings::new(&config).is_ok(), fine, "{certificate:?} {key:?} {authority:?}");
        }
    }
}
