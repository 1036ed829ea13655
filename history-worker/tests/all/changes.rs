//! Edits, deletions and reactions, as questions are answered.

use broker::Broker;
use protocol::query::{AfterQuery, Events, HistoryAnswer, HistoryQuery, PageQuery};
use protocol::subject::Shard;
use protocol::view::{self, Content, SealedRow, What};
use protocol::{Event, MessageId, RoomSlug, SealedStored, UserId};

use super::boxes::text;
use super::nats::Nats;
use super::worker::{
    Worker, ask, created, deleted, edited, eventually, message, page, post, reacted, room, target,
};

const SHARD: Shard = Shard(0);

async fn newest(broker: &Broker, room: &RoomSlug, at_least: u64) -> Vec<SealedRow> {
    let query = PageQuery { room: room.clone(), before: u64::MAX, limit: 100, at_least };
    page(broker, SHARD, &query).await.rows
}

async fn after(broker: &Broker, room: &RoomSlug, after: u64, (limit, at_least): (usize, u64)) -> Events {
    let query = HistoryQuery::After(AfterQuery { room: room.clone(), after, limit, at_least });
    eventually("what came after is told", async || match ask(broker, SHARD, &query).await {
        Ok(HistoryAnswer::Events(events)) => Some(events),
        Ok(HistoryAnswer::Behind { .. }) | Err(_) => None,
        Ok(other) => panic!("{other:?}"),
    })
    .await
}

async fn find(broker: &Broker, room: &RoomSlug, id: MessageId) -> Vec<SealedRow> {
    let query = HistoryQuery::Find { room: room.clone(), id };
    match ask(broker, SHARD, &query).await {
        Ok(HistoryAnswer::Found { rows, .. }) => rows,
        other => panic!("{other:?}"),
    }
}

async fn last(broker: &Broker, room: &RoomSlug) -> Vec<(RoomSlug, SealedStored)> {
    match ask(broker, SHARD, &HistoryQuery::Last { rooms: vec![room.clone()] }).await {
        Ok(HistoryAnswer::Last { events }) => events,
        other => panic!("{other:?}"),
    }
}

fn content(row: &SealedRow) -> &Content<protocol::SealedText, protocol::event::SealedReaction> {
    match &row.what {
        What::Message(content) => content,
        other => panic!("no message: {other:?}"),
    }
}

fn sequences(events: &[SealedStored]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_messages_as_they_are_now() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &folder.path().join("history"));
    let (tea, you) = (room("tea_x7qa"), UserId::new());
    post(&broker, SHARD, &tea, &created()).await;
    let (first, second) = (message("first"), message("second"));
    let one = target(&first, post(&broker, SHARD, &tea, &first).await);
    let two = target(&second, post(&broker, SHARD, &tea, &second).await);
    let edit = post(&broker, SHARD, &tea, &edited(one, "first, edited")).await;
    for (reaction, on) in [("👍", true), ("🎉", true), ("👍", false), ("👍", true)] {
        post(&broker, SHARD, &tea, &reacted(you, one, reaction, on)).await;
    }
    let head = post(&broker, SHARD, &tea, &reacted(one.author, one, "👍", true)).await;

    let rows = newest(&broker, &tea, head).await;
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, one.seq, two.seq]);
    let content = content(&rows[1]);
    assert_eq!(text(&content.body), "first, edited");
    let stored = broker.get(&SHARD.stream(), edit).await.unwrap().unwrap();
    assert_eq!(content.edited_at, Some(stored.at));
    let given: Vec<_> =
        content.reactions.iter().map(|r| (text(&r.reaction.text), r.count, r.by.clone())).collect();
    assert_eq!(given, [("🎉", 1, vec![you]), ("👍", 2, vec![you, one.author])]);
    assert_eq!(find(&broker, &tea, one.id).await, rows[1..2]);
    assert_eq!(last(&broker, &tea).await[0].1.event, second);

    post(&broker, SHARD, &tea, &deleted(two, "second")).await;
    let head = post(&broker, SHARD, &tea, &edited(two, "back?")).await;
    let rows = newest(&broker, &tea, head).await;
    assert_eq!((rows.len(), &rows[2].what, rows[2].author), (3, &What::Erased, two.author));
    assert_eq!(find(&broker, &tea, two.id).await, rows[2..]);
    assert!(find(&broker, &tea, MessageId::new()).await.is_empty());
    let now = last(&broker, &tea).await;
    assert_eq!(now[0].1.seq, one.seq);
    assert_eq!(now[0].1.event.body().map(text), Some("first, edited"));
    let (_, metrics) = worker.get("/metrics").await;
    let ignored = "backchat_history_worker_ignored_changes_total{reason=\"erased_message\"} 1";
    assert!(metrics.contains(ignored), "{metrics}");
    assert!(!worker.get("/readyz").await.1.contains("warning"));
}

/// Whoever folds what is told after a cursor has the page of now.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_after_a_cursor_has_changes_in_their_places_and_texts_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let _worker = Worker::start(&nats, &folder.path().join("history"));
    let tea = room("tea_x7qa");
    post(&broker, SHARD, &tea, &created()).await;
    let mut targets = Vec::new();
    for n in 0..40 {
        let event = message(&format!("m-{n}"));
        targets.push(target(&event, post(&broker, SHARD, &tea, &event).await));
        let old = targets[n / 2];
        match n % 5 {
            1 => drop(post(&broker, SHARD, &tea, &edited(old, &format!("edit-{n}"))).await),
            2 => drop(post(&broker, SHARD, &tea, &reacted(UserId::new(), old, "👍", true)).await),
            4 => drop(post(&broker, SHARD, &tea, &deleted(old, "m")).await),
            _ => {}
        }
    }
    let head = post(&broker, SHARD, &tea, &edited(targets[39], "the newest")).await;
    let page = newest(&broker, &tea, head).await;

    let all = after(&broker, &tea, 0, (100, head)).await;
    assert_eq!(all.reached, all.applied);
    assert!(all.events.is_sorted_by(|a, b| a.seq < b.seq));
    for (limit, from) in [(1, 0), (7, 0), (100, 0), (3, 25)] {
        let (mut told, mut cursor) = (Vec::new(), from);
        while cursor < head {
            let some = after(&broker, &tea, cursor, (limit, head)).await;
            assert!(some.events.len() <= limit && some.reached > cursor);
            assert!(some.events.iter().all(|event| event.seq > cursor && event.seq <= some.reached));
            told.extend(some.events);
            cursor = some.reached;
        }
        let expected: Vec<_> = all.events.iter().filter(|event| event.seq > from).cloned().collect();
        assert_eq!(told, expected, "{limit} from {from}");
    }
    let told = sequences(&all.events);
    for row in &page {
        let is_told = told.contains(&row.seq);
        assert_eq!(is_told, row.what != What::Erased, "{row:?}");
    }
    let mut rows = Vec::new();
    all.events.iter().for_each(|event| view::fold(&mut rows, event));
    let texts = |rows: &[SealedRow]| rows.iter().map(|row| (row.seq, row.what.clone())).collect::<Vec<_>>();
    assert_eq!(texts(&rows), texts(&page));
    let last = all.events.last().unwrap();
    assert!(matches!(&last.event, Event::Edited { body, .. } if text(body) == "the newest"));
}
