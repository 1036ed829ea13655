use protocol::view::{Reactors, SealedRow, What};
use protocol::{Event, MessageId, RoomSlug, SealedStored, StreamIdentity, Timestamp, UserId};

use super::*;
use crate::boxes::{self, boxed};
use crate::checkpoint::Checkpoint;
use crate::edition::{Edition, Editions};
use crate::projection::{
    Batch, Given, GivenAt, Kept, LogEntry, Mark, Part, Place, RoomState, Sent, SentKey, Text,
};

const PART: Part = Part::whole();

const FIRST: Editions<'_> = Editions::Under(0);

const fn first(room: &RoomSlug) -> Edition<'_> {
    Edition { room, generation: 0 }
}

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

fn message(seq: u64, text: &str) -> SealedStored {
    let id = MessageId::new();
    let event = Event::Message { id, author: UserId::new(), body: boxed(id, text) };
    SealedStored { seq, at: Timestamp::from_millis(1_000 + i64::try_from(seq).unwrap()), event }
}

/// A batch in which `slug` gets these events, after `count` that it has.
fn batch(slug: &RoomSlug, count: u64, events: &[SealedStored]) -> Batch {
    let state = RoomState {
        count: count + events.len() as u64,
        last_seq: events.last().unwrap().seq,
        last_message: count + events.len() as u64,
        ..RoomState::new(UserId::new())
    };
    let numbered = (count + 1..).zip(events);
    let rows = numbered.map(|(number, event)| (Place::new(slug, number), kept(event)));
    Batch { rows: rows.collect(), rooms: [(slug.clone(), state)].into(), ..Batch::default() }
}

fn kept(event: &SealedStored) -> Kept {
    Kept { row: SealedRow::of(event).unwrap(), given: Vec::new(), before: 0, hash: None }
}

fn rows(events: &[SealedStored]) -> Vec<Kept> {
    events.iter().map(kept).collect()
}

fn at(applied: u64) -> Checkpoint {
    let applied_at = (applied > 0).then(|| Timestamp::from_millis(1_000));
    Checkpoint { applied, turn: applied, applied_at, ..Checkpoint::new(StreamIdentity(7)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_back_also_after_the_database_was_closed() {
    let database = database().await;
    let tea = room("tea_x7qa");
    let events = [message(3, "one"), message(5, "<two>\n\"'`; DROP TABLE event"), message(9, "🙂")];
    let after = at(9);
    database.store.apply(PART, &at(0), (FIRST, &batch(&tea, 0, &events)), &after).await.unwrap();
    database.store.close().await;

    let store = open(database.folder.path()).await.unwrap();
    assert_eq!(store.checkpoint(PART).await, Ok(Some(after)));
    assert_eq!(store.rows(first(&tea), 1..4).await.unwrap(), rows(&events));
    assert_eq!(store.rows(first(&tea), 2..3).await.unwrap(), rows(&events[1..2]));
    assert_eq!(store.rising(first(&tea), Rising::Sequence, &[3, 1]).await.unwrap(), [9, 3]);
    let rooms = store.rooms([&tea, &room("coffee_1111")]).await.unwrap();
    assert_eq!(rooms.len(), 1);
    assert_eq!((rooms[&tea].count, rooms[&tea].last_seq), (3, 9));
    let last = store.last_messages(&[room("coffee_1111"), tea.clone()]).await.unwrap();
    assert_eq!(last, [(tea.clone(), events[2].clone())]);
    let known = SentKey::of(&tea, &events[1].event);
    let unknown = SentKey::of(&tea, &message(1, "x").event);
    let sent = store.sent(FIRST, [&known, &unknown]).await.unwrap();
    assert_eq!(sent.into_iter().collect::<Vec<_>>(), [(known, Sent { number: 2, seq: 5 })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_after_another_checkpoint_is_refused_whole() {
    let database = database().await;
    let tea = room("tea_x7qa");
    let store = &database.store;
    store.apply(PART, &at(0), (FIRST, &batch(&tea, 0, &[message(3, "first")])), &at(3)).await.unwrap();
    let late = batch(&tea, 1, &[message(4, "late")]);
    let elsewhere = Checkpoint { stream: StreamIdentity(8), ..at(3) };
    for before in [at(0), at(2), elsewhere, Checkpoint { turn: 4, ..at(3) }] {
        assert_eq!(store.apply(PART, &before, (FIRST, &late), &at(4)).await, Err(StoreError::Moved));
    }
    assert_eq!(store.rows(first(&tea), 1..9).await.unwrap().len(), 1);
    assert_eq!(store.rooms([&tea]).await.unwrap()[&tea].count, 1);
    store.apply(PART, &at(3), (FIRST, &late), &at(4)).await.unwrap();
    assert_eq!(store.rows(first(&tea), 1..9).await.unwrap().len(), 2);
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
            database.store.apply(PART, &before, (FIRST, &ours), &after),
            database.store.apply(PART, &before, (FIRST, &theirs), &after)
        );
        let told =
            |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Moved | StoreError::Conflict));
        assert!(
            results.0.is_ok() && told(&results.1) || results.1.is_ok() && told(&results.0),
            "{results:?}"
        );
        applied += 1;
        assert_eq!(database.store.rows(first(&tea), 1..99).await.unwrap().len(), applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_one_room_has_nothing_of_its_neighbours() {
    let database = database().await;
    let (short, long) = (room("tea"), room("tea_x7qa"));
    let of = |first: u64| (0..40).map(|n| message(first + n, "m")).collect::<Vec<_>>();
    database.store.apply(PART, &at(0), (FIRST, &batch(&short, 0, &of(1))), &at(40)).await.unwrap();
    database.store.apply(PART, &at(40), (FIRST, &batch(&long, 0, &of(41))), &at(80)).await.unwrap();
    let found = database.store.rows(first(&short), 1..1_000_000).await.unwrap();
    assert_eq!(found.iter().map(|kept| kept.row.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
}

/// One message is edited and gets reactions, then it is deleted: each is one batch.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_changed_and_what_is_deleted_leaves_no_text_behind() {
    let database = database().await;
    let (store, tea) = (&database.store, room("tea_x7qa"));
    let events = [message(3, "needle one"), message(4, "other")];
    store.apply(PART, &at(0), (FIRST, &batch(&tea, 0, &events)), &at(4)).await.unwrap();

    let (place, people) = (Place::new(&tea, 1), [UserId::new(), UserId::new()]);
    let (given_by, edited_by) = (MessageId::new(), MessageId::new());
    let reaction = |user| boxes::reaction(given_by, user, "👍🏽");
    let mark = |user| Mark { place: place.clone(), tag: reaction(user).tag, user };
    let given = |user, seq| Some(GivenAt { seq, text: reaction(user).text });
    let mut edited = kept(&events[0]);
    let What::Message(content) = &mut edited.row.what else { panic!("it is a message") };
    content.body = boxed(edited_by, "needle two");
    content.edited_at = Some(Timestamp::from_millis(5));
    edited.given = vec![Given { tag: reaction(people[0]).tag, count: 2 }];
    let entry = LogEntry { room: tea.clone(), seq: 5, id: MessageId::new(), author: edited.row.author };
    let text = Text { message: 3, entry: entry.clone() };
    let changes = Batch {
        changed: [(place.clone(), edited.clone())].into(),
        marks: [(mark(people[0]), given(people[0], 7)), (mark(people[1]), given(people[1], 6))].into(),
        texts: vec![text.clone()],
        ..Batch::default()
    };
    store.apply(PART, &at(4), (FIRST, &changes), &at(7)).await.unwrap();
    assert_eq!(store.kept(FIRST, [&place]).await.unwrap()[&place], edited);
    assert_eq!(store.texts(FIRST, [&(tea.clone(), 3), &(tea.clone(), 4)]).await.unwrap(), [text]);
    let page =
        store.shown(first(&tea), 1, (store.rows(first(&tea), 1..3).await.unwrap(), &[])).await.unwrap();
    let What::Message(shown) = &page[0].what else { panic!("{page:?}") };
    let by = vec![people[1], people[0]];
    assert_eq!(shown.reactions, [Reactors { reaction: reaction(people[1]), count: 2, by }]);
    assert_eq!(shown.reactions[0].reaction.author, people[1], "the first who gave it stands for all");
    assert_eq!(boxes::text(&shown.reactions[0].reaction.text), "👍🏽");
    let needle = format!("{:?}", surrealdb::types::Bytes::from(b"needle two".to_vec()));
    let needle = needle
        .trim_start_matches(|c: char| c != '"' && c != '[')
        .trim_matches(['"', '[', ']', ')', '(', ' ']);
    assert!(everything(store).await.contains(needle), "{needle}");

    let back = Batch { marks: [(mark(people[1]), None)].into(), ..Batch::default() };
    store.apply(PART, &at(7), (FIRST, &back), &at(8)).await.unwrap();
    let left = store.marks(FIRST, [&mark(people[0]), &mark(people[1])]).await.unwrap();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [mark(people[0])]);

    let mut erased = edited;
    erased.row.what = What::Erased;
    erased.given.clear();
    erased.hash = Some("hash".into());
    let deletion = Batch {
        changed: [(place.clone(), erased.clone())].into(),
        cleared: [place.clone()].into(),
        forgotten: [(tea.clone(), 3)].into(),
        erase: [(5, entry.clone())].into(),
        ..Batch::default()
    };
    store.apply(PART, &at(8), (FIRST, &deletion), &at(9)).await.unwrap();
    assert_eq!(store.kept(FIRST, [&place]).await.unwrap()[&place], erased);
    assert!(store.marks(FIRST, [&mark(people[0])]).await.unwrap().is_empty());
    assert!(store.texts(FIRST, [&(tea.clone(), 3)]).await.unwrap().is_empty());
    assert_eq!(store.find(&tea, events[0].event.id()).await.unwrap(), [erased.row]);
    assert!(!everything(store).await.contains(needle));

    assert_eq!(store.to_erase(PART).await.unwrap(), [entry]);
    store.erased(PART, &[5]).await.unwrap();
    assert!(store.to_erase(PART).await.unwrap().is_empty());
}

/// All rows of all tables, as text.
async fn everything(store: &Store) -> String {
    let statement = &format!("SELECT * FROM {}", tables::ALL.join(", "));
    let patience = std::time::Duration::from_secs(5);
    let mut found = store.connection.query(statement, Default::default(), patience).await.unwrap();
    let found: surrealdb::types::Value = found.take(0).unwrap();
    format!("{found:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_with_one_id_are_found_whoever_sent_them() {
    let database = database().await;
    let (store, tea) = (&database.store, room("tea_x7qa"));
    let with = |id, seq| {
        let event = Event::Message { id, author: UserId::new(), body: boxed(id, "m") };
        SealedStored { seq, at: Timestamp::from_millis(1), event }
    };
    let id = |last: u128| MessageId(uuid::Uuid::from_u128(last));
    let events: Vec<_> = [4, 5, 5, 6].into_iter().zip(1..).map(|(last, seq)| with(id(last), seq)).collect();
    store.apply(PART, &at(0), (FIRST, &batch(&tea, 0, &events)), &at(4)).await.unwrap();
    let mut found = store.find(&tea, id(5)).await.unwrap();
    found.sort_unstable_by_key(|row| row.seq);
    assert_eq!(found.iter().map(|row| row.seq).collect::<Vec<_>>(), [2, 3]);
    assert!(store.find(&tea, id(7)).await.unwrap().is_empty());
    assert!(store.find(&room("tea"), id(5)).await.unwrap().is_empty());
}

/// What a program has made of this database, which knew another layout.
async fn as_of(layout: i64, statements: &str) -> Database {
    let database = database().await;
    let statements = format!("UPDATE meta:schema SET version = {layout}; {statements}");
    let patience = std::time::Duration::from_secs(5);
    database.store.connection.query(&statements, Default::default(), patience).await.unwrap();
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_layout_is_refused_and_left_alone() {
    let Database { store, folder } = as_of(tables::LAYOUT + 1, "").await;
    store.close().await;
    let Err(StoreError::Refused(why)) = open(folder.path()).await else { panic!("it was opened") };
    assert!(why.contains("has layout 6") && why.contains("use a newer backchat"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_layout_is_read_until_this_one_takes_over() {
    let rooms =
        "DEFINE TABLE room SCHEMALESS; DEFINE TABLE event_6 SCHEMALESS; DEFINE TABLE theirs SCHEMALESS;
         CREATE room:['tea'] SET count = 1; CREATE room:['gone'] SET erased = true; CREATE room:['chai'];";
    let Database { store, folder } = as_of(4, rooms).await;
    store.close().await;
    let store = open(folder.path()).await.unwrap();
    assert_eq!(store.older_layout().await, Ok(Some(4)));
    assert_eq!(store.older_rooms(4, None).await.unwrap(), [room("chai"), room("tea")]);
    assert_eq!(store.older_rooms(4, Some(&room("chai"))).await.unwrap(), [room("tea")]);
    store.take_over(3).await.unwrap();
    assert_eq!(store.older_layout().await, Ok(Some(4)), "another one took over from another");
    store.take_over(4).await.unwrap();
    assert_eq!(store.older_layout().await, Ok(None));
    store.remove_older_layouts().await.unwrap();
    assert_eq!(store.older_rooms(4, None).await.unwrap(), []);
    let patience = std::time::Duration::from_secs(5);
    let others = "SELECT * FROM event_6, theirs";
    store.connection.query(others, Default::default(), patience).await.unwrap();
}

/// A newer program may have taken over a server's database while this one runs.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_into_a_database_that_got_another_layout() {
    let database = database().await;
    let (store, tea) = (&database.store, room("tea_x7qa"));
    store.apply(PART, &at(0), (FIRST, &batch(&tea, 0, &[message(3, "first")])), &at(3)).await.unwrap();
    let patience = std::time::Duration::from_secs(5);
    let newer = "UPDATE meta:schema SET version += 1";
    store.connection.query(newer, Default::default(), patience).await.unwrap();
    let late = batch(&tea, 1, &[message(4, "late")]);
    assert_eq!(store.apply(PART, &at(3), (FIRST, &late), &at(4)).await, Err(StoreError::Relaid));
    assert_eq!(store.rows(first(&tea), 1..9).await.unwrap().len(), 1);
    assert_eq!(store.checkpoint(PART).await, Ok(Some(at(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_is_refused() {
    let database = database().await;
    let again = open(database.folder.path()).await;
    assert!(matches!(again, Err(StoreError::Refused(_))), "{:?}", again.err());
}
