//! The formats, made a second time by other code (AWS-LC) from their description alone. What is stored must open for ever: a
//! change that fails here is a new format, with a new number in its name.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use data_encoding::BASE64URL_NOPAD;
use protocol::{MessageId, RoomSlug, Sealed, UserId, keys::Wrapped};
use sealing::{BodyKey, Key, Kind, Label, RootSource, Roots, reaction_tag};
use std::{fs, os::unix::fs::PermissionsExt};
use uuid::Uuid;

const ROOT: [u8; 32] = [9; 32];
const ROOM_KEY: [u8; 32] = [1; 32];
const AUTHOR_KEY: [u8; 32] = [2; 32];
const ROOM: &str = "tea_x7qa";
const AUTHOR: [u8; 16] = [7; 16];
const ID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const TARGET: [u8; 16] = [8; 16];
const GENERATIONS: (u16, u16) = (0x0102, 0x0304);

/// How many bytes are derived.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn hkdf(key: &[u8], info: &[&[u8]], length: usize) -> Vec<u8> {
    let mut made = vec![0; length];
    let secret = Salt::new(HKDF_SHA256, &[]).extract(key);
    let derived = secret.expand(info, Bytes(length)).expect("the length is allowed");
    derived.fill(&mut made).expect("the length is the same");
    made
}

fn seal(key: &[u8], nonce: [u8; 12], associated: &[u8], text: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).expect("a key has 32 bytes"));
    let mut made = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(associated), &mut made).expect("the text is short");
    made
}

/// Version 2 of the root key, from a file as an operator has it.
fn roots() -> Roots {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("root-2");
    fs::write(&path, BASE64URL_NOPAD.encode(&ROOT) + "\n").expect("a file can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file has a mode");
    Roots::read(&RootSource::Folder(folder.path().to_owned())).expect("it is a root key")
}

/// A wrapped key: version of the root (2) ‖ nonce (12) ‖ AES-256-GCM-SIV, bound to `backchat.key.1`, 0, version, name.
fn wrapped(name: &str, key: [u8; 32]) -> Wrapped {
    let nonce = [5; 12];
    let associated = [b"backchat.key.1\0\0\x02", name.as_bytes()].concat();
    let bytes = [&[0, 2][..], &nonce, &seal(&ROOT, nonce, &associated, &key)].concat();
    Wrapped(bytes.try_into().expect("a wrapped key has 62 bytes"))
}

fn unwrapped(name: &str, key: [u8; 32]) -> Key {
    roots().unwrap(name, &wrapped(name, key)).expect("it is wrapped as described")
}

fn room_key() -> Key {
    unwrapped("chat.keys.room.tea_x7qa.258", ROOM_KEY)
}

fn body_key() -> BodyKey {
    let author = unwrapped("chat.keys.user.07070707-0707-0707-0707-070707070707.772", AUTHOR_KEY);
    let room = RoomSlug::parse(ROOM).expect("it is a room's");
    BodyKey::derive(
        (&room, GENERATIONS.0, &room_key()),
        (UserId(Uuid::from_bytes(AUTHOR)), GENERATIONS.1, &author),
    )
}

/// A box as it is described, byte by byte.
fn described(kind: u8, target: [u8; 16], text: &[u8]) -> Vec<u8> {
    let info = [&b"backchat.body.1\0"[..], ROOM.as_bytes(), &[0], &AUTHOR];
    let key = hkdf(&[ROOM_KEY, AUTHOR_KEY].concat(), &info, 32);
    let generations = [1, 2, 3, 4];
    let associated =
        [&b"backchat.box.1\0"[..], &[8], ROOM.as_bytes(), &[kind], &ID, &AUTHOR, &target, &generations]
            .concat();
    let nonce = ID[4..].try_into().expect("the rest of an id has 12 bytes");
    [&[1][..], &generations, &seal(&key, nonce, &associated, text)].concat()
}

#[test]
fn a_box_is_as_described() {
    let message = |bytes| MessageId(Uuid::from_bytes(bytes));
    let text = "tea? 🍵".as_bytes();
    for (number, kind, target) in [
        (1, Kind::Created, None),
        (2, Kind::Message, None),
        (3, Kind::Edited, Some(TARGET)),
        (4, Kind::Reacted, Some(TARGET)),
    ] {
        let label = Label { kind, id: message(ID), target: target.map(message) };
        let expected = described(number, target.unwrap_or_default(), text);
        assert_eq!(body_key().seal(&label, text).as_bytes(), expected, "{kind:?}");
        let opened = body_key().open(&label, &Sealed::from_bytes(expected).unwrap()).unwrap();
        assert_eq!(opened.as_slice(), text);
    }
}

#[test]
fn a_wrapped_key_is_as_described() {
    let (name, key) = ("chat.keys.canary", room_key());
    let made = roots().wrap(name, &key).unwrap();
    let nonce = made.0[2..14].try_into().unwrap();
    let associated = [b"backchat.key.1\0\0\x02", name.as_bytes()].concat();
    assert_eq!(made.0[..2], [0, 2]);
    assert_eq!(made.0[14..], seal(&ROOT, nonce, &associated, &ROOM_KEY));
}

#[test]
fn a_tag_is_as_described() {
    let tag = reaction_tag(&room_key(), MessageId(Uuid::from_bytes(TARGET)), "👍");
    let info = [&b"backchat.reaction.1\0"[..], &TARGET, "👍".as_bytes()];
    assert_eq!(tag.0[..], hkdf(&ROOM_KEY, &info, 8));
}
