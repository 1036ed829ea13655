//! Which passwords are taken, and how they are hashed. Pure and slow: call it through
//! [`crate::hashing::Pool`].

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use protocol::limits::PASSWORD_CHARS;
use std::fmt;
use templates::FormError;
use unicode_normalization::UnicodeNormalization;

use crate::names::{Name, lookup_key};

/// A password that an attacker would find with fewer guesses than this is a common one.
const GUESSES_MIN: u64 = 10_000;

/// Argon2id as OWASP's cheat sheet asks for it: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A password as it was typed, in the form in which two keyboards agree (NFC). `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn typed(text: &str) -> Self {
        Self(text.nfc().collect())
    }

    /// Whether the length is right. Cheap, unlike [`Password::judge`].
    ///
    /// # Errors
    /// What the form says about it.
    pub fn check_length(&self) -> Result<(), FormError> {
        let chars = self.0.chars().count();
        if chars < *PASSWORD_CHARS.start() {
            Err(FormError::PasswordTooShort)
        } else if chars > *PASSWORD_CHARS.end() {
            Err(FormError::PasswordTooLong)
        } else {
            Ok(())
        }
    }

    /// Whether the password is hard enough to guess for somebody who knows the name.
    ///
    /// # Errors
    /// What the form says about it.
    pub fn judge(&self, name: &Name) -> Result<(), FormError> {
        self.check_length()?;
        if name.keys().contains(&lookup_key(&self.0)) {
            return Err(FormError::PasswordIsName);
        }
        let mut known: Vec<&str> = vec![name.shown(), "backchat"];
        known.extend(name.shown().split(' '));
        let guesses = zxcvbn::zxcvbn(&self.0, &known).guesses();
        if guesses < GUESSES_MIN { Err(FormError::PasswordCommon) } else { Ok(()) }
    }

    /// The hash to store, with its salt and parameters, in the PHC string format.
    ///
    /// # Errors
    /// [`HashingFailed`] when the machine has no memory or no randomness left.
    pub fn hash(&self) -> Result<String, HashingFailed> {
        let hash = hasher().hash_password(self.0.as_bytes()).map_err(|_| HashingFailed)?;
        Ok(hash.to_string())
    }

    /// Whether this is the password of a stored hash, whose own parameters are used.
    pub fn is(&self, stored: &str) -> bool {
        let Ok(stored) = PasswordHash::new(stored) else {
            tracing::error!("a stored password hash can't be read");
            return false;
        };
        hasher().verify_password(self.0.as_bytes(), &stored).is_ok()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

fn hasher() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are within Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The machine could not hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingFailed;

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(password: &str, name: &str) -> Result<(), FormError> {
        Password::typed(password).judge(&Name::parse(name).unwrap())
    }

    #[test]
    fn eight_to_a_hundred_and_twenty_eight_characters_are_taken() {
        assert_eq!(judge("short 7", "alice"), Err(FormError::PasswordTooShort));
        assert_eq!(judge("tall ñ 8", "alice"), Ok(()));
        let long: String = ('!'..='~').chain('¡'..='ÿ').take(128).collect();
        assert_eq!(judge(&long, "alice"), Ok(()));
        assert_eq!(judge(&format!("{long}x"), "alice"), Err(FormError::PasswordTooLong));
    }

    #[test]
    fn spaces_and_all_scripts_are_taken() {
        for password in [
            "  four words in a row  ",
            "пароль из слов",
            "正しい馬の電池です",
            "🦊🌧🧂🎻🛶🧦🪁🥝",
            "tr0mbone-lagoon",
        ] {
            assert_eq!(judge(password, "alice"), Ok(()), "{password}");
        }
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for password in [
            "password",
            "Password1",
            "12345678",
            "123456789",
            "qwertyuiop",
            "iloveyou",
            "aaaaaaaa",
            "abcdefgh",
            "letmein1",
            "P@ssw0rd",
            "alicealice",
            "backchat",
            "sunshine",
            "        ",
            "87654321",
        ] {
            assert_eq!(judge(password, "alice"), Err(FormError::PasswordCommon), "{password}");
        }
    }

    #[test]
    fn the_name_itself_is_no_password() {
        assert_eq!(judge("alice b carol", "Alice B Carol"), Err(FormError::PasswordIsName));
        assert_eq!(judge("ALICEBCAROL", "Alice B Carol"), Err(FormError::PasswordIsName));
    }

    #[test]
    fn a_hash_is_argon2id_with_the_asked_cost_and_fits_its_password_alone() {
        let password = Password::typed("tr0mbone-lagoon");
        let hash = password.hash().unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, password.hash().unwrap(), "each hash has a salt of its own");
        assert!(password.is(&hash));
        assert!(!Password::typed("tr0mbone-lagoon ").is(&hash));
        assert!(!password.is("not a hash"));
    }

    #[test]
    fn two_keyboards_type_the_same_password() {
        let hash = Password::typed("caf\u{e9} au lait").hash().unwrap();
        assert!(Password::typed("cafe\u{301} au lait").is(&hash));
    }
}
