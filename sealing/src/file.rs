//! Files that are sealed in chunks, so that a part of one can be read without the rest.

use crate::{Forged, Key, key::KEY_BYTES};
use aes_gcm_siv::{
    Aes256GcmSiv, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

const PURPOSE: &[u8] = b"backchat.file.1\0";

/// What sealing adds to a chunk.
pub const CHUNK_TAG_BYTES: usize = 16;

/// Random bytes of each file that is written: two of one name are two files.
pub type Salt = [u8; 8];

/// # Errors
/// When the system gives no random bytes.
pub fn random_salt() -> Result<Salt, getrandom::Error> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt)?;
    Ok(salt)
}

/// The key of the files of one folder.
pub struct FileKey {
    cipher: Aes256GcmSiv,
}

/// Where a chunk is. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The file's name.
    pub file: &'a str,
    pub salt: Salt,
    /// From 0 on.
    pub number: u32,
    /// Nothing of the file comes behind it.
    pub is_last: bool,
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey")
    }
}

impl FileKey {
    pub fn derive(key: &Key) -> Self {
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(None, key.bytes()).expand(PURPOSE, &mut derived[..]).expect("32 bytes are few");
        Self { cipher: Aes256GcmSiv::new((&*derived).into()) }
    }

    pub fn seal(&self, chunk: &Chunk<'_>, plain: &[u8]) -> Vec<u8> {
        let aad = chunk.associated();
        let sealed = self.cipher.encrypt(&chunk.nonce(), Payload { msg: plain, aad: &aad });
        sealed.expect("a chunk is far below the cipher's limit of 64 GiB")
    }

    /// Opens a chunk.
    ///
    /// # Errors
    /// [`Forged`] when it was altered, moved, or is of another file or key.
    pub fn open(&self, chunk: &Chunk<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
        let aad = chunk.associated();
        let opened = self.cipher.decrypt(&chunk.nonce(), Payload { msg: sealed, aad: &aad });
        opened.map(Zeroizing::new).map_err(|_| Forged)
    }
}

impl Chunk<'_> {
    fn nonce(&self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.salt);
        nonce[8..].copy_from_slice(&self.number.to_be_bytes());
        nonce.into()
    }

    fn associated(&self) -> Vec<u8> {
        let last = [u8::from(self.is_last)];
        [PURPOSE, &self.salt, &self.number.to_be_bytes(), &last, self.file.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Chunk<'static> = Chunk { file: "a.idx", salt: [7; 8], number: 3, is_last: false };

    #[test]
    fn a_chunk_opens_in_its_own_place_alone() {
        let (key, other) = (FileKey::derive(&Key::of([1; 32])), FileKey::derive(&Key::of([2; 32])));
        let sealed = key.seal(&HERE, b"tea");
        assert_eq!(sealed.len(), 3 + CHUNK_TAG_BYTES);
        assert_eq!(key.open(&HERE, &sealed).unwrap().as_slice(), b"tea");
        assert_eq!(other.open(&HERE, &sealed), Err(Forged));
        for elsewhere in [
            Chunk { file: "b.idx", ..HERE },
            Chunk { salt: [8; 8], ..HERE },
            Chunk { number: 4, ..HERE },
            Chunk { is_last: true, ..HERE },
        ] {
            assert_eq!(key.open(&elsewhere, &sealed), Err(Forged), "{elsewhere:?}");
        }
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key.open(&HERE, &altered), Err(Forged), "byte {at}");
        }
        assert_eq!(format!("{key:?}"), "FileKey");
    }
}
