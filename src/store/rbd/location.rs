//! Where an image lies in Ceph, as a URL: `rbd://<fsid>/<pool>/<image>/<snapshot>`, or the old `rbd://<image>`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::super::StoreError;

/// What Python's `urllib.parse.quote` escapes when nothing is safe.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

const PREFIX: &str = "rbd://";

/// An image and, but for locations of old, its snapshot. The cluster's id is not looked at when data is read: a cluster that
/// was restored elsewhere has another.
#[derive(Debug, PartialEq)]
pub(super) struct Address {
    /// `None`: the pool of the store.
    pub(super) pool: Option<String>,
    pub(super) image: String,
    /// `None`: the image itself.
    pub(super) snapshot: Option<String>,
}

impl Address {
    /// Takes a URL apart as upstream does.
    ///
    /// # Errors
    /// `BadLocation`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let bad = |reason: &str| Err(StoreError::BadLocation { reason: reason.to_owned() });
        let Some(rest) = url.strip_prefix(PREFIX) else {
            return bad("Location URI must start with one of the following schemas: rbd://");
        };
        let pieces: Vec<&str> = rest.split('/').collect();
        let decode = |piece: &str| percent_decode_str(piece).decode_utf8_lossy().into_owned();
        let address = match *pieces.as_slice() {
            [image] => Self { pool: None, image: image.to_owned(), snapshot: None },
            [_, pool, image, snapshot] => {
                Self { pool: Some(decode(pool)), image: decode(image), snapshot: Some(decode(snapshot)) }
            }
            _ => return bad("URI must have exactly 1 or 4 components"),
        };
        if pieces.iter().any(|piece| piece.is_empty()) {
            return bad("URI cannot contain empty components");
        }
        let names = [Some(&address.image), address.pool.as_ref(), address.snapshot.as_ref()];
        if names.into_iter().flatten().any(|name| name.contains('\0')) {
            return bad("Invalid name in URI");
        }
        Ok(address)
    }
}

/// What the URLs of a pool of a cluster begin with.
pub(super) fn prefix(fsid: &str, pool: &str) -> String {
    format!("{PREFIX}{}/{}/", quote(fsid), quote(pool))
}

/// The URL of an image's snapshot.
pub(super) fn url(fsid: &str, pool: &str, image: &str, snapshot: &str) -> String {
    format!("{}{}/{}", prefix(fsid, pool), quote(image), quote(snapshot))
}

fn quote(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, ESCAPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(pool: Option<&str>, image: &str, snapshot: Option<&str>) -> Address {
        Address { pool: pool.map(str::to_owned), image: image.to_owned(), snapshot: snapshot.map(str::to_owned) }
    }

    #[test]
    fn urls_are_taken_apart_as_upstream_does() {
        for (url, expected) in [
            ("rbd://f/images/i/snap", address(Some("images"), "i", Some("snap"))),
            ("rbd://f/a%2Fb%20c/%C3%A9/s%40", address(Some("a/b c"), "é", Some("s@"))),
            ("rbd://image", address(None, "image", None)),
            // An old one is taken as it stands.
            ("rbd://im%20age", address(None, "im%20age", None)),
        ] {
            assert_eq!(Address::parse(url).unwrap(), expected, "{url}");
        }
        for (url, words) in [
            ("rbd:/image", "must start with"),
            ("RBD://image", "must start with"),
            ("rbd://", "empty components"),
            ("rbd://f/p/i/", "empty components"),
            ("rbd://f//i/s", "empty components"),
            ("rbd://p/i", "exactly 1 or 4"),
            ("rbd://f/p/i/s/x", "exactly 1 or 4"),
            ("rbd://f/p/i%00/s", "Invalid name"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(words), "{url}: {error}");
        }
    }

    #[test]
    fn urls_are_written_as_upstream_does() {
        assert_eq!(url("f-1", "images", "b3-a_.~", "snap"), "rbd://f-1/images/b3-a_.~/snap");
        assert_eq!(url("f", "a/b c", "é", "s@"), "rbd://f/a%2Fb%20c/%C3%A9/s%40");
        assert_eq!(prefix("f", "a/b"), "rbd://f/a%2Fb/");
    }
}
