//! The URLs of locations as `metadata_encryption_key` has them in the database (`glance/common/crypt.py`): a random vector and
//! what AES in CBC mode makes of the URL, a zero and random bytes without one, all of it as URL-safe base64.

use super::error::DbError;
use crate::config::Secret;
use crate::sys::aes::{AesCbc, BLOCK, random};

/// Encrypts and decrypts the URLs of locations.
pub struct LocationCipher(AesCbc);

impl LocationCipher {
    /// `None` unless the key has 16, 24 or 32 bytes.
    pub fn new(key: &Secret) -> Option<Self> {
        AesCbc::new(key.expose().as_bytes()).map(Self)
    }

    pub(super) fn seal(&self, url: &str) -> String {
        let vector = random();
        let mut blocks: Vec<[u8; BLOCK]> = vec![random(); url.len() / BLOCK + 1];
        let data = blocks.as_flattened_mut();
        let (text, padding) = data.split_at_mut(url.len());
        text.copy_from_slice(url.as_bytes());
        for (at, byte) in padding.iter_mut().enumerate() {
            *byte = if at == 0 { 0 } else { (*byte).max(1) };
        }
        self.0.encrypt(vector, &mut blocks);
        encode(&[&vector, blocks.as_flattened()].concat())
    }

    /// The URL behind what is stored. What is a URL as it stands was stored without the key, as parts of upstream do even
    /// now, and as everything was before the key was set.
    ///
    /// # Errors
    /// It was stored with another key, or is nothing of the kind.
    pub(super) fn open(&self, stored: &str) -> Result<String, DbError> {
        if stored.contains("://") {
            return Ok(stored.to_owned());
        }
        self.decrypt(stored).ok_or_else(|| DbError::Corrupt {
            column: "value".to_owned(),
            reason: "not a location encrypted with metadata_encryption_key".to_owned(),
        })
    }

    fn decrypt(&self, stored: &str) -> Option<String> {
        let data = decode(stored)?;
        let (&vector, rest) = data.split_first_chunk()?;
        let (whole, part) = rest.as_chunks();
        let mut blocks = whole.to_vec();
        self.0.decrypt(vector, &mut blocks);
        let padded = blocks.as_flattened();
        let end = padded.iter().rposition(|byte| *byte == 0).filter(|_| part.is_empty())?;
        String::from_utf8(padded.get(..end)?.to_vec()).ok()
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for group in data.chunks(3) {
        let bits = group.iter().fold(0, |bits: usize, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = ALPHABET.get(bits >> (18 - 6 * at) & 63).map_or('=', |letter| char::from(*letter));
            text.push(if at <= group.len() { letter } else { '=' });
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - letters.len() > 2 {
        return None;
    }
    let mut data = Vec::with_capacity(text.len() / 4 * 3);
    for group in letters.as_bytes().chunks(4) {
        let mut bits = 0;
        for letter in group {
            bits = bits << 6 | ALPHABET.iter().position(|known| known == letter)?;
        }
        let bits = u32::try_from(bits << (6 * (4 - group.len()))).ok()?;
        let [_, bytes @ ..] = bits.to_be_bytes();
        data.extend_from_slice(bytes.get(..group.len().checked_sub(1)?)?);
    }
    Some(data)
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
            let url = "x".repeat(length);
            let stored = cipher.seal(&url);
            assert_eq!(stored.len(), (16 + (length / 16 + 1) * 16).div_ceil(3) * 4);
            assert_eq!(cipher.open(&stored).unwrap(), url);
            assert_ne!(cipher.seal(&url), stored);
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

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (data, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(data.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), data.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8=");
    }
}
