//! The names of things: people, sessions, rooms, messages, and places in the log.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The text has not the form of the id that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadId(pub &'static str);

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a {}", self.0)
    }
}
impl std::error::Error for BadId {}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id of this kind: UUID version 7, so that ids rise with time.
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as the log writes it.
            pub fn short(self) -> String {
                short::text(self.0, &mut short::Letters::default()).to_owned()
            }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Uuid::try_parse(text).map(Self).map_err(|_| BadId($what))
            }
        }
    };
}

uuid_id!(
    /// A person's account, for ever. Names change; this does not.
    UserId, "user id"
);
uuid_id!(
    /// A logged-in browser or program.
    SessionId, "session id"
);
uuid_id!(
    /// An event's id. For a message the client makes it, and sends the same one again when it retries.
    MessageId, "message id"
);

/// Ids as the log has them: their 16 bytes in base64url, 22 letters instead of 36, since each crosses the broker twice
/// for every event.
pub(crate) mod short {
    use super::{BASE64URL_NOPAD, Deserializer, Serializer, Uuid, fmt};
    use serde::de::{Error, Visitor};
    use std::marker::PhantomData;

    const LETTERS: usize = 22;
    pub type Letters = [u8; LETTERS];

    pub fn text(id: Uuid, letters: &mut Letters) -> &str {
        BASE64URL_NOPAD.encode_mut_str(id.as_bytes(), letters)
    }

    pub fn serialize<I: Copy + Into<Uuid>, S: Serializer>(id: &I, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text((*id).into(), &mut Letters::default()))
    }

    pub fn deserialize<'de, I: From<Uuid>, D: Deserializer<'de>>(deserializer: D) -> Result<I, D::Error> {
        deserializer.deserialize_str(Read(PhantomData))
    }

    struct Read<I>(PhantomData<I>);

    impl<I: From<Uuid>> Visitor<'_> for Read<I> {
        type Value = I;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an id of {LETTERS} letters")
        }

        fn visit_str<E: Error>(self, letters: &str) -> Result<I, E> {
            let mut bytes = uuid::Bytes::default();
            // The buffer has room for the bytes of exactly so many letters.
            if letters.len() != LETTERS || BASE64URL_NOPAD.decode_mut(letters.as_bytes(), &mut bytes).is_err()
            {
                return Err(E::invalid_value(serde::de::Unexpected::Str(letters), &self));
            }
            Ok(Uuid::from_bytes(bytes).into())
        }
    }
}

/// A room's address and id for ever: `<name in Latin letters>_<four characters>`, and `__<shard>` behind that for a room in a shard
/// that was added later; lower case, valid as one token of a broker subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomSlug(std::sync::Arc<str>);

impl RoomSlug {
    /// Reads a slug.
    ///
    /// # Errors
    /// [`BadId`] unless the text is 1 to [`crate::limits::SLUG_BYTES_MAX`] of `a–z`, `0–9`, `_`.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let fits = (1..=crate::limits::SLUG_BYTES_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if fits && plain { Ok(Self(text.into())) } else { Err(BadId("room code")) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shard that the code names behind two underscores, if it does: no name is written with two.
    pub fn named_shard(&self) -> Option<u16> {
        self.0.rsplit_once("__")?.1.parse().ok()
    }

    /// The same code, naming a shard.
    #[must_use]
    pub fn naming(&self, shard: u16) -> Self {
        Self(format!("{self}__{shard}").into())
    }
}

impl fmt::Display for RoomSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for RoomSlug {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        Self::parse(text)
    }
}
impl Serialize for RoomSlug {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for RoomSlug {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Which life of a stream this is: when it was made or restored, in nanoseconds since 1970, as whoever did so wrote it down
/// in the stream. A stream that was deleted and made anew has another one, and its sequences mean other events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamIdentity(pub i64);

impl fmt::Display for StreamIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
impl FromStr for StreamIdentity {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        // Without a sign, as it is shown.
        let number = u64::from_str_radix(text, 16).map_err(|_| BadId("stream identity"))?;
        Ok(Self(number.cast_signed()))
    }
}

/// A place in a room's log: everything up to and including `seq` of that life of the stream has been seen.
/// Its text is `<stream identity>.<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub stream: StreamIdentity,
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stream, self.seq)
    }
}
impl FromStr for Cursor {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId("cursor");
        let (stream, seq) = text.split_once('.').ok_or(bad)?;
        Ok(Self { stream: stream.parse().map_err(|_| bad)?, seq: seq.parse().map_err(|_| bad)? })
    }
}
impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_one_plain_token() {
        assert!(RoomSlug::parse("ete_x7qa").is_ok());
        for bad in ["", "a.b", "a*", ">", "É_x7qa", "A_x7qa", "a b", &"x".repeat(65)] {
            assert!(RoomSlug::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor { stream: StreamIdentity(1_795_000_000_123_456_789), seq: 42 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let before_1970 = Cursor { stream: StreamIdentity(-85), seq: 1 };
        assert_eq!(before_1970.to_string().parse(), Ok(before_1970));
        for bad in ["", "1", ".", "zz.1", "-55.1", "1.-1", "1.99999999999999999999"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?} was taken");
        }
    }
}
