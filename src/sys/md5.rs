//! MD5 as aws-lc has it.
#![expect(
    unsafe_code,
    reason = "aws-lc-rs does not offer MD5, and the pure Rust crate is a fifth slower, which is an upload's pace"
)]

use std::mem::MaybeUninit;

use aws_lc_sys::{MD5_CTX, MD5_Final, MD5_Init, MD5_Update};

/// Bytes of a digest.
const LENGTH: usize = 16;

/// An MD5 digest under way (RFC 1321). Good for telling accidents, not attacks.
#[derive(Clone)]
pub(crate) struct Md5 {
    context: MD5_CTX,
}

impl Md5 {
    /// Takes more data.
    pub(crate) fn update(&mut self, data: &[u8]) {
        // SAFETY: `context` was initialised by `MD5_Init`; the pointer and the length are those of one live slice. The call
        // copies what it needs and cannot fail.
        unsafe { MD5_Update(&raw mut self.context, data.as_ptr().cast(), data.len()) };
    }

    /// The digest of all data so far.
    pub(crate) fn finish(mut self) -> [u8; LENGTH] {
        let mut digest = [0; LENGTH];
        // SAFETY: `context` was initialised by `MD5_Init`; the call writes 16 bytes, which is the length of `digest`.
        unsafe { MD5_Final(digest.as_mut_ptr(), &raw mut self.context) };
        digest
    }
}

impl Default for Md5 {
    fn default() -> Self {
        let mut context = MaybeUninit::<MD5_CTX>::zeroed();
        // SAFETY: the call writes a context to where it is told, which is large enough for one, and cannot fail. All fields
        // are integers, for which the zeroes from before are valid values.
        let context = unsafe {
            MD5_Init(context.as_mut_ptr());
            context.assume_init()
        };
        Self { context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pieces: &[&[u8]]) -> String {
        let mut md5 = Md5::default();
        pieces.iter().for_each(|piece| md5.update(piece));
        hex::encode(md5.finish())
    }

    #[test]
    fn the_test_suite_of_the_rfc_passes() {
        let cases = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(digest(&[text.as_bytes()]), expected, "{text}");
            let (first, second) = text.as_bytes().split_at(text.len() / 3);
            assert_eq!(digest(&[first, b"", second]), expected, "{text} in two pieces");
        }
    }
}
