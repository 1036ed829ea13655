//! Keys of rooms and people, and how they are wrapped under a root key.

use crate::{Root, Roots};
use aes_gcm_siv::{
    Aes256GcmSiv, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use protocol::keys::Wrapped;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of any key.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// What the associated data of a wrapped key begin with.
const PURPOSE: &[u8] = b"backchat.key.1\0";

/// The 32 secret bytes of a room or a person.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = Self([0; KEY_BYTES]);
        getrandom::fill(&mut key.0)?;
        Ok(key)
    }

    #[cfg(test)]
    pub(crate) const fn of(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// A key is never shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Why a wrapped key was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotUnwrapped {
    /// It is wrapped under this version of the root key, which is not there.
    NoRoot(u16),
    /// The root key of this version is another one, or the wrapped key was altered or put under another name.
    WrongRoot(u16),
}

impl fmt::Display for NotUnwrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoot(version) => write!(
                f,
                "root key {version} is missing: put the file root-{version} back where the root keys are"
            ),
            Self::WrongRoot(version) => write!(
                f,
                "root key {version} does not fit: put back the file root-{version} that this installation was made with"
            ),
        }
    }
}
impl std::error::Error for NotUnwrapped {}

impl Roots {
    /// Wraps a key under the newest root key, so that it can only be unwrapped under this name.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn wrap(&self, name: &str, key: &Key) -> Result<Wrapped, getrandom::Error> {
        let root = self.newest();
        let mut wrapped = [0; Wrapped::BYTES];
        wrapped[..2].copy_from_slice(&root.version().to_be_bytes());
        getrandom::fill(&mut wrapped[2..2 + NONCE_BYTES])?;
        let (head, sealed) = wrapped.split_at_mut(2 + NONCE_BYTES);
        let aad = associated(root.version(), name);
        let payload = Payload { msg: key.bytes(), aad: &aad };
        let nonce = nonce(&head[2..]);
        let made = cipher(root).encrypt(&nonce, payload).expect("32 bytes are no limit of the cipher");
        sealed.copy_from_slice(&made);
        Ok(Wrapped(wrapped))
    }

    /// Unwraps a key that was wrapped under this name.
    ///
    /// # Errors
    /// [`NotUnwrapped`].
    pub fn unwrap(&self, name: &str, wrapped: &Wrapped) -> Result<Key, NotUnwrapped> {
        let version = wrapped.root();
        let root = self.version(version).ok_or(NotUnwrapped::NoRoot(version))?;
        let aad = associated(version, name);
        let (head, sealed) = wrapped.0.split_at(2 + NONCE_BYTES);
        let opened = cipher(root).decrypt(&nonce(&head[2..]), Payload { msg: sealed, aad: &aad });
        let opened = Zeroizing::new(opened.map_err(|_| NotUnwrapped::WrongRoot(version))?);
        let mut key = Key([0; KEY_BYTES]);
        key.0.copy_from_slice(&opened);
        Ok(key)
    }
}

fn cipher(root: &Root) -> Aes256GcmSiv {
    Aes256GcmSiv::new(root.bytes().into())
}

fn nonce(bytes: &[u8]) -> Nonce {
    let bytes: [u8; NONCE_BYTES] = bytes.try_into().expect("a nonce has 12 bytes");
    bytes.into()
}

fn associated(version: u16, name: &str) -> Vec<u8> {
    [PURPOSE, &version.to_be_bytes(), name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "chat.keys.room.tea_x7qa.1";

    fn roots(versions: &[u16]) -> Roots {
        Roots::of(versions.iter().map(|version| Root::random(*version).unwrap()).collect()).unwrap()
    }

    #[test]
    fn a_key_is_unwrapped_under_its_own_name_and_root_alone() {
        let (ours, others, key) = (roots(&[1]), roots(&[1]), Key::random().unwrap());
        let wrapped = ours.wrap(NAME, &key).unwrap();
        assert_eq!(ours.unwrap(NAME, &wrapped).unwrap().bytes(), key.bytes());
        let wrong = Err(NotUnwrapped::WrongRoot(1));
        assert_eq!(ours.unwrap("chat.keys.room.tea_x7qa.2", &wrapped).map(drop), wrong);
        assert_eq!(others.unwrap(NAME, &wrapped).map(drop), wrong);
        assert_eq!(roots(&[2]).unwrap(NAME, &wrapped).map(drop), Err(NotUnwrapped::NoRoot(1)));
        for at in 0..Wrapped::BYTES {
            let mut altered = wrapped.clone();
            altered.0[at] ^= 1;
            assert!(ours.unwrap(NAME, &altered).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_newest_root_wraps_and_all_unwrap() {
        let old = Root::random(1).unwrap();
        let before = Roots::of(vec![old.clone()]).unwrap();
        let wrapped = before.wrap(NAME, &Key::random().unwrap()).unwrap();
        let after = Roots::of(vec![Root::random(2).unwrap(), old]).unwrap();
        assert!(after.unwrap(NAME, &wrapped).is_ok());
        assert_eq!(after.wrap(NAME, &Key::random().unwrap()).unwrap().root(), 2);
    }

    #[test]
    fn the_same_key_is_wrapped_to_other_bytes_each_time_and_never_shown() {
        let (roots, key) = (roots(&[1]), Key::random().unwrap());
        assert_ne!(roots.wrap(NAME, &key).unwrap(), roots.wrap(NAME, &key).unwrap());
        assert_eq!(format!("{key:?} {roots:?}"), "Key Roots([1])");
    }

    #[test]
    fn whoever_lacks_a_root_is_told_which_one() {
        for (why, needed) in [
            (NotUnwrapped::NoRoot(3), ["root key 3 is missing", "put the file root-3 back"]),
            (NotUnwrapped::WrongRoot(3), ["root key 3 does not fit", "put back the file root-3"]),
        ] {
            for part in needed {
                assert!(why.to_string().contains(part), "{why}");
            }
        }
    }

    /// Fails to compile when a feature is lost that has a dependency forget its secrets. Polyval does not say that it does.
    #[test]
    fn what_has_held_a_key_forgets_it() {
        fn forgets<T: ZeroizeOnDrop>() {}
        forgets::<Key>();
        forgets::<Root>();
        forgets::<aes::Aes256>();
        forgets::<sha2::Sha256>();
        forgets::<bip39::Mnemonic>();
    }
}
