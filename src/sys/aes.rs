//! AES in CBC mode as aws-lc has it.
#![expect(
    unsafe_code,
    reason = "what is in the program already has it in C only; a safe crate would be a second cipher"
)]

use std::mem::MaybeUninit;

use aws_lc_sys::{AES_DECRYPT, AES_ENCRYPT, AES_KEY, AES_cbc_encrypt, AES_set_decrypt_key, AES_set_encrypt_key};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 16;

/// A key, ready for both directions. Says nothing about whether data were changed by others. Holds a secret: no `Debug`.
pub(crate) struct AesCbc {
    encrypting: AES_KEY,
    decrypting: AES_KEY,
}

impl AesCbc {
    /// `None` unless the key has 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        let bits = match key.len() {
            16 => 128,
            24 => 192,
            32 => 256,
            _ => return None,
        };
        let mut encrypting = MaybeUninit::<AES_KEY>::zeroed();
        let mut decrypting = MaybeUninit::<AES_KEY>::zeroed();
        // SAFETY: each call reads `bits` / 8 bytes of `key`, which are its length, and writes a schedule to where it is told,
        // which is large enough for one. All fields are integers, for which the zeroes from before are valid values.
        let (made, encrypting, decrypting) = unsafe {
            let made = AES_set_encrypt_key(key.as_ptr(), bits, encrypting.as_mut_ptr()) == 0
                && AES_set_decrypt_key(key.as_ptr(), bits, decrypting.as_mut_ptr()) == 0;
            (made, encrypting.assume_init(), decrypting.assume_init())
        };
        made.then_some(Self { encrypting, decrypting })
    }

    /// Encrypts in place.
    pub(crate) fn encrypt(&self, vector: [u8; BLOCK], blocks: &mut [[u8; BLOCK]]) {
        run(&self.encrypting, AES_ENCRYPT, vector, blocks);
    }

    /// Decrypts in place.
    pub(crate) fn decrypt(&self, vector: [u8; BLOCK], blocks: &mut [[u8; BLOCK]]) {
        run(&self.decrypting, AES_DECRYPT, vector, blocks);
    }
}

fn run(key: &AES_KEY, direction: i32, mut vector: [u8; BLOCK], blocks: &mut [[u8; BLOCK]]) {
    let data = blocks.as_flattened_mut();
    // SAFETY: input and output are the same live slice, which the function allows, and its length is that of whole blocks; the
    // vector has a block's length; the key was set for this direction.
    unsafe {
        AES_cbc_encrypt(data.as_ptr(), data.as_mut_ptr(), data.len(), key, vector.as_mut_ptr(), direction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.2: the first two blocks.
    #[test]
    fn the_examples_of_the_standard_come_out() {
        let plain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
        let vector = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let cases = [
            ("2b7e151628aed2a6abf7158809cf4f3c", "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"),
            (
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
            ),
        ];
        for (key, expected) in cases {
            let cipher = AesCbc::new(&hex::decode(key).unwrap()).unwrap();
            let mut blocks = [[0; BLOCK]; 2];
            hex::decode_to_slice(plain, blocks.as_flattened_mut()).unwrap();
            cipher.encrypt(vector, &mut blocks);
            assert_eq!(hex::encode(blocks.as_flattened()), expected, "{key}");
            cipher.decrypt(vector, &mut blocks);
            assert_eq!(hex::encode(blocks.as_flattened()), plain, "{key}");
        }
        assert!(AesCbc::new(b"too short").is_none() && AesCbc::new(&[0; 33]).is_none());
    }
}
