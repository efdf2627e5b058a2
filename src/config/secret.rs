//! Values that must never be seen, and the masking of those that may be seen in part.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a secret.
pub(super) const MASK: &str = "****";

/// A value that must not appear in a log, an error or a dump of the options.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself; call it only where it is used.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What may be shown: a URL keeps its scheme, host and path, anything else is hidden whole.
    pub fn masked(&self) -> String {
        masked(self.expose())
    }
}

/// Tells a changed option from an unchanged one; not for credentials that a client shows, as it takes less time the earlier the
/// texts differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Schemes of the URLs that secret options hold: databases and message buses. A password that happens to look like some
/// other URL stays hidden.
const SCHEMES: [&str; 10] =
    ["amqp", "fake", "kafka", "kombu", "mysql", "postgresql", "rabbit", "redis", "rediss", "sqlite"];

/// The showable form of a secret text: see [`Secret::masked`].
pub(super) fn masked(text: &str) -> String {
    let scheme = text.split_once("://").and_then(|(scheme, _)| scheme.split('+').next());
    if scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) { mask_url(text) } else { MASK.to_owned() }
}

/// Hides user information and the query of a URL; any other text is returned as it is.
///
/// Passwords in configuration files are often not percent-encoded, so everything between `://` and the *last* `@` counts
/// as user information, whatever slashes, colons or further hosts it contains: rather too little is shown than too much.
pub(super) fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let shown = match rest.rsplit_once('@') {
        Some((information, after)) => match information.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:{MASK}@{after}"),
            None => format!("{scheme}://{MASK}@{after}"),
        },
        // `user:password` without a host is a slip that must not show either.
        None if rest.split('/').next().is_some_and(|hosts| hosts.split(',').any(has_no_port)) => {
            format!("{scheme}://{MASK}")
        }
        None => text.to_owned(),
    };
    match shown.split_once('?') {
        Some((head, _)) => format!("{head}?{MASK}"),
        None => shown,
    }
}

/// As [`mask_url`], for pairs of a key and a URL that may lack its scheme: from the first key to the last `@` all may be part of
/// a password, even a comma.
pub(super) fn mask_pairs(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((information, after)) => match information.split_once(':') {
            Some((key, _)) => format!("{key}:{MASK}@{after}"),
            None => format!("{MASK}@{after}"),
        },
        None => mask_url(text),
    }
}

/// Whether what stands behind the colon of `host:port` is no port.
fn has_no_port(host: &str) -> bool {
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    let port = behind.split('?').next().and_then(|host| host.split_once(':')).map(|(_, port)| port);
    port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_password_is_shown() {
        let cases = [
            ("hunter2", "****"),
            ("mysql+pymysql://glance:p4ss@db/glance", "mysql+pymysql://glance:****@db/glance"),
            ("mysql://glance:p@/4:ss@db/glance", "mysql://glance:****@db/glance"),
            ("rabbit://a:one@h1:5672,b:two@h2:5672/v", "rabbit://a:****@h2:5672/v"),
            ("rabbit://", "rabbit://"),
            ("redis://t0ken@host/1", "redis://****@host/1"),
            ("sqlite:////var/lib/glance/glance.db", "sqlite:////var/lib/glance/glance.db"),
            ("postgresql://db/glance?password=p4ss", "postgresql://db/glance?****"),
            ("mysql://u:p@db/g?x=a@b", "mysql://u:****@b"),
            ("mysql://glance:p4ss/glance", "mysql://****"),
            ("mysql://[::1]:3306/glance", "mysql://[::1]:3306/glance"),
            ("kafka://h1:9092,h2:9092/", "kafka://h1:9092,h2:9092/"),
            ("pass://word", "****"),
        ];
        for (text, shown) in cases {
            assert_eq!(Secret::from(text).masked(), shown, "{text}");
        }
    }

    #[test]
    fn nor_of_one_in_a_pair() {
        let cases = [
            ("", ""),
            ("http:proxy:3128,https:http://proxy:3129", "http:proxy:3128,https:http://proxy:3129"),
            ("http:u:p4ss@proxy:3128", "http:****@proxy:3128"),
            ("http:http://u:p4ss@proxy", "http:****@proxy"),
            ("http:u:p4ss@one:1,https:http://u:p4,ss@two:2", "http:****@two:2"),
            ("https:one:1,http:p4ss@two:2", "https:****@two:2"),
            ("p4ss@proxy", "****@proxy"),
        ];
        for (text, shown) in cases {
            assert_eq!(mask_pairs(text), shown, "{text}");
        }
    }

    #[test]
    fn a_section_is_another_when_a_secret_is() {
        use crate::config::DatabaseSection;
        let section = |url: &str| DatabaseSection { connection: Some(url.into()), ..DatabaseSection::default() };
        assert_eq!(section("mysql://u:one@h/d"), section("mysql://u:one@h/d"));
        assert_ne!(section("mysql://u:one@h/d"), section("mysql://u:two@h/d"));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Secret::from("mysql://u:p@h/"))), "Some(****)");
    }
}
