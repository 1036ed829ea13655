//! A text as log and database hold it: sealed by a gateway, and opened by nobody without the keys.

use crate::MessageId;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sha2::{Digest, Sha256};
use std::fmt;

/// The format of boxes that this code makes and opens.
pub const BOX_FORMAT: u8 = 1;
/// Bytes before the sealed text: the format, and the generations of the room's and the author's key.
pub const BOX_HEAD_BYTES: usize = 5;
/// Bytes of the authentication tag at the end.
pub const BOX_TAG_BYTES: usize = 16;

/// Sealed bytes: format (1) ‖ generation of the room's key (2) ‖ of the author's key (2) ‖ cipher text ‖ tag (16).
/// In JSON it is base64url without padding.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Takes the bytes of a box; `None` when they are too short or of another format.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let is_box = bytes.len() >= BOX_HEAD_BYTES + BOX_TAG_BYTES && bytes[0] == BOX_FORMAT;
        is_box.then_some(Self(bytes))
    }

    /// Reads base64url.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?)
    }

    pub fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The generations of the room's and of the author's key.
    pub fn generations(&self) -> (u16, u16) {
        let number = |at: usize| u16::from_be_bytes([self.0[at], self.0[at + 1]]);
        (number(1), number(3))
    }

    /// What is kept of a text that is erased: SHA-256 of its box, as lower-case hexadecimal text. No key is needed to check it.
    pub fn hash(&self) -> String {
        HEXLOWER.encode(&self.digest())
    }

    /// SHA-256 of the box.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// No text in logs, not even sealed.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a box of format 1"))
    }
}

/// A sealed text with the event that brought it, to which it is bound: a message's own, or its last edit's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedText {
    pub by: MessageId,
    #[serde(rename = "box")]
    pub sealed: Sealed,
}

/// Tells equal reactions to one message without opening them: a keyed hash of message and reaction, 8 bytes, as hexadecimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub [u8; 8]);

impl Tag {
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a tag of 8 bytes"))
    }
}
