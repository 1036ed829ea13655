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
            cipher: Aes256GcmSiv::new((&*key).into()),
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

    /// RFC 8452, appendix C.2, and C.3 where the counter begins anew: key, nonce, plain text, associated data, result.
    const RFC_8452: [(&str, &str, &str, &str, &str); 13] = [
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "",
            "",
            "07f5f4169bbf55a8400cd47ea6fd400f",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "0100000000000000",
            "",
            "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "010000000000000000000000",
            "",
            "9aab2aeb3faa0a34aea8e2b18ca50da9ae6559e48fd10f6e5c9ca17e",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "01000000000000000000000000000000",
            "",
            "85a01b63025ba19b7fd3ddfc033b3e76c9eac6fa700942702e90862383c6c366",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "0100000000000000000000000000000002000000000000000000000000000000",
            "",
            "4a6a9db4c8c6549201b9edb53006cba821ec9cf850948a7c86c68ac7539d027fe819e63abcd020b006a976397632eb5d",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "0200000000000000",
            "01",
            "1de22967237a813291213f267e3b452f02d01ae33e4ec854",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "02000000",
            "010000000000000000000000",
            "22b3f4cd1835e517741dfddccfa07fa4661b74cf",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "030000000000000000000000000000000400",
            "0100000000000000000000000000000002000000",
            "462401724b5ce6588d5a54aae5375513a075cfcdf5042112aa29685c912fc2056543",
        ),
        (
            "bae8e37fc83441b16034566b7a806c46bb91c3c5aedb64a6c590bc84d1a5e269",
            "e4b47801afc0577e34699b9e",
            "671fdd",
            "4fbdc66f14",
            "0eaccb93da9bb81333aee0c785b240d319719d",
        ),
        (
            "b18853f68d833640e42a3c02c25b64869e146d7b233987bddfc240871d7576f7",
            "028ec6eb5ea7e298342a94d4",
            "b202b370ef9768ec6561c4fe6b7e7296fa85",
            "9c2159058b1f0fe91433a5bdc20e214eab7fecef4454a10ef0657df21ac7",
            "857e16a64915a787637687db4a9519635cdd454fc2a154fea91f8363a39fec7d0a49",
        ),
        (
            "3c535de192eaed3822a2fbbe2ca9dfc88255e14a661b8aa82cc54236093bbc23",
            "688089e55540db1872504e1c",
            "ced532ce4159b035277d4dfbb7db62968b13cd4eec",
            "734320ccc9d9bbbb19cb81b2af4ecbc3e72834321f7aa0f70b7282b4f33df23f167541",
            "626660c26ea6612fb17ad91e8e767639edd6c9faee9d6c7029675b89eaf4ba1ded1a286594",
        ),
        (
            "0000000000000000000000000000000000000000000000000000000000000000",
            "000000000000000000000000",
            "000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108",
            "",
            "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3eaffffffff000000000000000000000000",
        ),
        (
            "0000000000000000000000000000000000000000000000000000000000000000",
            "000000000000000000000000",
            "eb3640277c7ffd1303c7a542d02d3e4c0000000000000000",
            "",
            "18ce4f0b8cb4d0cac65fea8f79257b20888e53e72299e56dffffffff000000000000000000000000",
        ),
    ];

    #[test]
    fn the_cipher_is_that_of_rfc_8452() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        for (key, nonce, plain, aad, result) in RFC_8452 {
            let cipher = Aes256GcmSiv::new_from_slice(&hex(key)).unwrap();
            let nonce: [u8; 12] = hex(nonce).try_into().unwrap();
            let made = cipher.encrypt(&nonce.into(), Payload { msg: &hex(plain), aad: &hex(aad) }).unwrap();
            assert_eq!(HEXLOWER.encode(&made), result);
            let opened = cipher.decrypt(&nonce.into(), Payload { msg: &made, aad: &hex(aad) }).unwrap();
            assert_eq!(HEXLOWER.encode(&opened), plain);
        }
    }

    #[test]
    fn a_second_implementation_gives_the_same_bytes() {
        for length in 0..500_u16 {
            let (key, nonce) = ([length as u8; 32], [(length >> 3) as u8; 12]);
            let (text, aad) = (vec![0x5A; length.into()], vec![7; usize::from(length % 40)]);
            let other = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).unwrap());
            let mut theirs = text.clone();
            let other_nonce = OtherNonce::assume_unique_for_key(nonce);
            other.seal_in_place_append_tag(other_nonce, Aad::from(&aad), &mut theirs).unwrap();
            let ours = Aes256GcmSiv::new(&key.into());
            let ours = ours.encrypt(&nonce.into(), Payload { msg: &text, aad: &aad }).unwrap();
            assert_eq!(ours, theirs, "{length} bytes");
            let nonce = OtherNonce::assume_unique_for_key(nonce);
            assert_eq!(other.open_in_place(nonce, Aad::from(&aad), &mut theirs).unwrap(), text);
        }
    }

    #[test]
    fn a_box_opens_under_its_own_label_and_keys_alone() {
        let sealed = Case::usual().key().seal(&Case::usual().label, b"tea?");
        assert_eq!(Case::usual().key().open(&Case::usual().label, &sealed).unwrap().as_slice(), b"tea?");
        let changes: [fn(&mut Case); 14] = [
            |case| case.room = slug("tea_x7qb"),
            |case| case.author = UserId(uuid(6)),
            |case| case.generations.0 = 2,
            |case| case.generations.1 = 2,
            |case| case.keys.0 = [3; 32],
            |case| case.keys.1 = [3; 32],
            |case| std::mem::swap(&mut case.keys.0, &mut case.keys.1),
            |case| case.generations = (2, 2),
            |case| case.label.kind = Kind::Created,
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

    /// Its head says which keys a box needs; that alone does not make it theirs.
    #[test]
    fn a_box_with_the_generations_of_another_key_does_not_open() {
        let mut later = Case::usual();
        later.generations = (2, 1);
        let mut bytes = Case::usual().key().seal(&later.label, b"tea?").as_bytes().to_vec();
        bytes[2] = 2;
        let claimed = Sealed::from_bytes(bytes).unwrap();
        assert_eq!(claimed.generations(), later.key().generations());
        assert_eq!(later.key().open(&later.label, &claimed), Err(Forged));
    }

    #[test]
    fn neither_room_nor_author_stands_in_for_the_other() {
        let shared = |room: &str, author: u128| {
            let mut case = Case::usual();
            (case.room, case.author) = (slug(room), UserId(uuid(author)));
            case.key().seal(&case.label, b"tea?")
        };
        let boxes = [shared("a", 1), shared("ab", 1), shared("a", 2), shared("b", 1)];
        for (at, one) in boxes.iter().enumerate() {
            assert!(boxes[..at].iter().all(|other| other != one), "box {at}");
        }
    }

    #[test]
    fn a_key_is_shared_by_threads_and_never_shown() {
        fn shared<T: Send + Sync>() {}
        shared::<BodyKey>();
        assert_eq!(format!("{:?}", Case::usual().key()), "BodyKey");
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
        fn another_id_opens_nothing_and_shares_no_bytes(one in any::<u128>(), other in any::<u128>()) {
            prop_assume!(one != other);
            let case = Case::usual();
            let of = |number| Label { id: id(number), ..case.label };
            let sealed = case.key().seal(&of(one), b"tea?");
            prop_assert_eq!(case.key().open(&of(other), &sealed), Err(Forged));
            prop_assert_ne!(case.key().seal(&of(other), b"tea?"), sealed);
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
