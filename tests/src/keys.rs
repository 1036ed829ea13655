//! Root keys for installations of tests, and what the harness opens and seals with them, past every gateway.

use crate::process::goes_with_this_process;
use broker::{Broker, Expect};
use protocol::event::SealedReaction;
use protocol::keys::{Holder, KeyName, KeyState};
use protocol::{Event, MessageId, RoomSlug, SealedEvent, SealedText, UserId, subject};
use sealing::{BodyKey, Key, Kind, Label, Root, RootSource, Roots};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{LazyLock, OnceLock};

/// One root key for all installations of a run: what a test made, its harness can open. What is static is never dropped, so the
/// folder goes when the process has ended.
static FOLDER: LazyLock<(PathBuf, Child)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("there is room for a folder").keep();
    let removing = goes_with_this_process(&folder);
    let root = Root::random(1).expect("the system has random bytes");
    sealing::store(&folder.join("roots"), &root).expect("a root key can be written");
    (folder, removing)
});
/// The folder with the root key of an installation that was not made by the harness.
static GIVEN: OnceLock<PathBuf> = OnceLock::new();

/// Those that are there now: a rotation adds one.
fn roots() -> Roots {
    Roots::read(&RootSource::Folder(path())).expect("the root keys can be read")
}

/// The folder for `--roots` and `BACKCHAT_…_ROOTS`.
pub fn folder() -> String {
    path().to_string_lossy().into_owned()
}

/// From now on root keys are those in this folder, and the harness makes none.
///
/// # Panics
/// When others are in use.
pub fn given(folder: &Path) {
    assert!(GIVEN.set(folder.to_owned()).is_ok(), "root keys are given once");
}

fn path() -> PathBuf {
    GIVEN.get().cloned().unwrap_or_else(|| FOLDER.0.join("roots"))
}

/// Seals the text of a message of an author, who gets a key if there is none: then the room does not know them, but opens
/// what they wrote.
///
/// # Panics
/// When the broker does not answer.
pub async fn sealed_message(broker: &Broker, room: &RoomSlug, author: UserId, body: &str) -> SealedEvent {
    message_with(&body_key(broker, room, author).await, author, body)
}

/// The same for somebody who has the key.
pub fn message_with(key: &BodyKey, author: UserId, body: &str) -> SealedEvent {
    let id = MessageId::new();
    let label = Label { kind: Kind::Message, id, target: None };
    let sealed = key.seal(&label, body.as_bytes());
    Event::Message { id, author, body: SealedText { by: id, sealed } }
}

/// The text that an event of a room brings, if it brings one and it can be opened.
///
/// # Panics
/// When the broker does not answer.
pub async fn text(broker: &Broker, room: &RoomSlug, event: &SealedEvent) -> Option<String> {
    let (text, label) = match event {
        Event::Message { id, body, .. } => (body, of_message(*id, body)),
        Event::Edited { target, body, .. } => (body, of_message(target.id, body)),
        Event::Created { name, .. } => (name, Label { kind: Kind::Created, id: name.by, target: None }),
        Event::Reacted { target, reaction: SealedReaction { text, .. }, .. } => {
            (text, Label { kind: Kind::Reacted, id: text.by, target: Some(target.id) })
        }
        _ => return None,
    };
    let plain = body_key(broker, room, event.author()).await.open(&label, &text.sealed).ok()?;
    String::from_utf8(plain.to_vec()).ok()
}

/// A text of a message is its own, or that of its last edit.
fn of_message(message: MessageId, text: &SealedText) -> Label {
    if text.by == message {
        Label { kind: Kind::Message, id: message, target: None }
    } else {
        Label { kind: Kind::Edited, id: text.by, target: Some(message) }
    }
}

/// The key of an author's texts in a room.
///
/// # Panics
/// When the broker does not answer.
pub async fn body_key(broker: &Broker, room: &RoomSlug, author: UserId) -> BodyKey {
    let of_room = key(broker, Holder::Room(room.clone())).await;
    let of_author = key(broker, Holder::User(author)).await;
    BodyKey::derive((room, 1, &of_room), (author, 1, &of_author))
}

/// A holder's first key, made where there is none.
async fn key(broker: &Broker, holder: Holder) -> Key {
    let subject = KeyName { holder, generation: 1 }.subject();
    loop {
        let found = broker.last_confirmed(subject::KEYS_STREAM, &subject).await.expect("the broker answers");
        match found.and_then(|record| KeyState::decode(&record.payload)) {
            Some(KeyState::Wrapped { key }) => {
                return roots().unwrap(&subject, &key).expect("the key is wrapped under the tests' root key");
            }
            Some(KeyState::Erased { .. }) => panic!("the key at {subject} was erased"),
            None => {
                let made = Key::random().expect("the system has random bytes");
                let key = roots().wrap(&subject, &made).expect("the system has random bytes");
                let payload = KeyState::Wrapped { key }.encode();
                // Somebody else may be first.
                let _ = broker.put(subject.clone(), Expect::LastSequence(0), None, payload).await;
            }
        }
    }
}
