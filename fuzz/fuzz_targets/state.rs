//! The broker's records of state.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{
    keys::{
        Erasure, Holder, KeyAdmin, KeyAdminAnswer, KeyAnswer, KeyName, KeyRequest, KeyState, RoomErasures,
        RoomErasuresAnswer, RootSince,
    },
    retention::{RoomExpiry, RoomExpiryAnswer},
    state::{Installation, Membership, MessageState, Profile, Revocation, Role, RoomState, SessionKey},
    subject, token,
};

/// Where the record of a message lies.
const SEQ: u64 = 61;

fuzz_target!(|bytes: &[u8]| {
    if let Some(Membership::Member { role }) = fuzz::json::<Membership>(bytes) {
        assert_eq!(role.may_moderate(), role == Role::Owner);
    }
    fuzz::json::<RoomState>(bytes);
    fuzz::json::<Erasure>(bytes);
    fuzz::json::<RootSince>(bytes);
    fuzz::json::<KeyAdmin>(bytes);
    fuzz::json::<KeyAdminAnswer>(bytes);
    fuzz::json::<RoomErasures>(bytes);
    fuzz::json::<RoomErasuresAnswer>(bytes);
    fuzz::json::<RoomExpiry>(bytes);
    fuzz::json::<RoomExpiryAnswer>(bytes);
    fuzz::json::<KeyState>(bytes);
    fuzz::json::<KeyRequest>(bytes);
    fuzz::json::<KeyAnswer>(bytes);
    subjects(&String::from_utf8_lossy(bytes));
    fuzz::json::<Profile>(bytes);
    fuzz::json::<Revocation>(bytes);
    fuzz::json::<Installation>(bytes);
    if let Some(key) = fuzz::json::<SessionKey>(bytes)
        && let Some(public) = token::public_key(&key.public)
    {
        assert_eq!(token::public_key_text(&public), key.public);
    }
    let stored = fuzz::json::<MessageState>(bytes);
    let read = MessageState::read(SEQ, bytes);
    assert_eq!(stored.is_some(), read.is_some());
    if let (Some(stored), Some(read)) = (stored, read) {
        assert_eq!((stored.edits.len(), stored.deleted), (read.edits.len(), read.deleted));
        let last = read.edits.last();
        assert!(last.is_none_or(|edit| edit.seq != 0), "the last edit's place is known");
    }
});

/// A subject that names a key or an erasure is the subject of what it names, as it is stored or republished.
fn subjects(text: &str) {
    if let Some(name) = KeyName::of_subject(text) {
        assert_eq!(KeyName::of_subject(&name.subject()), Some(name));
    }
    if let Some(holder) = Holder::of_erasure(text) {
        assert_eq!(Holder::of_erasure(&holder.erasure_subject()), Some(holder));
    }
    if let Some(version) = subject::root_of_since(text) {
        assert_eq!(subject::root_of_since(&subject::root_since(version)), Some(version));
    }
}
