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

/// The showable form of a secret text: see [`Secret::masked`].
pub(super) fn masked(text: &str) -> String {
    if text.contains("://") { mask_url(text) } else { MASK.to_owned() }
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
        None => text.to_owned(),
    };
    match shown.split_once('?') {
        Some((head, _)) => format!("{head}?{MASK}"),
        None => shown,
    }
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
        ];
        for (text, shown) in cases {
            assert_eq!(Secret::from(text).masked(), shown, "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Secret::from("mysql://u:p@h/"))), "Some(****)");
    }
}
