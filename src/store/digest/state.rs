//! Digests for whoever is on a thread that may compute.

use std::fmt;

use super::algorithm::Hasher;
use super::{Algorithm, Hashes};

/// MD5 and an algorithm over the data so far, computed where it is called. A copy can go on with other data.
pub struct DigestState {
    algorithm: Algorithm,
    md5: Box<dyn Hasher>,
    /// `None` when the algorithm is MD5 itself.
    other: Option<Box<dyn Hasher>>,
}

impl DigestState {
    /// With no data.
    pub fn start(algorithm: Algorithm) -> Self {
        let other = (algorithm != Algorithm::MD5).then(|| algorithm.hasher());
        Self::new(algorithm, Algorithm::MD5.hasher(), other)
    }

    /// With the data that the hashers have seen; `other`: as in the field of that name.
    pub(super) fn new(algorithm: Algorithm, md5: Box<dyn Hasher>, other: Option<Box<dyn Hasher>>) -> Self {
        Self { algorithm, md5, other }
    }

    /// The one beside MD5.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        if let Some(other) = &mut self.other {
            other.update(data);
        }
    }

    pub fn finish(self) -> Hashes {
        let md5 = self.md5.finish();
        let value = self.other.map_or_else(|| md5.clone(), |other| other.finish());
        Hashes { md5, algorithm: self.algorithm, value }
    }
}

impl fmt::Debug for DigestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestState").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Clone for DigestState {
    fn clone(&self) -> Self {
        let other = self.other.as_ref().map(|other| other.copy());
        Self { algorithm: self.algorithm, md5: self.md5.copy(), other }
    }
}
