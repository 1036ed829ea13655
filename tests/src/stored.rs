//! What is stored of a room, asked of those who store it, past every gateway.

use crate::eventually::eventually;
use crate::heard::Seen;
use crate::keys;
use broker::Broker;
use protocol::query::{AfterQuery, HistoryAnswer, HistoryQuery};
use protocol::{Event, RoomSlug, SealedEvent};
use std::time::Duration;

/// Records read at once.
const BATCH: usize = 1_000;

/// A room's events as its log has them, oldest first. What is no event is passed over.
///
/// # Panics
/// When the broker does not answer.
pub async fn log(broker: &Broker, room: &str) -> Vec<Seen> {
    let (room, shard) = place_of(broker, room).await;
    let (stream, subject) = (shard.stream(), shard.log(&room));
    let mut events: Vec<Seen> = Vec::new();
    let mut after = 0;
    loop {
        let batch = broker.read_after(&stream, &subject, after, BATCH).await.expect("the broker answers");
        let Some(last) = batch.records.last() else { return events };
        after = last.seq;
        for record in &batch.records {
            let Ok(event) = SealedEvent::decode(&record.payload) else { continue };
            let prev = events.last().map_or(0, |event| event.seq);
            events.push(seen(broker, &room, (record.seq, prev), &event).await);
        }
    }
}

/// The sequence of a room's last event, as the leader of its log knows it; `None` when it does not answer.
pub async fn head(broker: &Broker, room: &str) -> Option<u64> {
    let room = RoomSlug::parse(room).ok()?;
    let shard = broker.installation().await.ok()?.shards().of(&room)?;
    let last = broker.last_confirmed(&shard.stream(), &shard.log(&room)).await.ok()?;
    Some(last.map_or(0, |last| last.seq))
}

async fn place_of(broker: &Broker, room: &str) -> (RoomSlug, protocol::subject::Shard) {
    let room = RoomSlug::parse(room).expect("a room's code");
    let installation = broker.installation().await.expect("the broker was set up");
    let shard = installation.shards().of(&room).expect("the room's shard is there");
    (room, shard)
}

async fn seen(broker: &Broker, room: &RoomSlug, (seq, prev): (u64, u64), event: &SealedEvent) -> Seen {
    let body = match event {
        Event::Message { .. } => keys::text(broker, room, event).await,
        _ => None,
    };
    Seen { seq, prev, id: event.id(), body }
}

/// A room as the history worker alone gives it, oldest first.
///
/// # Panics
/// When it does not answer.
pub async fn worker_history(broker: &Broker, room: &str) -> Vec<Seen> {
    let (room, shard) = place_of(broker, room).await;
    let at_least = broker.stream(&shard.stream()).await.expect("the broker answers").last_seq;
    let mut history: Vec<Seen> = Vec::new();
    loop {
        let after = history.last().map_or(0, |event| event.seq);
        let query = AfterQuery { room: room.clone(), after, limit: 100, at_least };
        let found = eventually("the history worker answers", Duration::from_secs(60), || async {
            let asked = HistoryQuery::After(query.clone());
            let answer: Result<HistoryAnswer, _> =
                broker.ask(shard.history_queries(), &asked, Duration::from_secs(5)).await;
            match answer {
                Ok(HistoryAnswer::Events(events)) => Some(events.events),
                _ => None,
            }
        })
        .await;
        if found.is_empty() {
            return history;
        }
        for stored in found {
            let prev = history.last().map_or(0, |event| event.seq);
            history.push(seen(broker, &room, (stored.seq, prev), &stored.event).await);
        }
    }
}
