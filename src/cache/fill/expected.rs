//! Whether what was read is the image.

use crate::image::Image;
use crate::store::{Algorithm, Digests, Hashes, Priority, StoreError};

/// What an image's data must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Expected {
    /// Bytes; `None` where the image does not know.
    pub(in crate::cache) size: Option<u64>,
    /// MD5 in hex.
    checksum: Option<String>,
    /// Algorithm and value in hex.
    hash: Option<(Algorithm, String)>,
}

impl Expected {
    /// What an image says of its data. A size of 0 is what upstream writes where it does not know.
    pub(in crate::cache) fn of(image: &Image) -> Self {
        let algorithm = image.os_hash_algo.as_deref().and_then(|name| Algorithm::parse(name).ok());
        Self {
            size: image.size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0),
            checksum: image.checksum.clone().filter(|checksum| !checksum.is_empty()),
            hash: algorithm.zip(image.os_hash_value.clone()),
        }
    }

    #[cfg(test)]
    pub(super) fn for_tests(size: Option<u64>, checksum: Option<&str>) -> Self {
        Self { size, checksum: checksum.map(str::to_owned), hash: None }
    }

    /// The algorithm whose digest judges the data; `None`: nothing is known. One tells broken data from whole, and two take twice the
    /// processor time while those wait who read the image. Upstream's cache looks at MD5 alone, too. Against a store that forges data no
    /// cache helps: who reads past it gets the data unseen, and compares it with `os_hash_value`.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        let hash = self.hash.as_ref().map(|(algorithm, _)| *algorithm);
        self.checksum.as_ref().map(|_| Algorithm::MD5).or(hash)
    }

    /// Digests of what is needed to judge.
    pub(super) fn digests(&self) -> Option<Digests> {
        self.algorithm().map(|algorithm| Digests::start(algorithm, Priority::Request))
    }

    /// Whether data of these digests and this size is the image.
    pub(super) fn matches(&self, size: u64, hashes: Option<&Hashes>) -> bool {
        let same =
            |wanted: Option<&String>, found: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(found));
        self.size.is_none_or(|wanted| wanted == size)
            && hashes.is_none_or(|hashes| {
                let of_same = self.hash.as_ref().filter(|(algorithm, _)| *algorithm == hashes.algorithm);
                same(self.checksum.as_ref(), &hashes.md5) && same(of_same.map(|(_, value)| value), &hashes.value)
            })
    }
}

/// Ends digests where there are any.
///
/// # Errors
/// As [`Digests::finish`].
pub(super) async fn finish(digests: Option<Digests>) -> Result<Option<Hashes>, StoreError> {
    match digests {
        Some(digests) => digests.finish().await.map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_checksum_and_hash_must_be_those_of_the_image() {
        let sha256 = Algorithm::parse("sha256").unwrap();
        let expected =
            Expected { size: Some(3), checksum: Some("AB".to_owned()), hash: Some((sha256, "cd".to_owned())) };
        let md5 = |value: &str| Hashes { md5: value.to_owned(), algorithm: Algorithm::MD5, value: value.to_owned() };
        assert_eq!(expected.algorithm(), Some(Algorithm::MD5));
        assert!(expected.matches(3, Some(&md5("ab"))), "the other digest was not computed");
        assert!(!expected.matches(4, Some(&md5("ab"))));
        assert!(!expected.matches(3, Some(&md5("aa"))));
        let of_md5 = Expected { hash: Some((Algorithm::MD5, "cd".to_owned())), ..expected.clone() };
        assert!(!of_md5.matches(3, Some(&md5("ab"))), "the two do not agree");
        let hashes =
            |md5: &str, value: &str| Hashes { md5: md5.to_owned(), algorithm: sha256, value: value.to_owned() };
        let unsummed = Expected { checksum: None, ..expected };
        assert_eq!(unsummed.algorithm(), Some(sha256));
        assert!(unsummed.matches(3, Some(&hashes("ee", "CD"))) && !unsummed.matches(3, Some(&hashes("ab", "cc"))));
        assert!(Expected::default().matches(3, None), "nothing is known of it");
    }
}
