//! Shards are added to a running system: rooms that are there stay, new ones are spread over all, and nothing is lost.

use protocol::subject::{Shard, Shards};
use protocol::{RoomSlug, state::Installation};
use std::time::Duration;
use tests::audit::{Audit, View};
use tests::eventually::eventually;
use tests::nats::Nats;
use tests::person::Person;
use tests::process::{Ended, Launch, built};
use tests::services::Services;
use tests::steady::Steady;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(60);
/// By chance alone, so many new rooms do not all go to one of four shards.
const ROOMS: usize = 20;
/// So that the last of them is made when a gateway has heard all others for sure.
const PAUSE: Duration = Duration::from_millis(350);

#[tokio::test]
async fn shards_are_added_while_people_chat() {
    let mut services = Services::start(2).await;
    services.search.start().await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(1), "Ben").await;
    let room = ann.creates("There before").await;
    ben.joins(&room).await;
    let view = ben.opens(&room).await;
    let member = Steady::member(ben.clone(), &room, &view.cursor);

    let told = set_up(&services.nats, None, 4).await;
    assert!(told.code != 0 && told.output.contains("raise --shards 4"), "{}", told.output);
    assert_eq!(shards(&services.nats).await, Shards::at_first(1), "the plan changes nothing");
    let there = services.nats.connect().await.stream(&Shard(3).stream()).await;
    assert!(there.is_err(), "{there:?}");
    for _ in 0..2 {
        let raised = set_up(&services.nats, Some("raise"), 4).await;
        assert!(raised.code == 0 && raised.output.contains("4 shard(s)"), "{}", raised.output);
    }
    assert_eq!(shards(&services.nats).await, Shards::new(1, 4));
    let refused = set_up(&services.nats, Some("raise"), 2).await;
    assert!(refused.code != 0 && refused.output.contains("never falls"), "{}", refused.output);

    member.send("one gateway knows of the new shards").await;
    services.gateways[0].terminate().await;
    services.gateways[0].start().await;
    for room in rooms(&ann, PAUSE).await {
        assert_eq!(Shards::new(1, 4).of(&room), Shard(0), "{room} is where the other gateway finds it");
        ben.joins(room.as_str()).await;
    }

    services.gateways[1].terminate().await;
    services.gateways[1].start().await;
    services.worker.terminate().await;
    services.worker.start().await;
    services.search.terminate().await;
    services.search.start().await;
    let spread = eventually("new rooms go to new shards", SOON, || async {
        let rooms = rooms(&ann, Duration::ZERO).await;
        rooms.iter().any(|room| Shards::new(1, 4).of(room) != Shard(0)).then_some(rooms)
    })
    .await;
    let added = spread.iter().find(|room| room.named_shard().is_some()).expect("one is in a new shard");
    ben.joins(added.as_str()).await;
    ann.connects(added.as_str()).await.say("where shards were added").await;
    let (ann, ben) = (&ann, &ben);
    eventually("the history has it", SOON, || async {
        ben.opens(added.as_str())
            .await
            .messages()
            .contains(&"where shards were added".to_owned())
            .then_some(())
    })
    .await;
    eventually("the search finds it", SOON, || async {
        (!ben.finds("added").await.is_empty()).then_some(())
    })
    .await;
    let list = ben.get("/").await.body;
    assert!(list.contains(added.as_str()) && list.contains(&room), "both are in the list of rooms");

    member.send("all know of the new shards").await;
    eventually("all is acknowledged and seen", SOON, || async { (member.counts() == (0, 2)).then_some(()) })
        .await;
    let report = member.report();
    let audit = Audit {
        history: ann.connects(&room).await.whole_history(100).await,
        acknowledged: report.acknowledged,
        views: vec![View { name: "Ben".into(), after: view.head, events: report.events }],
        ..Audit::default()
    };
    let verdict = audit.verdict();
    assert!(verdict.is_clean() && verdict.acknowledged == 2, "{verdict}");
}

/// Runs the set-up step for so many shards.
async fn set_up(nats: &Nats, words: Option<&str>, shards: u16) -> Ended {
    let launch = Launch::new(&built("backchat-setup"), nats.folder())
        .named("raising")
        .set("BACKCHAT_SETUP_NATS_URL", nats.url())
        .set("BACKCHAT_SETUP_SHARDS", shards);
    words.into_iter().fold(launch, Launch::argument).to_the_end(SOON).await
}

async fn shards(nats: &Nats) -> Shards {
    let installation: Result<Installation, _> = nats.connect().await.installation().await;
    installation.expect("it was set up").shards()
}

/// Makes rooms, with a pause behind each.
async fn rooms(person: &Person, pause: Duration) -> Vec<RoomSlug> {
    let mut rooms = Vec::new();
    for n in 0..ROOMS {
        sleep(pause).await;
        rooms.push(RoomSlug::parse(&person.creates(&format!("Room {n}")).await).expect("a room's code"));
    }
    rooms
}
