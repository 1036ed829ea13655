//! What an operator asks about the history.

use bytes::Bytes;
use protocol::RoomSlug;
use protocol::subject::Shard;
use serde_json::{Value, json};
use std::time::Duration;
use tests::backchat::Backchat;
use tests::eventually::{SOON, eventually};
use tests::person::{Person, unique};
use tests::process::Ended;

/// Longest wait for a command of the operator.
const END: Duration = Duration::from_secs(60);

async fn status(backchat: &Backchat) -> Ended {
    let launch = backchat.launch().named(&format!("history-{}", unique()));
    launch.words("history status").to_the_end(END).await
}

/// The line of the only shard, which stands among those of the log.
async fn line(backchat: &Backchat) -> Value {
    let ended = status(backchat).await;
    assert_eq!(ended.code, 0, "{}", ended.output);
    let line = ended.output.lines().find(|line| line.contains("\"shard\""));
    serde_json::from_str(line.unwrap()).unwrap()
}

#[tokio::test]
async fn an_operator_sees_how_far_the_history_is_and_what_was_set_aside() {
    let mut backchat = Backchat::start().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let room = ann.creates("Looked at").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    for text in ["one", "two", "three"] {
        socket.say(text).await;
    }
    let applied = eventually("all is applied", SOON, || async {
        let line = line(&backchat).await;
        (line["events"] == 4).then_some(line)
    })
    .await;
    let figures = ["shard", "lag_entries", "lag_seconds", "duplicates", "set_aside"];
    assert!(figures.iter().all(|figure| applied[figure] == 0), "{applied}");
    assert_eq!(applied["oldest_set_aside"], Value::Null);

    let log = Shard(0).log(&RoomSlug::parse(&room).unwrap());
    let poisoned = backchat.broker().await.publish(log.clone(), "poison", Bytes::from_static(b"{")).await;
    let aside = eventually("what is no event is set aside", SOON, || async {
        let line = line(&backchat).await;
        (line["set_aside"] == 1).then_some(line)
    })
    .await;
    let oldest = &aside["oldest_set_aside"];
    assert_eq!(oldest["seq"], json!(poisoned.unwrap().seq));
    assert_eq!(
        (&oldest["subject"], &oldest["reason"], &oldest["bytes"]),
        (&json!(log), &json!("not an event"), &json!(1))
    );

    assert_eq!(backchat.terminate().await, 0);
    let ended = status(&backchat).await;
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("no backchat runs with this data folder"), "{}", ended.output);
}
