//! The hash algorithms that `hashing_algorithm` can name.

use std::fmt;

use super::super::StoreError;
use crate::sys::md5::Md5;

/// A hash algorithm, under the name that Python's hashlib gives it.
#[derive(Clone, Copy)]
pub struct Algorithm {
    name: &'static str,
    make: fn() -> Box<dyn Hasher>,
}

/// MD5 is aws-lc's, which needs a fifth less time than the pure Rust crate. SHA-512 is the sha2 crate's, as aws-lc's is no faster:
/// on processors of AMD it takes its code without vectors. On an EPYC they need 1.5 and 2.8 seconds a gigabyte within an upload.
///
/// Every name that hashlib takes and whose digest has a fixed length, except `ripemd160` and `sm3`, which OpenSSL adds on
/// some systems. Upstream compares with `hashlib.algorithms_available`, so case counts.
const ALGORITHMS: [Algorithm; 15] = [
    Algorithm::MD5,
    Algorithm { name: "sha1", make: || Box::new(Current::<sha1::Sha1>::default()) },
    Algorithm { name: "sha224", make: || Box::new(Current::<sha2::Sha224>::default()) },
    Algorithm { name: "sha256", make: || Box::new(Current::<sha2::Sha256>::default()) },
    Algorithm { name: "sha384", make: || Box::new(Current::<sha2::Sha384>::default()) },
    Algorithm { name: "sha512", make: || Box::new(Current::<sha2::Sha512>::default()) },
    Algorithm { name: "sha512_224", make: || Box::new(Current::<sha2::Sha512_224>::default()) },
    Algorithm { name: "sha512_256", make: || Box::new(Current::<sha2::Sha512_256>::default()) },
    Algorithm { name: "sha3_224", make: || Box::new(Current::<sha3::Sha3_224>::default()) },
    Algorithm { name: "sha3_256", make: || Box::new(Current::<sha3::Sha3_256>::default()) },
    Algorithm { name: "sha3_384", make: || Box::new(Current::<sha3::Sha3_384>::default()) },
    Algorithm { name: "sha3_512", make: || Box::new(Current::<sha3::Sha3_512>::default()) },
    Algorithm { name: "blake2b", make: || Box::new(Blake::<blake2::Blake2b512>::default()) },
    Algorithm { name: "blake2s", make: || Box::new(Blake::<blake2::Blake2s256>::default()) },
    Algorithm { name: "md5-sha1", make: || Box::new(Md5Sha1::default()) },
];

impl Algorithm {
    pub(crate) const MD5: Self = Self { name: "md5", make: || Box::new(Md5::default()) };

    /// The algorithm of that name.
    ///
    /// # Errors
    /// `UnknownAlgorithm`.
    pub fn parse(name: &str) -> Result<Self, StoreError> {
        let known = ALGORITHMS.iter().find(|algorithm| algorithm.name == name);
        known.copied().ok_or_else(|| StoreError::UnknownAlgorithm { algorithm: name.to_owned() })
    }

    /// The name under which images record it in `os_hash_algo`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes of a digest.
    pub fn size(&self) -> usize {
        self.hasher().finish().len() / 2
    }

    pub(super) fn hasher(&self) -> Box<dyn Hasher> {
        (self.make)()
    }
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Algorithm {}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A digest under way.
pub(super) trait Hasher: Send {
    fn update(&mut self, data: &[u8]);

    /// Another one of the same data so far.
    fn copy(&self) -> Box<dyn Hasher>;

    /// The digest in lower-case hex.
    fn finish(self: Box<Self>) -> String;
}

/// Stands where a hasher has been taken away.
pub(super) struct Nothing;

impl Hasher for Nothing {
    fn update(&mut self, _data: &[u8]) {}

    fn copy(&self) -> Box<dyn Hasher> {
        Box::new(Self)
    }

    fn finish(self: Box<Self>) -> String {
        String::new()
    }
}

impl Hasher for Md5 {
    fn update(&mut self, data: &[u8]) {
        self.update(data);
    }

    fn copy(&self) -> Box<dyn Hasher> {
        Box::new(self.clone())
    }

    fn finish(self: Box<Self>) -> String {
        hex::encode((*self).finish())
    }
}

#[derive(Clone, Default)]
struct Current<D>(D);

impl<D: sha2::Digest + Clone + Send + 'static> Hasher for Current<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn copy(&self) -> Box<dyn Hasher> {
        Box::new(self.clone())
    }

    fn finish(self: Box<Self>) -> String {
        hex::encode(self.0.finalize())
    }
}

/// The blake2 crate still speaks the previous version of the digest traits.
#[derive(Clone, Default)]
struct Blake<D>(D);

impl<D: blake2::Digest + Clone + Send + 'static> Hasher for Blake<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn copy(&self) -> Box<dyn Hasher> {
        Box::new(self.clone())
    }

    fn finish(self: Box<Self>) -> String {
        hex::encode(self.0.finalize())
    }
}

/// TLS 1.0's pair of digests, one after the other.
#[derive(Clone, Default)]
struct Md5Sha1(Md5, sha1::Sha1);

impl Hasher for Md5Sha1 {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
        sha2::Digest::update(&mut self.1, data);
    }

    fn copy(&self) -> Box<dyn Hasher> {
        Box::new(self.clone())
    }

    fn finish(self: Box<Self>) -> String {
        hex::encode(self.0.finish()) + &hex::encode(sha2::Digest::finalize(self.1))
    }
}
