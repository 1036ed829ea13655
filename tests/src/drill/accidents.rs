//! Something is lost of which there is more, or which can be made anew: nobody may notice more than the pages say.

use super::stage::Stage;
use crate::http::Ask;
use crate::person::{PASSWORD, Person};
use serde_json::Value;
use std::collections::BTreeMap;

/// The history is made anew from the log. Of the accounts those are back that the backup has: who came later registers again.
pub async fn database(stage: &Stage<'_>) -> String {
    let early = Person::arrives(&stage.address, "Early").await;
    let happening = async |_| {
        stage.does("back-up").await;
        let (late, room) = stage.newcomer("Late").await;
        stage.does("lose-the-database").await;
        let stranger = Person::stranger(&stage.address);
        assert_ne!(stranger.log_in(&early.name, PASSWORD, "/").await.status, 303, "without a database");
        stage.does("restore-accounts").await;
        early.comes_in_at(&stage.address).await;
        assert_ne!(stranger.log_in(&late.name, PASSWORD, "/").await.status, 303, "{} is lost", late.name);
        let again = stranger.register(&late.name, PASSWORD).await;
        assert_eq!(again.status, 303, "{} can register again: {}", late.name, again.body);
        // What they said is there, and who was there with a valid token goes on meanwhile.
        assert_eq!(late.opens(&room).await.messages(), ["the first words"]);
        stage.does("start-history").await;
    };
    let ((), talk) = stage.while_people_talk(happening).await;
    format!("1 account that is newer than the backup was lost, as is said; {}", talk.outcome.verdict)
}

/// The server takes everything from the others. That it has it is proved by taking another one away.
pub async fn disk_of_one_broker(stage: &Stage<'_>) -> String {
    let happening = async |_| {
        stage.does("lose-a-brokers-disk").await;
        let before = stored(stage).await;
        stage.does("give-a-new-disk").await;
        let after = stored(stage).await;
        let (least, most) = (after.values().min(), before.values().min());
        assert!(
            after.len() == 3 && least >= most,
            "one has less than was there before: {before:?}, {after:?}"
        );
        stage.order("kill nats-2").await;
        stage.newcomer("Meanwhile").await;
        stage.order("start").await;
        after
    };
    let (stored, talk) = stage.while_people_talk(happening).await;
    format!("messages of each server when the lost one was ready: {stored:?}; {}", talk.outcome.verdict)
}

/// Everything of one machine goes at once.
pub async fn node(stage: &Stage<'_>) -> String {
    let happening = async |_| {
        stage.does("lose-a-node").await;
        stage.newcomer("Meanwhile").await;
        stage.does("node-comes-back").await;
    };
    let ((), talk) = stage.while_people_talk(happening).await;
    let away = talk.outcome.longest_away.as_secs_f64();
    format!("longest interruption of a member {away:.1} s; {}", talk.outcome.verdict)
}

/// How many messages each NATS server has in its streams.
async fn stored(stage: &Stage<'_>) -> BTreeMap<String, u64> {
    let mut stored = BTreeMap::new();
    for server in stage.operations("nats") {
        let answer = Ask::get("/jsz").send(&server).await;
        let jsz: Value = answer.json();
        stored.insert(server, jsz["messages"].as_u64().expect("a server counts its messages"));
    }
    stored
}
