//! Session tokens: what a gateway checks by itself, without asking anybody.
//!
//! A token is a JWS in compact form (RFC 7515) signed with Ed25519 (RFC 8037); the algorithm is fixed,
//! and a header that names another is refused before anything is verified.

use crate::{SessionId, Timestamp, UserId};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A key that tokens are checked with, ready for use.
pub type PublicKey = VerifyingKey;

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// What a token says. Times are in seconds since 1970, as JWT has them (RFC 7519).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(rename = "sub")]
    pub user: UserId,
    #[serde(rename = "sid")]
    pub session: SessionId,
    #[serde(rename = "iat")]
    pub issued_at_s: i64,
    #[serde(rename = "exp")]
    pub expires_at_s: i64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// Why a token is not accepted. The peer only learns that its session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadToken {
    Malformed,
    UnknownKey,
    Forged,
    Expired,
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the token has not the form of one",
            Self::UnknownKey => "the token is signed with an unknown or retired key",
            Self::Forged => "the token's signature is wrong",
            Self::Expired => "the token has expired",
        })
    }
}
impl std::error::Error for BadToken {}

/// Makes a token.
pub fn sign(claims: &Claims, key_id: &str, key: &SigningKey) -> String {
    let header = Header { alg: "EdDSA".into(), kid: key_id.into() };
    let mut token = encode(&header);
    token.push('.');
    token.push_str(&encode(claims));
    let signature = key.sign(token.as_bytes());
    token.push('.');
    token.push_str(&BASE64URL_NOPAD.encode(&signature.to_bytes()));
    token
}

/// Checks a token against the key that `key_of` gives for its key id, at the time `now`.
///
/// # Errors
/// [`BadToken`]; a token that is in order but for its time is [`BadToken::Expired`].
pub fn verify(
    token: &str,
    now: Timestamp,
    key_of: impl FnOnce(&str) -> Option<VerifyingKey>,
) -> Result<Claims, BadToken> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(BadToken::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(BadToken::Malformed)?;
    let header: Header = decode(header)?;
    if header.alg != "EdDSA" {
        return Err(BadToken::Malformed);
    }
    let key = key_of(&header.kid).ok_or(BadToken::UnknownKey)?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| BadToken::Malformed)?;
    let signature = Signature::from_slice(&signature).map_err(|_| BadToken::Malformed)?;
    key.verify_strict(signed.as_bytes(), &signature).map_err(|_| BadToken::Forged)?;
    let claims: Claims = decode(claims)?;
    if claims.expires_at_s.saturating_mul(1000) <= now.as_millis() {
        return Err(BadToken::Expired);
    }
    Ok(claims)
}

/// Reads a public key as [`crate::state::SessionKey`] carries it.
pub fn public_key(text: &str) -> Option<VerifyingKey> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok()
}

/// Writes a public key as [`crate::state::SessionKey`] carries it.
pub fn public_key_text(key: &VerifyingKey) -> String {
    BASE64URL_NOPAD.encode(key.as_bytes())
}

fn encode(part: &impl Serialize) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(part).expect("a token's part is plain JSON"))
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, BadToken> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| BadToken::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| BadToken::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(expires_at_s: i64) -> Claims {
        Claims { user: UserId::new(), session: SessionId::new(), issued_at_s: 0, expires_at_s }
    }

    #[test]
    fn a_token_is_checked_by_its_key_alone() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let claims = claims(100);
        let token = sign(&claims, "k1", &key);
        let at = Timestamp::from_millis;
        let known = |kid: &str| (kid == "k1").then(|| key.verifying_key());
        assert_eq!(verify(&token, at(99_999), known), Ok(claims));
        assert_eq!(verify(&token, at(100_000), known), Err(BadToken::Expired));
        assert_eq!(verify(&token, at(0), |_| None), Err(BadToken::UnknownKey));
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        assert_eq!(verify(&token, at(0), |_| Some(other)), Err(BadToken::Forged));
    }

    #[test]
    fn a_changed_token_is_refused() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let token = sign(&claims(100), "k1", &key);
        let known = |_: &str| Some(key.verifying_key());
        let none = format!(
            "{}.{}.",
            BASE64URL_NOPAD.encode(br#"{"alg":"none","kid":"k1"}"#),
            token.split('.').nth(1).unwrap()
        );
        for bad in ["", ".", "..", "a.b.c", &token[..token.len() - 2], &none, &"x".repeat(5000)] {
            assert!(verify(bad, Timestamp::from_millis(0), known).is_err(), "{bad:?} was taken");
        }
    }
}
