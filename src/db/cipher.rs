//! The URLs of locations as `metadata_encryption_key` has them in the database (`glance/common/crypt.py`): a random vector and
//! what AES in CBC mode makes of the URL, a zero and random bytes without one, all of it as URL-safe base64.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::error::DbError;
use crate::config::Secret;
use crate::sys::aes::{AesCbc, BLOCK};

/// What each URL of a location has, and base64 has not.
const SEPARATOR: &str = "://";

/// Encrypts and decrypts the URLs of locations.
pub struct LocationCipher(AesCbc);

impl LocationCipher {
    /// `None` unless the key has 16, 24 or 32 bytes.
    pub fn new(key: &Secret) -> Option<Self> {
        AesCbc::new(key.expose().as_bytes()).map(Self)
    }

    pub(super) fn seal(&self, url: &str) -> String {
        let (vector, padding): ([u8; BLOCK], [u8; BLOCK]) = (rand::random(), rand::random());
        let mut blocks = vec![padding; url.len() / BLOCK + 1];
        let data = blocks.as_flattened_mut();
        let (text, padding) = data.split_at_mut(url.len());
        text.copy_from_slice(url.as_bytes());
        for (at, byte) in padding.iter_mut().enumerate() {
            *byte = if at == 0 { 0 } else { (*byte).max(1) };
        }
        self.0.encrypt(vector, &mut blocks);
        URL_SAFE.encode([&vector, blocks.as_flattened()].concat())
    }

    /// The URL behind what is stored. What is a URL as it stands was stored without the key, as parts of upstream do even
    /// now, and as everything was before the key was set.
    ///
    /// Nothing in what is stored tells which key it was made with, and another key gives a readable text now and then (as
    /// where the first byte happens to be the zero that ends it), so only a URL is believed.
    ///
    /// # Errors
    /// It was stored with another key, or is nothing of the kind.
    pub(super) fn open(&self, stored: &str) -> Result<String, DbError> {
        if stored.contains(SEPARATOR) {
            return Ok(stored.to_owned());
        }
        self.decrypt(stored).ok_or_else(|| DbError::Corrupt {
            column: "value".to_owned(),
            reason: "not a location encrypted with metadata_encryption_key".to_owned(),
        })
    }

    fn decrypt(&self, stored: &str) -> Option<String> {
        let data = URL_SAFE.decode(stored).ok()?;
        let (&vector, rest) = data.split_first_chunk()?;
        let (whole, part) = rest.as_chunks();
        let mut blocks = whole.to_vec();
        self.0.decrypt(vector, &mut blocks);
        let padded = blocks.as_flattened();
        let end = padded.iter().rposition(|byte| *byte == 0).filter(|_| part.is_empty())?;
        String::from_utf8(padded.get(..end)?.to_vec()).ok().filter(|text| text.contains(SEPARATOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn cipher(key: &str) -> LocationCipher {
        LocationCipher::new(&Secret::from(key)).unwrap()
    }

    #[test]
    fn what_upstream_encrypted_is_read() {
        let cases = [
            (16, "AvICR1E3Fz84n08DmpEHyAD7RQJ-w_9_s2xrrbHw9nUsCwVuvwpDmFvcX8dIF0jF2KErDV48n7gdOcujB_VHJw=="),
            (24, "R-KO0_zpalObYjpFRD5DDSwX958TBd1rilK6I0WIc1wHZ0WJUr6aFT68TDEqSyNIiYAf5f327G1snTqMkY8X1A=="),
            (32, "icp6SNoXrQb49lpmJV3QBjEsdSFxJQCknioJYx-W0OLUdC9IdbVecmPXE1LqySGn8M7TH9YJjMpZRvlePeU_ag=="),
        ];
        for (length, stored) in cases {
            assert_eq!(cipher(&KEY[..length]).open(stored).unwrap(), "file:///var/lib/glance/images/ä");
        }
    }

    #[test]
    fn what_is_sealed_can_be_opened() {
        let cipher = cipher(KEY);
        for length in 0..50 {
            let url = format!("x://{}", "x".repeat(length));
            let stored = cipher.seal(&url);
            assert_eq!(stored.len(), (16 + (url.len() / 16 + 1) * 16).div_ceil(3) * 4);
            assert_eq!(cipher.open(&stored).unwrap(), url);
            assert_ne!(cipher.seal(&url), stored);
        }
    }

    #[test]
    fn another_key_never_opens_anything() {
        let (sealing, other) = (cipher(KEY), cipher(&KEY[..16]));
        for _ in 0..5000 {
            let stored = sealing.seal("file:///after");
            assert!(other.open(&stored).is_err(), "{stored}");
        }
    }

    #[test]
    fn what_cannot_be_opened_is_told_without_being_shown() {
        let cipher = cipher(KEY);
        assert_eq!(cipher.open("rbd://pool/a%20b").unwrap(), "rbd://pool/a%20b");
        let sealed = cipher.seal("file:///somewhere");
        for stored in ["", "=", "AAAA", "AAA", "A===", "ä", "5ynO3CLnMCCY8O-aD_IptA==", &sealed[..sealed.len() - 4]] {
            let error = cipher.open(stored).unwrap_err();
            assert!(matches!(error, DbError::Corrupt { .. }) && !error.to_string().contains("5ynO"), "{stored}");
        }
    }
}
