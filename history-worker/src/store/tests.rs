use protocol::subject::Shard;
use protocol::{Body, Event, MessageId, RoomSlug, StoredEvent, StreamIdentity, Timestamp, UserId};

use super::*;
use crate::changes::Sent;
use crate::checkpoint::Checkpoint;
use crate::projection::{Batch, Numbered, Part, RoomState, SentKey};

const PART: Part = Part { shard: Shard(0), shards: 1 };

struct Database {
    store: Store,
    folder: tempfile::TempDir,
}

async fn open(folder: &std::path::Path) -> Result<Store, StoreError> {
    Store::open(&format!("surrealkv://{}", folder.display()).parse().unwrap()).await
}

async fn database() -> Database {
    let folder = tempfile::tempdir().unwrap();
    Database { store: open(folder.path()).await.unwrap(), folder }
}

fn room(name: &str) -> RoomSlug {
    RoomSlug::parse(name).unwrap()
}

fn message(seq: u64, text: &str) -> StoredEvent {
    let event =
        Event::Message { id: MessageId::new(), author: UserId::new(), body: Body::parse(text).unwrap() };
    StoredEvent { seq, at: Timestamp::from_millis(1_000 + i64::try_from(seq).unwrap()), event }
}

/// A batch in which `slug` gets these events, after `count` that it has.
fn batch(slug: &RoomSlug, count: u64, events: &[StoredEvent]) -> Batch {
    let number = |place: usize| count + 1 + place as u64;
    let state = RoomState {
        name: "Tea".into(),
        creator: UserId::new(),
        count: count + events.len() as u64,
        last_seq: events.last().unwrap().seq,
        last_message: count + events.len() as u64,
    };
    let numbered = events.iter().enumerate();
    let numbered = numbered.map(|(place, event)| Numbered {
        room: slug.clone(),
        number: number(place),
        event: event.clone(),
    });
    let events: Vec<_> = numbered.collect();
    let sent = events.iter().map(|numbered| {
        (SentKey::of(slug, &numbered.event.event), Sent::row(numbered.number, &numbered.event))
    });
    let sent = sent.collect();
    Batch { events, sent, rooms: [(slug.clone(), state)].into(), ..Batch::default() }
}

/// The rows of a room with these numbers as the events that made them.
async fn events(store: &Store, room: &RoomSlug, numbers: std::ops::Range<u64>) -> Vec<StoredEvent> {
    store.rows(room, numbers).await.unwrap().into_iter().filter_map(event_of).collect()
}

fn at(applied: u64) -> Checkpoint {
    let applied_at = (applied > 0).then(|| Timestamp::from_millis(1_000));
    Checkpoint { applied, applied_at, ..Checkpoint::new(StreamIdentity(7)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_back_also_after_the_database_was_closed() {
    let database = database().await;
    let tea = room("tea_x7qa");
    let said = [message(3, "one"), message(5, "<two>\n\"'`; DROP TABLE event"), message(9, "🙂")];
    let after = Checkpoint { last_aside: Some((4, "not an event".into())), ..at(9) };
    database.store.apply(PART, &at(0), &batch(&tea, 0, &said), &after).await.unwrap();
    database.store.close().await;

    let store = open(database.folder.path()).await.unwrap();
    assert_eq!(store.checkpoint(PART).await, Ok(Some(after)));
    assert_eq!(events(&store, &tea, 1..4).await, said);
    assert_eq!(events(&store, &tea, 2..3).await, said[1..2]);
    assert_eq!(store.sequences(&tea, &[3, 1]).await.unwrap(), [9, 3]);
    let rooms = store.rooms([&tea, &room("coffee_1111")]).await.unwrap();
    assert_eq!(rooms.len(), 1);
    assert_eq!((rooms[&tea].count, rooms[&tea].last_seq), (3, 9));
    let last = store.last_messages(&[room("coffee_1111"), tea.clone()]).await.unwrap();
    assert_eq!(last, [(tea.clone(), said[2].clone())]);
    let known = SentKey::of(&tea, &said[1].event);
    let unknown = SentKey::of(&tea, &message(1, "x").event);
    let sent = store.sent([&known, &unknown]).await.unwrap();
    assert_eq!(sent.into_keys().collect::<Vec<_>>(), [known]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_after_another_checkpoint_is_refused_whole() {
    let database = database().await;
    let tea = room("tea_x7qa");
    let store = &database.store;
    store.apply(PART, &at(0), &batch(&tea, 0, &[message(3, "first")]), &at(3)).await.unwrap();
    let late = batch(&tea, 1, &[message(4, "late")]);
    for before in [at(0), at(2), Checkpoint { stream: StreamIdentity(8), ..at(3) }] {
        assert_eq!(store.apply(PART, &before, &late, &at(4)).await, Err(StoreError::Moved));
    }
    assert_eq!(store.rows(&tea, 1..9).await.unwrap().len(), 1);
    assert_eq!(store.rooms([&tea]).await.unwrap()[&tea].count, 1);
    store.apply(PART, &at(3), &late, &at(4)).await.unwrap();
    assert_eq!(store.rows(&tea, 1..9).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_at_once_one_writes_and_the_other_is_told() {
    let database = database().await;
    let tea = room("tea_x7qa");
    let mut applied = 0;
    for round in 1..=20 {
        let ours = batch(&tea, round - 1, &[message(round, "ours")]);
        let theirs = batch(&tea, round - 1, &[message(round, "theirs")]);
        let (before, after) = (at(round - 1), at(round));
        let results = tokio::join!(
            database.store.apply(PART, &before, &ours, &after),
            database.store.apply(PART, &before, &theirs, &after)
        );
        let told =
            |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Moved | StoreError::Conflict));
        assert!(
            results.0.is_ok() && told(&results.1) || results.1.is_ok() && told(&results.0),
            "{results:?}"
        );
        applied += 1;
        assert_eq!(database.store.rows(&tea, 1..99).await.unwrap().len(), applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_one_room_has_nothing_of_its_neighbours() {
    let database = database().await;
    let (short, long) = (room("tea"), room("tea_x7qa"));
    let of = |first: u64| (0..40).map(|n| message(first + n, "m")).collect::<Vec<_>>();
    database.store.apply(PART, &at(0), &batch(&short, 0, &of(1)), &at(40)).await.unwrap();
    database.store.apply(PART, &at(40), &batch(&long, 0, &of(41)), &at(80)).await.unwrap();
    let found = database.store.rows(&short, 1..1_000_000).await.unwrap();
    assert_eq!(found.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let database = database().await;
    let newer = "UPDATE meta:schema SET version = 3";
    let variables = surrealdb::types::Variables::new();
    let patience = std::time::Duration::from_secs(5);
    database.store.connection.query(newer, variables, patience).await.unwrap();
    database.store.close().await;
    let Err(StoreError::Refused(why)) = open(database.folder.path()).await else { panic!("it was opened") };
    assert!(why.contains("layout 3") && why.contains("newer backchat"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_is_refused() {
    let database = database().await;
    let again = open(database.folder.path()).await;
    assert!(matches!(again, Err(StoreError::Refused(_))), "{:?}", again.err());
}
