//! Texts of one author in one room, sealed and opened.

use crate::{Key, key::KEY_BYTES};
use aes_gcm_siv::{
    Aes256GcmSiv, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use protocol::{
    MessageId, RoomSlug, Sealed, Tag, UserId,
    sealed::{BOX_FORMAT, BOX_HEAD_BYTES, BOX_TAG_BYTES},
};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// What the derivation of a body key begins with, the associated data of a box, and the derivation of a tag.
const BODY_PURPOSE: &[u8] = b"backchat.body.1\0";
const BOX_PURPOSE: &[u8] = b"backchat.box.1\0";
const TAG_PURPOSE: &[u8] = b"backchat.reaction.1\0";

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of a room.
    Created,
    Message,
    /// The new text of a message.
    Edited,
    Reacted,
}

/// What a text is of. A box is bound to it: under another label it does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    pub kind: Kind,
    /// The event that brings it.
    pub id: MessageId,
    /// The message that the event is about, if it is about one.
    pub target: Option<MessageId>,
}

/// The key of one author's texts in one room.
pub struct BodyKey {
    cipher: Aes256GcmSiv,
    /// What all boxes of this key have in common.
    room: RoomSlug,
    author: UserId,
    generations: (u16, u16),
}

/// The text was altered, or is not where it was written, or the key is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the box does not open: it was altered, or is not where it was written")
    }
}
impl std::error::Error for Forged {}

impl fmt::Debug for BodyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyKey")
    }
}

impl BodyKey {
    /// From a room's and an author's key, each with its generation.
    pub fn derive(room: (&RoomSlug, u16, &Key), author: (UserId, u16, &Key)) -> Self {
        // Both have 32 bytes, so that no two pairs of keys can be read as one another.
        let mut keys = Zeroizing::new([0; 2 * KEY_BYTES]);
        keys[..KEY_BYTES].copy_from_slice(room.2.bytes());
        keys[KEY_BYTES..].copy_from_slice(author.2.bytes());
        let info = [BODY_PURPOSE, room.0.as_str().as_bytes(), b"\0", author.0.0.as_bytes()].concat();
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(None, &keys[..]).expand(&info, &mut key[..]).expect("32 bytes are few");
        Self {
            cipher: Aes256GcmSiv::new(&(*key).into()),
            room: room.0.clone(),
            author: author.0,
            generations: (room.1, author.1),
        }
    }

    /// The generations of the room's and the author's key.
    pub const fn generations(&self) -> (u16, u16) {
        self.generations
    }

    /// Seals a text: the same text under the same label to the same bytes.
    pub fn seal(&self, label: &Label, text: &[u8]) -> Sealed {
        let aad = self.associated(label);
        let sealed = self.cipher.encrypt(&nonce(label), Payload { msg: text, aad: &aad });
        let sealed = sealed.expect("a text is far below the cipher's limit of 64 GiB");
        let mut bytes = Vec::with_capacity(BOX_HEAD_BYTES + sealed.len());
        bytes.push(BOX_FORMAT);
        bytes.extend(self.generations.0.to_be_bytes());
        bytes.extend(self.generations.1.to_be_bytes());
        bytes.extend(sealed);
        Sealed::from_bytes(bytes).expect("it was made as a box is")
    }

    /// Opens a box.
    ///
    /// # Errors
    /// [`Forged`]: never to be taken for "not there".
    pub fn open(&self, label: &Label, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Forged> {
        if sealed.generations() != self.generations {
            return Err(Forged);
        }
        let aad = self.associated(label);
        let payload = Payload { msg: &sealed.as_bytes()[BOX_HEAD_BYTES..], aad: &aad };
        self.cipher.decrypt(&nonce(label), payload).map(Zeroizing::new).map_err(|_| Forged)
    }

    fn associated(&self, label: &Label) -> Vec<u8> {
        let slug = self.room.as_str().as_bytes();
        let length = u8::try_from(slug.len()).expect("a slug has at most 64 bytes");
        let kind = match label.kind {
            Kind::Created => 1,
            Kind::Message => 2,
            Kind::Edited => 3,
            Kind::Reacted => 4,
        };
        let target = label.target.map_or([0; 16], |target| target.0.into_bytes());
        let mut aad = Vec::with_capacity(BOX_PURPOSE.len() + 1 + slug.len() + 1 + 3 * 16 + 4);
        aad.extend(BOX_PURPOSE);
        aad.push(length);
        aad.extend(slug);
        aad.push(kind);
        aad.extend(label.id.0.as_bytes());
        aad.extend(self.author.0.as_bytes());
        aad.extend(target);
        aad.extend(self.generations.0.to_be_bytes());
        aad.extend(self.generations.1.to_be_bytes());
        aad
    }
}

/// The last 12 bytes of the event's id. Should a client use an id twice, equal texts under equal labels are all that shows.
fn nonce(label: &Label) -> Nonce {
    let id = label.id.0.as_bytes();
    let bytes: [u8; 12] = id[4..].try_into().expect("an id has 16 bytes");
    bytes.into()
}

/// Tells equal reactions to one message without opening them.
pub fn reaction_tag(room: &Key, target: MessageId, reaction: &str) -> Tag {
    let info = [TAG_PURPOSE, target.0.as_bytes(), reaction.as_bytes()].concat();
    let mut tag = [0; 8];
    Hkdf::<Sha256>::new(None, room.bytes()).expand(&info, &mut tag).expect("8 bytes are few");
    Tag(tag)
}

/// The least that a box takes beside its text, in bytes.
pub const BOX_BYTES_BESIDE: usize = BOX_HEAD_BYTES + BOX_TAG_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce as OtherNonce, UnboundKey};
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    fn slug(text: &str) -> RoomSlug {
        RoomSlug::parse(text).unwrap()
    }
    fn id(number: u128) -> MessageId {
        MessageId(uuid(number))
    }
    fn uuid(number: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(number)
    }

    struct Case {
        room: RoomSlug,
        author: UserId,
        generations: (u16, u16),
        keys: ([u8; 32], [u8; 32]),
        label: Label,
    }

    impl Case {
        fn usual() -> Self {
            Self {
                room: slug("tea_x7qa"),
                author: UserId(uuid(7)),
                generations: (1, 1),
                keys: ([1; 32], [2; 32]),
                label: Label { kind: Kind::Edited, id: id(8), target: Some(id(9)) },
            }
        }

        fn key(&self) -> BodyKey {
            let (room, author) = (Key::of(self.keys.0), Key::of(self.keys.1));
            BodyKey::derive(
                (&self.room, self.generations.0, &room),
                (self.author, self.generations.1, &author),
            )
        }
    }

    /// RFC 8452, appendix C.2: key, nonce, plain text, associated data, result.
    #[test]
    fn the_cipher_is_that_of_rfc_8452() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let key = format!("01{}", "00".repeat(31));
        let nonce = format!("03{}", "00".repeat(11));
        for (plain, aad, result) in [
            ("", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
            ("0100000000000000", "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
            ("010000000000000000000000", "", "9aab2aeb3faa0a34aea8e2b18ca50da9ae6559e48fd10f6e5c9ca17e"),
            ("0200000000000000", "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
        ] {
            let cipher = Aes256GcmSiv::new_from_slice(&hex(&key)).unwrap();
            let nonce: [u8; 12] = hex(&nonce).try_into().unwrap();
            let made = cipher.encrypt(&nonce.into(), Payload { msg: &hex(plain), aad: &hex(aad) }).unwrap();
            assert_eq!(HEXLOWER.encode(&made), result);
        }
    }

    #[test]
    fn a_second_implementation_gives_the_same_bytes() {
        for length in 0..300_u16 {
            let (key, nonce) = ([length as u8; 32], [(length >> 3) as u8; 12]);
            let (text, aad) = (vec![0x5A; length.into()], vec![7; usize::from(length % 40)]);
            let other = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).unwrap());
            let mut theirs = text.clone();
            let other_nonce = OtherNonce::assume_unique_for_key(nonce);
            other.seal_in_place_append_tag(other_nonce, Aad::from(&aad), &mut theirs).unwrap();
            let ours = Aes256GcmSiv::new(&key.into());
            let ours = ours.encrypt(&nonce.into(), Payload { msg: &text, aad: &aad }).unwrap();
            assert_eq!(ours, theirs, "{length} bytes");
        }
    }

    #[test]
    fn a_box_opens_under_its_own_label_and_keys_alone() {
        let sealed = Case::usual().key().seal(&Case::usual().label, b"tea?");
        assert_eq!(Case::usual().key().open(&Case::usual().label, &sealed).unwrap().as_slice(), b"tea?");
        let changes: [fn(&mut Case); 12] = [
            |case| case.room = slug("tea_x7qb"),
            |case| case.author = UserId(uuid(6)),
            |case| case.generations.0 = 2,
            |case| case.generations.1 = 2,
            |case| case.keys.0 = [3; 32],
            |case| case.keys.1 = [3; 32],
            |case| std::mem::swap(&mut case.keys.0, &mut case.keys.1),
            |case| case.label.kind = Kind::Message,
            |case| case.label.kind = Kind::Reacted,
            |case| case.label.id = id(10),
            |case| case.label.target = Some(id(8)),
            |case| case.label.target = None,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut case = Case::usual();
            change(&mut case);
            assert_eq!(case.key().open(&case.label, &sealed), Err(Forged), "change {number}");
        }
    }

    #[test]
    fn equal_reactions_to_one_message_have_equal_tags() {
        let (key, other) = (Key::of([1; 32]), Key::of([2; 32]));
        let tag = reaction_tag(&key, id(1), "👍");
        assert_eq!(tag, reaction_tag(&key, id(1), "👍"));
        for different in [
            reaction_tag(&key, id(1), "🎉"),
            reaction_tag(&key, id(2), "👍"),
            reaction_tag(&other, id(1), "👍"),
        ] {
            assert_ne!(tag, different);
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_is_sealed_alike(
            text in prop::collection::vec(any::<u8>(), 0..600), number in any::<u128>(),
        ) {
            let mut case = Case::usual();
            case.label.id = id(number);
            let sealed = case.key().seal(&case.label, &text);
            prop_assert_eq!(sealed.as_bytes().len(), text.len() + BOX_BYTES_BESIDE);
            prop_assert_eq!(&sealed, &case.key().seal(&case.label, &text));
            let opened = case.key().open(&case.label, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), &text[..]);
        }

        #[test]
        fn no_altered_bit_opens(text in prop::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let case = Case::usual();
            let mut bytes = case.key().seal(&case.label, &text).as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let opened = Sealed::from_bytes(bytes).map(|sealed| case.key().open(&case.label, &sealed));
            prop_assert!(opened.is_none_or(|opened| opened == Err(Forged)));
        }
    }
}
