//! What a client says that data which lies somewhere already is (upstream: `_validate_hashing_data` in `glance/api/v2/images.py`).

use serde_json::{Map, Value};

use super::Error;
use crate::store::Algorithm;

/// The digest that data must have.
#[derive(Clone, Debug)]
pub struct ExpectedDigest {
    pub(super) algorithm: Algorithm,
    /// As the client wrote it; capital letters are no match.
    pub(super) value: String,
}

impl ExpectedDigest {
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// Reads the `validation_data` of a request, which has both or neither of algorithm and value.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that is no digest of that algorithm.
    pub fn read(data: &Map<String, Value>) -> Result<Option<Self>, Error> {
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let (Some(name), Some(value)) = (text("os_hash_algo"), text("os_hash_value")) else { return Ok(None) };
        let algorithm = Algorithm::parse(name)?;
        let length = hexadecimal(value)
            .ok_or_else(|| Error::Invalid(format!("os_hash_value ({value}) is not a valid hexadecimal value")))?;
        let size = algorithm.size();
        if length != size {
            return Err(Error::Invalid(format!(
                "os_hash_value: ({value}) is not the correct size for ({name}) (should be ({size}) bytes)"
            )));
        }
        Ok(Some(Self { algorithm, value: value.to_owned() }))
    }
}

/// The bytes that a text stands for, as Python's `bytearray.fromhex` counts them: blanks may lie between two of them.
fn hexadecimal(text: &str) -> Option<usize> {
    let (mut count, mut letters) = (0, text.chars());
    while let Some(first) = letters.next() {
        if matches!(first, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') {
            continue;
        }
        let is_byte = first.is_ascii_hexdigit() && letters.next().is_some_and(|second| second.is_ascii_hexdigit());
        if !is_byte {
            return None;
        }
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(algorithm: &str, value: &str) -> Result<bool, String> {
        let data = json!({"os_hash_algo": algorithm, "os_hash_value": value}).as_object().unwrap().clone();
        ExpectedDigest::read(&data).map(|digest| digest.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_must_be_a_digest_of_its_algorithm() {
        assert!(ExpectedDigest::read(&Map::new()).unwrap().is_none());
        for (algorithm, size) in [("md5", 16), ("sha1", 20), ("sha256", 32), ("sha512", 64)] {
            assert_eq!(read(algorithm, &"aB".repeat(size)), Ok(true), "{algorithm}");
            assert_eq!(read(algorithm, &"0f ".repeat(size)), Ok(true), "{algorithm}");
            let text =
                format!("os_hash_value: (aabb) is not the correct size for ({algorithm}) (should be ({size}) bytes)");
            assert_eq!(read(algorithm, "aabb"), Err(text));
        }
        for odd in ["a", "0x", "a b", "aé", "zz"] {
            let text = format!("os_hash_value ({odd}) is not a valid hexadecimal value");
            assert_eq!(read("md5", odd), Err(text));
        }
    }
}
