use protocol::query::{HistoryAnswer, HistoryQuery, LocateQuery, Located, PageQuery};
use protocol::subject::Shard;
use protocol::{RoomSlug, Since, Timestamp};

use super::nats::Nats;
use super::worker::{Worker, ask, created, message, page, post, room, whole};

const SHARD: Shard = Shard(0);

fn query(name: &str, before: u64, limit: usize, at_least: u64) -> PageQuery {
    PageQuery { room: room(name), before, limit, at_least }
}

/// One room of each of these sizes, written through each other.
#[tokio::test(flavor = "multi_thread")]
async fn pages_meet_without_hole_or_repeat_at_every_edge() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let sizes = [1_usize, 49, 50, 51, 100, 101];
    let mut log: Vec<Vec<u64>> = vec![Vec::new(); sizes.len()];
    for round in 0..101 {
        for (place, size) in sizes.iter().enumerate().filter(|(_, size)| round < **size) {
            let event = if round == 0 { created() } else { message(&format!("{size}-{round}")) };
            log[place].push(post(&broker, SHARD, &room(&format!("r_{size}")), &event).await);
        }
    }
    let head = *log.iter().flatten().max().unwrap();
    let worker = Worker::start(&nats, &folder.path().join("history"));
    for (place, size) in sizes.iter().enumerate() {
        let name = format!("r_{size}");
        let expected = &log[place];
        assert_eq!(whole(&broker, SHARD, &room(&name), head).await, *expected);
        for limit in [1, 49, 50, 51, 100] {
            let newest = page(&broker, SHARD, &query(&name, u64::MAX, limit, head)).await;
            let from = expected.len().saturating_sub(limit);
            assert_eq!(
                newest.rows.iter().map(|e| e.seq).collect::<Vec<_>>(),
                expected[from..],
                "{name} {limit}"
            );
            assert_eq!(newest.prev, if from == 0 { 0 } else { expected[from - 1] });
        }
        locates(&broker, &room(&name), expected).await;
        // Sequences of other rooms lie between two rows of this one.
        for cut in [0, expected.len() / 2, expected.len() - 1] {
            let between = expected[cut] + 1;
            let before = page(&broker, SHARD, &query(&name, between, 7, head)).await;
            assert_eq!(before.rows.last().unwrap().seq, expected[cut]);
        }
    }
    assert_eq!(worker.terminate().await, 0);
}

/// Where each row of a room lies, by its sequence and by its time.
async fn locates(broker: &broker::Broker, room: &RoomSlug, expected: &[u64]) {
    let locate = async |since, count| {
        let query = LocateQuery { room: room.clone(), since, count };
        match ask(broker, SHARD, &HistoryQuery::Locate(query)).await {
            Ok(HistoryAnswer::Located { rows, .. }) => rows,
            other => panic!("{other:?}"),
        }
    };
    for (number, seq) in expected.iter().enumerate() {
        for count in [1, 25] {
            let found = &expected[number..expected.len().min(number + count)];
            let located = Located { first: found[0], last: *found.last().unwrap(), count: found.len() };
            assert_eq!(locate(Since::Seq(*seq), count).await, Some(located), "{room} {seq} {count}");
        }
        let at = broker.get(&SHARD.stream(), *seq).await.unwrap().unwrap().at;
        let located = locate(Since::Time(at), 1).await.unwrap();
        assert!(located.first <= *seq, "the first of its millisecond: {located:?} {seq}");
        let then = broker.get(&SHARD.stream(), located.first).await.unwrap().unwrap().at;
        assert_eq!(then, at);
    }
    let last = expected.last().unwrap();
    let between = locate(Since::Seq(last - 1), 1).await.unwrap();
    assert!(between.first == *last || expected.contains(&(last - 1)));
    assert_eq!(locate(Since::Seq(last + 1), 1).await, None);
    assert_eq!(locate(Since::Time(Timestamp::now().plus_seconds(60)), 1).await, None);
    let long_ago = locate(Since::Time(Timestamp::from_millis(-1)), 1).await.unwrap();
    assert_eq!(long_ago.first, expected[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_wait_for_what_was_just_written_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    let broker = nats.set_up(1).await;
    let tea = room("tea_x7qa");
    let worker = Worker::start(&nats, &folder.path().join("history"));
    worker.ready().await;
    post(&broker, SHARD, &tea, &created()).await;
    for round in 0..50 {
        let seq = post(&broker, SHARD, &tea, &message(&format!("{round}"))).await;
        let asked = HistoryQuery::Page(query("tea_x7qa", u64::MAX, 1, seq));
        let answer = ask(&broker, SHARD, &asked).await.unwrap();
        assert!(
            matches!(&answer, HistoryAnswer::Page(page) if page.rows[0].seq == seq && page.applied >= seq),
            "{answer:?}"
        );
    }
    let last = HistoryQuery::Last { rooms: vec![room("nowhere"), tea.clone()] };
    let answer = ask(&broker, SHARD, &last).await.unwrap();
    let HistoryAnswer::Last { events } = answer else { panic!("{answer:?}") };
    assert!(events.len() == 1 && events[0].0 == tea);

    let unknown = page(&broker, SHARD, &query("nowhere", u64::MAX, 50, 0)).await;
    assert!(unknown.rows.is_empty() && unknown.prev == 0);

    let future = HistoryQuery::Page(query("tea_x7qa", u64::MAX, 1, 1_000_000));
    let answer = ask(&broker, SHARD, &future).await.unwrap();
    assert!(matches!(answer, HistoryAnswer::Behind { applied: 51 }), "{answer:?}");
    for limit in [0, 101] {
        let answer = ask(&broker, SHARD, &HistoryQuery::Page(query("tea_x7qa", u64::MAX, limit, 0))).await;
        assert!(matches!(answer, Ok(HistoryAnswer::Refused { .. })), "{answer:?}");
    }
    let nonsense: HistoryAnswer =
        broker.ask(SHARD.history_queries(), &"what?", std::time::Duration::from_secs(5)).await.unwrap();
    assert!(matches!(nonsense, HistoryAnswer::Refused { .. }), "{nonsense:?}");
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains("backchat_history_worker_applied_events_total 51"), "{metrics}");
}
