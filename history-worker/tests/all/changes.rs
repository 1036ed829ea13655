use protocol::query::{AfterQuery, Events, HistoryAnswer, HistoryQuery, PageQuery};
use protocol::subject::Shard;
use protocol::view::{Row, fold};
use protocol::{Body, Event, MessageId, Reaction, StoredEvent, Target, Timestamp, UserId};

use super::nats::Nats;
use super::worker::{Worker, ask, created, eventually, page, post, room};

const SHARD: Shard = Shard(0);

/// What a test said, to be compared with what the worker made of it.
struct Talk {
    broker: broker::Broker,
    log: Vec<StoredEvent>,
}

impl Talk {
    async fn post(&mut self, event: Event) -> Target {
        let seq = post(&self.broker, SHARD, &room("tea"), &event).await;
        let at = self.broker.get(&SHARD.stream(), seq).await.unwrap().unwrap().at;
        let target = Target { id: event.id(), author: event.author(), seq };
        self.log.push(StoredEvent { seq, at, event });
        target
    }

    async fn say(&mut self, author: UserId, text: &str) -> Target {
        let body = Body::parse(text).unwrap();
        self.post(Event::Message { id: MessageId::new(), author, body }).await
    }

    async fn edit(&mut self, author: UserId, target: Target, text: &str) -> Target {
        let body = Body::parse(text).unwrap();
        self.post(Event::Edited { id: MessageId::new(), author, target, body }).await
    }

    async fn delete(&mut self, target: Target) -> Target {
        let (id, author) = (MessageId::new(), target.author);
        let (of, hash) = (Timestamp::from_millis(0), "a hash".to_owned());
        self.post(Event::Deleted { id, author, target, of, hash }).await
    }

    async fn react(&mut self, author: UserId, target: Target, reaction: &str, on: bool) -> Target {
        let reaction = Reaction::parse(reaction).unwrap();
        self.post(Event::Reacted { id: MessageId::new(), author, target, reaction, on }).await
    }

    fn head(&self) -> u64 {
        self.log.last().unwrap().seq
    }

    /// The rows as whoever saw every event has them.
    fn folded(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        self.log.iter().for_each(|stored| fold(&mut rows, stored));
        rows
    }

    async fn rows(&self) -> Vec<Row> {
        let query = PageQuery { room: room("tea"), before: u64::MAX, limit: 100, at_least: self.head() };
        page(&self.broker, SHARD, &query).await.rows
    }

    async fn after(&self, after: u64, limit: usize) -> Events {
        let query = AfterQuery { room: room("tea"), after, limit, at_least: self.head() };
        match ask(&self.broker, SHARD, &HistoryQuery::After(query)).await {
            Ok(HistoryAnswer::Events(events)) => events,
            other => panic!("{other:?}"),
        }
    }

    async fn is_in_log(&self, seq: u64) -> bool {
        self.broker.get(&SHARD.stream(), seq).await.unwrap().is_some()
    }
}

async fn talk(nats: &Nats) -> Talk {
    let mut talk = Talk { broker: nats.set_up(1).await, log: Vec::new() };
    talk.post(created()).await;
    talk
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_what_whoever_saw_every_event_has() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let mut talk = talk(&nats).await;
    let (ann, bob) = (UserId::new(), UserId::new());
    let first = talk.say(ann, "v1").await;
    let second = talk.say(bob, "stays").await;
    talk.edit(ann, first, "v2").await;
    let worker = Worker::start(&nats, &folder.path().join("history"));
    assert_eq!(talk.rows().await, talk.folded(), "changes in the batch of their message");
    talk.edit(ann, first, "v3").await;
    talk.edit(bob, second, "<stays>").await;
    for (who, reaction, on) in
        [(ann, "👍", true), (bob, "👍", true), (bob, "🎉", true), (bob, "🎉", false), (ann, "👍", true)]
    {
        talk.react(who, second, reaction, on).await;
    }
    talk.post(Event::Joined { id: MessageId::new(), author: bob }).await;
    talk.react(ann, first, "👍", true).await;
    assert_eq!(talk.rows().await, talk.folded(), "changes behind it");
    let third = talk.say(bob, "needle").await;
    let edit = talk.edit(bob, third, "needle again").await;
    talk.react(ann, third, "👍", true).await;
    let cursor = talk.head();
    talk.delete(third).await;
    let late = talk.edit(bob, third, "needle too late").await;
    assert_eq!(talk.rows().await, talk.folded(), "a deleted message leaves its place");

    for text in [third, edit, late] {
        eventually("the text has left the log", async || (!talk.is_in_log(text.seq).await).then_some(()))
            .await;
    }
    let since = talk.after(cursor, 100).await;
    assert!(matches!(since.events[..], [StoredEvent { event: Event::Deleted { .. }, .. }]), "{since:?}");
    let found = ask(&talk.broker, SHARD, &HistoryQuery::Find { room: room("tea"), id: first.id }).await;
    let Ok(HistoryAnswer::Found { rows, .. }) = found else { panic!("{found:?}") };
    assert_eq!(rows, talk.folded()[1..2]);
    let last = ask(&talk.broker, SHARD, &HistoryQuery::Last { rooms: vec![room("tea")] }).await;
    let Ok(HistoryAnswer::Last { events }) = last else { panic!("{last:?}") };
    assert_eq!(events[0].1.seq, second.seq, "the last message that is not deleted");
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains("ignored_changes_total 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_cursor_has_the_changes_of_older_messages() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let mut talk = talk(&nats).await;
    let ann = UserId::new();
    let old = talk.say(ann, "v1").await;
    let cursor = talk.head();
    let mut due = Vec::new();
    for round in 0..20 {
        due.push(talk.say(ann, &format!("m-{round}")).await.seq);
        due.push(talk.react(ann, old, "👍", round % 2 == 0).await.seq);
        due.push(talk.edit(ann, old, &format!("v{}", round + 2)).await.seq);
    }
    let worker = Worker::start(&nats, &folder.path().join("history"));
    worker.ready().await;
    for limit in [1, 7, 100] {
        let (mut at, mut seen) = (cursor, Vec::new());
        loop {
            let events = talk.after(at, limit).await;
            if events.events.is_empty() {
                break;
            }
            assert!(events.events.len() <= limit && events.reached > at);
            at = events.reached;
            for stored in events.events {
                if let Event::Edited { body, .. } = &stored.event {
                    assert_eq!(body.as_str(), "v21", "an edit has the text that the message has now");
                }
                seen.push(stored.seq);
            }
        }
        assert_eq!(seen, due, "by {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_it_erased_leaves_that_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let mut talk = talk(&nats).await;
    let ann = UserId::new();
    let mut gone = Vec::new();
    for round in 0..10 {
        let target = talk.say(ann, &format!("needle {round}")).await;
        gone.extend([target, talk.edit(ann, target, "needle edited").await]);
        let worker = Worker::start(&nats, &folder.path().join("history"));
        talk.delete(target).await;
        // Some die before they read it, some between their commit and the erasing, some after it.
        tokio::time::sleep(std::time::Duration::from_millis(300 + 60 * round)).await;
        drop(worker);
    }
    let _worker = Worker::start(&nats, &folder.path().join("history"));
    for text in gone {
        eventually("the text has left the log", async || (!talk.is_in_log(text.seq).await).then_some(()))
            .await;
    }
    assert_eq!(talk.rows().await, talk.folded());
}
