//! How the digests of told locations are computed.

use crate::config::Config;

/// Whatever `http_retries` says.
const MOST_ATTEMPTS: i64 = 100;

/// What the configuration says of digests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashing {
    /// `do_secure_hash`
    pub(super) is_secure: bool,
    /// `http_retries`
    pub(super) attempts: u32,
}

impl Hashing {
    pub(super) fn new(config: &Config) -> Self {
        let attempts = u32::try_from(config.default.http_retries.clamp(1, MOST_ATTEMPTS)).unwrap_or(1);
        Self { is_secure: config.default.do_secure_hash, attempts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_at_least_once() {
        let attempts = |retries| {
            let mut config = Config::default();
            config.default.http_retries = retries;
            Hashing::new(&config).attempts
        };
        assert_eq!([-1, 0, 1, 3, 1 << 40].map(attempts), [1, 1, 1, 3, 100]);
        assert!(Hashing::new(&Config::default()).is_secure);
    }
}
