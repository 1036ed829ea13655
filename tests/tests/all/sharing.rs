//! History workers of one database server divide the shards among them, and hand them over while people chat.

use std::time::Duration;
use tests::calm::{Calm, Talk};
use tests::eventually::{SOON, becomes, eventually};
use tests::heard::bodies;
use tests::person::Person;
use tests::process::{Launch, built};
use tests::services::{Service, Services};
use tests::stored;
use tests::surreal::Surreal;
use tokio::time::Instant;

const SHARDS: u64 = 8;
const ROOMS: usize = 6;

/// Waits until these workers apply so many shards each, as they say themselves.
async fn they_apply(workers: &[&Service], wanted: &[u64]) {
    becomes("the shards are divided", SOON, wanted.to_vec(), || async {
        let mut shards = Vec::new();
        for worker in workers {
            shards.push(worker.metric("shards").await.unwrap_or(u64::MAX));
        }
        shards.sort_unstable();
        shards
    })
    .await;
}

/// Questions go to any worker, and many shards of a young chat have nothing in them.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_answers_for_an_empty_shard_that_another_applies() {
    let surreal = Surreal::start().await;
    let database = surreal.database();
    let settings = [("BACKCHAT_SETUP_SHARDS", "8"), ("BACKCHAT_HISTORY_WORKER_DATABASE", database.as_str())];
    let services = Services::with(1, &settings).await;
    let mut second = services.another_worker(&database);
    second.start().await;
    they_apply(&[&services.worker, &second], &[4, 4]).await;
    let folder = tempfile::tempdir().unwrap();
    let verify = Launch::new(&built("backchat"), folder.path())
        .words("history verify")
        .set("BACKCHAT_NATS_URL", services.nats.url());
    // Which worker hears a question is chance.
    for _ in 0..3 {
        let ended = verify.to_the_end(SOON).await;
        assert_eq!(ended.code, 0, "{}", ended.output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_divided_among_the_workers_that_run_and_nothing_is_lost_or_late() {
    let surreal = Surreal::start().await;
    let database = surreal.database();
    let settings = [("BACKCHAT_SETUP_SHARDS", "8"), ("BACKCHAT_HISTORY_WORKER_DATABASE", database.as_str())];
    let services = Services::with(1, &settings).await;
    they_apply(&[&services.worker], &[SHARDS]).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let mut talks = Vec::new();
    for number in 0..ROOMS {
        let room = ann.creates(&format!("Room {number}")).await;
        let talk = Talk { listeners: 1, speakers: 1, every: Duration::from_millis(100), bytes: 50 };
        talks.push((Calm::in_room(&ann, &room, talk).await, room));
    }

    let mut second = services.another_worker(&database);
    second.start().await;
    they_apply(&[&services.worker, &second], &[4, 4]).await;
    let mut third = services.another_worker(&database);
    third.start().await;
    they_apply(&[&services.worker, &second, &third], &[2, 3, 3]).await;
    let before = second.metric("applied_events_total").await;
    eventually("the second applies what its shards get", SOON, || async {
        (second.metric("applied_events_total").await > before).then_some(())
    })
    .await;

    // Who stops says so; who is killed is missed.
    let stops = Instant::now();
    assert_eq!(third.terminate().await, 0);
    they_apply(&[&services.worker, &second], &[4, 4]).await;
    assert!(
        stops.elapsed() < Duration::from_secs(6),
        "they waited until it was silent: {:?}",
        stops.elapsed()
    );
    second.kill();
    they_apply(&[&services.worker], &[SHARDS]).await;

    let broker = services.nats.connect().await;
    for (calm, room) in talks {
        calm.end().await.is_nothing();
        let (log, history) =
            (stored::log(&broker, &room).await, stored::worker_history(&broker, &room).await);
        assert_eq!(bodies(&history), bodies(&log), "{room}");
    }
}
