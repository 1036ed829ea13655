//! Rooms, members and tokens, written to the broker as the services would have written them.

use super::{Member, Shape, people};
use broker::{BatchEntry, Broker, Credentials, Error, Expect, Stored};
use ed25519_dalek::SigningKey;
use futures_util::{StreamExt, TryStreamExt, stream};
use protocol::{
    Cursor, MessageId, RoomSlug, SealedEvent, SealedText, SessionId, Timestamp, UserId,
    keys::{Holder, KeyName, KeyState},
    state::{Membership, Profile, Role, Room, SessionKey},
    subject::{self, Shard, Shards},
    token::{self, Claims},
};
use sealing::{BodyKey, Key, Kind, Label, Roots};
use std::time::Duration;

const KEY_ID: &str = "bench";
const TOKEN_LIFE_S: i64 = 3_600;
/// Members whose coming is stored in one atomic batch, two messages each: the broker takes 1,000 messages.
const BATCH_MEMBERS: usize = 400;
/// Requests to the broker at once.
const CONCURRENCY: usize = 32;
/// The set-up step's default.
const SHARDS: u16 = 1;

/// Makes everything, and gives everybody a token.
pub fn install(url: &str, shape: Shape, roots: &Roots) -> Result<Vec<Member>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(make(url, shape, roots)).map_err(|error| format!("rooms can't be made: {error}"))
}

/// A connection of the benchmark's own.
///
/// # Errors
/// When none comes about.
pub async fn connect_to_broker(url: &str) -> Result<Broker, Error> {
    let credentials = Credentials::of_nobody(url, "bench");
    Broker::connect(&credentials, Duration::from_secs(20)).await
}

async fn make(url: &str, shape: Shape, roots: &Roots) -> Result<Vec<Member>, Error> {
    let broker = connect_to_broker(url).await?;
    let key = SigningKey::from_bytes(&[7; 32]);
    publish_key(&broker, &key).await?;
    store_key(&broker, roots, subject::CANARY, &random_key()).await?;
    let users: Vec<UserId> = people(shape).map(|_| UserId::new()).collect();
    let users_keys = give_keys(&broker, roots, &users).await?;
    name_all(&broker, &users).await?;
    let made = users.chunks(shape.members).enumerate().map(|(number, members)| {
        let (broker, owners) = (&broker, &users_keys[number * shape.members]);
        async move { make_room(broker, roots, number, (members, owners)).await }
    });
    let rooms: Vec<(RoomSlug, Cursor)> = stream::iter(made).buffered(CONCURRENCY).try_collect().await?;
    let members = people(shape).zip(users).map(|(room, user)| {
        let (slug, cursor) = &rooms[room];
        let after = if shape.returning { format!("?after={cursor}") } else { String::new() };
        let path = format!("/chat/{slug}/{after}");
        Member { room, door: 0, path, token: Some(sign(user, &key)) }
    });
    Ok(members.collect())
}

fn random_key() -> Key {
    Key::random().expect("the system has random bytes")
}

/// Gives everybody a key, as the auth service does.
async fn give_keys(broker: &Broker, roots: &Roots, users: &[UserId]) -> Result<Vec<Key>, Error> {
    let given = users.iter().map(|user| async move {
        let (key, name) = (random_key(), KeyName { holder: Holder::User(*user), generation: 1 });
        store_key(broker, roots, &name.subject(), &key).await.map(|()| key)
    });
    stream::iter(given).buffered(CONCURRENCY).try_collect().await
}

async fn store_key(broker: &Broker, roots: &Roots, subject: &str, key: &Key) -> Result<(), Error> {
    let key = roots.wrap(subject, key).expect("the system has random bytes");
    let payload = KeyState::Wrapped { key }.encode();
    broker.put(subject.to_owned(), Expect::Anything, None, payload).await.map(drop)
}

async fn publish_key(broker: &Broker, key: &SigningKey) -> Result<(), Error> {
    let state = SessionKey { public: token::public_key_text(&key.verifying_key()), retired_at: None };
    broker.put(subject::session_key(KEY_ID), Expect::Anything, None, json(&state)).await.map(drop)
}

fn sign(user: UserId, key: &SigningKey) -> String {
    let now_s = Timestamp::now().as_millis() / 1_000;
    let claims =
        Claims { user, session: SessionId::new(), issued_at_s: now_s, expires_at_s: now_s + TOKEN_LIFE_S };
    token::sign(&claims, KEY_ID, key)
}

async fn name_all(broker: &Broker, users: &[UserId]) -> Result<(), Error> {
    let named = users.iter().enumerate().map(|(number, user)| {
        let profile = Profile { name: format!("Member {number}") };
        broker.put(subject::profile(*user), Expect::Anything, None, json(&profile))
    });
    stream::iter(named).buffer_unordered(CONCURRENCY).try_for_each(|_| async { Ok(()) }).await
}

/// Makes a room, its first member's; then the others join. Gives the place of its last event.
async fn make_room(
    broker: &Broker,
    roots: &Roots,
    number: usize,
    (members, owners_key): (&[UserId], &Key),
) -> Result<(RoomSlug, Cursor), Error> {
    let room = RoomSlug::parse(&format!("room_{number}")).expect("lower-case letters and digits");
    let shard = Shards::at_first(SHARDS).of(&room).expect("its code names no shard");
    let owner = members[0];
    let key = random_key();
    let key_name = KeyName { holder: Holder::Room(room.clone()), generation: 1 };
    store_key(broker, roots, &key_name.subject(), &key).await?;
    let (id, body_key) = (MessageId::new(), BodyKey::derive((&room, 1, &key), (owner, 1, owners_key)));
    let text = format!("Room {number}");
    let sealed = body_key.seal(&Label { kind: Kind::Created, id, target: None }, text.as_bytes());
    let name = SealedText { by: id, sealed };
    let created = SealedEvent::Created { id, author: owner, name: name.clone() };
    let mut entries = vec![entry(shard.room(&room), json(&Room::new(name, owner)))];
    entries.extend(member(shard, &room, owner, Role::Owner, &created));
    let mut last = store(broker, entries).await?;
    for some in members[1..].chunks(BATCH_MEMBERS) {
        let entries = some.iter().flat_map(|user| {
            let joined = SealedEvent::Joined { id: MessageId::new(), author: *user };
            member(shard, &room, *user, Role::Member, &joined)
        });
        last = store(broker, entries.collect()).await?;
    }
    let stream = broker.stream(&shard.stream()).await?.identity;
    Ok((room, Cursor { stream, seq: last.seq }))
}

async fn store(broker: &Broker, entries: Vec<BatchEntry>) -> Result<Stored, Error> {
    broker.publish_batch(&entries).await
}

/// A membership's state and its event; the event last, so that a batch ends with an event of the log.
fn member(shard: Shard, room: &RoomSlug, user: UserId, role: Role, event: &SealedEvent) -> [BatchEntry; 2] {
    let state = Membership::Member { role };
    [entry(shard.member(user, room), json(&state)), entry(shard.log(room), event.encode())]
}

fn entry(subject: String, payload: Vec<u8>) -> BatchEntry {
    BatchEntry { subject, expect: Expect::Anything, payload: payload.into(), trace: None }
}

fn json(state: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(state).expect("a state is plain JSON")
}
