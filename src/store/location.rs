//! Where data lies, as a URL.

use std::fmt;

use super::StoreError;

/// A location's URL as it stands in the database, with its scheme known. May hold credentials: `Debug` and `Display` show
/// only the scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    url: String,
    scheme: String,
}

impl Location {
    /// Takes the scheme off a URL as Python's `urlparse` does: letters, digits, `+`, `-`, `.` before the first colon, in
    /// lower case.
    ///
    /// # Errors
    /// `UnknownScheme` when there is none.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let unknown = || StoreError::UnknownScheme { scheme: String::new() };
        let (scheme, _) = url.split_once(':').ok_or_else(unknown)?;
        let mut letters = scheme.bytes();
        let starts_well = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
        if !starts_well || !letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return Err(unknown());
        }
        Ok(Self { url: url.to_owned(), scheme: scheme.to_ascii_lowercase() })
    }

    /// The scheme in lower case, without the colon.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The whole URL, credentials included: never log it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:****", self.scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        for (url, scheme) in [
            ("file:///a/b", Some("file")),
            ("HTTP://host/x", Some("http")),
            ("swift+https://u:p@host/c/o", Some("swift+https")),
            ("s3.x-1://b", Some("s3.x-1")),
            ("", None),
            ("/no/scheme", None),
            ("1abc://x", None),
            ("a b://x", None),
            ("://x", None),
        ] {
            assert_eq!(Location::parse(url).ok().map(|place| place.scheme().to_owned()).as_deref(), scheme, "{url}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let place = Location::parse("http://user:secret@host/path").unwrap();
        assert_eq!(format!("{place:?} {place}"), "Location(http:****) http:****");
        assert_eq!(place.url(), "http://user:secret@host/path");
    }
}
