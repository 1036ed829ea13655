use std::path::Path;

use history_worker::edition::Edition;
use protocol::subject::Shard;

use super::nats::Nats;
use super::worker::{Worker, created, eventually, message, post, room, whole};

const SHARD: Shard = Shard(0);

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_made_anew_stops_the_worker_with_a_sentence_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let tea = room("tea_x7qa");
    let mut stored = Vec::new();
    {
        let nats = Nats::start(&folder.path().join("old"));
        let broker = nats.set_up(1).await;
        let worker = Worker::start(&nats, &history);
        stored.push(post(&broker, SHARD, &tea, &created()).await);
        for n in 0..20 {
            stored.push(post(&broker, SHARD, &tea, &message(&format!("old-{n}"))).await);
        }
        assert_eq!(whole(&broker, SHARD, &tea, 21).await, stored);
        assert_eq!(worker.terminate().await, 0);
    }
    let nats = Nats::start(&folder.path().join("new"));
    let broker = nats.set_up(1).await;
    post(&broker, SHARD, &tea, &created()).await;
    for n in 0..30 {
        post(&broker, SHARD, &tea, &message(&format!("new-{n}"))).await;
    }
    let (code, said) = Worker::start(&nats, &history).exit().await;
    assert_eq!(code, 1);
    assert!(said.contains("the log was made anew") && said.contains("nothing was changed"), "{said}");

    let address = format!("surrealkv://{}", history.display()).parse().unwrap();
    let store = history_worker::store::Store::open(&address).await.unwrap();
    let rows = store.rows(Edition { room: &tea, generation: 0 }, 1..100).await.unwrap();
    assert_eq!(rows.iter().map(|kept| kept.row.seq).collect::<Vec<_>>(), stored);
}

/// The server comes back with an older copy of its data while the worker runs.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_log_stops_a_running_worker_also_when_it_has_grown_since() {
    for new_messages in [1, 40] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("nats");
        let tea = room("tea_x7qa");
        let mut nats = Nats::start(&data);
        let broker = nats.set_up(1).await;
        post(&broker, SHARD, &tea, &created()).await;
        nats.kill();
        copy(&data, &folder.path().join("copy"));
        let port = nats.port;
        nats = Nats::start_on(&data, port);
        let broker = nats.connect().await;
        let worker = Worker::start(&nats, &folder.path().join("history"));
        let mut last = 0;
        for n in 0..20 {
            last = post(&broker, SHARD, &tea, &message(&format!("lost-{n}"))).await;
        }
        assert_eq!(whole(&broker, SHARD, &tea, last).await.len(), 21);
        nats.kill();

        // On another port it grows before the worker sees it.
        let elsewhere = Nats::start(&folder.path().join("copy"));
        let broker = elsewhere.connect().await;
        for n in 0..new_messages {
            post(&broker, SHARD, &tea, &message(&format!("new-{n}"))).await;
        }
        drop(elsewhere);
        let _restored = Nats::start_on(&folder.path().join("copy"), port);
        let (code, said) = worker.exit().await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("older copy"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("nats");
    let tea = room("tea_x7qa");
    let mut nats = Nats::start(&data);
    let broker = nats.set_up(1).await;
    let worker = Worker::start(&nats, &folder.path().join("history"));
    let mut expected = vec![post(&broker, SHARD, &tea, &created()).await];
    worker.ready().await;
    for round in 0..2 {
        nats.kill();
        eventually("the worker says that the broker is away", async || {
            let (status, health) = worker.get("/readyz").await;
            (status == 503 && health.contains("broker")).then_some(())
        })
        .await;
        nats = Nats::start_on(&data, nats.port);
        let broker = nats.connect().await;
        expected.push(post(&broker, SHARD, &tea, &message(&format!("back-{round}"))).await);
        let last = *expected.last().unwrap();
        assert_eq!(whole(&broker, SHARD, &tea, last).await, expected);
        worker.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_an_installation_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start(&folder.path().join("nats"));
    nats.connect().await;
    let (code, said) = Worker::start(&nats, &folder.path().join("history")).exit().await;
    assert_eq!(code, 2);
    assert!(said.contains("holds no backchat installation"), "{said}");
    let (code, said) = Worker::start_with(&nats, "ws://worker:hunter2@nowhere").exit().await;
    assert_eq!(code, 2);
    assert!(said.contains("database") && !said.contains("hunter2"), "{said}");
}
