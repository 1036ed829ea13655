//! Shards are added to a running system: rooms that are there stay, new ones are spread over all, and nothing is lost.

use protocol::frame::Close;
use protocol::keys::{Holder, RoomErasures, RoomErasuresAnswer};
use protocol::retention::{RoomExpiry, RoomExpiryAnswer};
use protocol::subject::{self, Shard, Shards};
use protocol::{KeepDays, MessageId, RoomSlug, Target, UserId, state::Installation};
use std::time::Duration;
use tests::audit::{Audit, View};
use tests::eventually::eventually;
use tests::nats::Nats;
use tests::person::Person;
use tests::process::{Ended, Launch, built};
use tests::random::Random;
use tests::services::Services;
use tests::steady::{Report, Stay, Steady, format::Format};
use tests::stored;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(60);
/// By chance alone, so many new rooms do not all go to one of four shards.
const ROOMS: usize = 20;
/// So that the last of them is made when a gateway has heard all others for sure.
const PAUSE: Duration = Duration::from_millis(350);
/// Members who talk in a room, and how often each says something.
const TALKING: usize = 4;
const TALKS_EVERY: Duration = Duration::from_millis(300);

#[tokio::test]
async fn shards_are_added_while_people_chat() {
    let mut services = Services::start(2).await;
    services.search.start().await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(1), "Ben").await;
    let room = ann.creates("There before").await;
    ben.joins(&room).await;
    let old_room = Talk::begins(&services, &ben, &room).await;

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

    services.gateways[0].terminate().await;
    services.gateways[0].start().await;
    for room in rooms(&ann, PAUSE).await {
        assert_eq!(Shards::new(1, 4).of(&room), Some(Shard(0)), "{room} is where the other gateway finds it");
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
        rooms.iter().any(|room| Shards::new(1, 4).of(room) != Some(Shard(0))).then_some(rooms)
    })
    .await;
    let added = spread.iter().find(|room| room.named_shard().is_some()).expect("one is in a new shard");
    ben.joins(added.as_str()).await;
    ann.connects(added.as_str()).await.say("where shards were added").await;
    let ben = &ben;
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

    let new_room = Talk::begins(&services, ben, added.as_str()).await;
    for gateway in 0..2 {
        services.gateways[gateway].terminate().await;
        services.gateways[gateway].start().await;
    }
    services.worker.terminate().await;
    services.worker.start().await;
    for talk in [old_room, new_room] {
        talk.ends_whole(&services).await;
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_know_a_rooms_shard_looks_for_it_nowhere_else() {
    let mut services = Services::start(2).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let raised = set_up(&services.nats, Some("raise"), 4).await;
    assert_eq!(raised.code, 0, "{}", raised.output);
    services.gateways[0].terminate().await;
    // For so long that it is taken for dead, and what it knows does not count.
    services.gateways[1].pause().await;
    services.gateways[0].start().await;
    let room = eventually("a room is made in a shard that was added", SOON, || async {
        rooms(&ann, Duration::ZERO).await.into_iter().find(|room| room.named_shard().is_some())
    })
    .await;
    ann.connects(room.as_str()).await.say("in a shard that was added").await;

    services.gateways[1].resume();
    let late = ann.through(&services.address(1));
    let page = late.get(&format!("/room/{room}/")).await;
    assert_eq!((page.status, page.header("retry-after")), (503, "5"), "{}", page.body);
    let socket = late.dial(room.as_str()).as_json().connect().await.closed().await;
    assert_eq!(socket.code, Close::Draining.code(), "it is not said that she is no member");
    assert_eq!(late.get("/room/nobody_x7qa__256/").await.status, 404, "so many shards there can't be");

    services.gateways[0].kill();
    let [erased, forgotten, expired] = asked(&services.nats, &room).await;
    assert!(erased.starts_with("Refused"), "the room is in no log that it knows: {erased}");
    assert!(forgotten.starts_with("Refused"), "it does not know in which rooms they are: {forgotten}");
    assert!(expired.starts_with("Refused"), "the room is in no log that it knows: {expired}");
    services.gateways[1].terminate().await;
    services.gateways[1].start().await;
    let [erased, forgotten, expired] = asked(&services.nats, &room).await;
    assert_eq!([erased, forgotten], ["Told { rooms: 1 }", "Told { rooms: 0 }"]);
    assert_eq!(expired, "Settled");
}

/// What one of the gateways answers who are asked to tell that a room is erased, that somebody is, and that something has expired.
async fn asked(nats: &Nats, room: &RoomSlug) -> [String; 3] {
    let broker = nats.connect().await;
    let erases = async |holder| {
        let question = RoomErasures { holder };
        let answer: RoomErasuresAnswer = broker.ask(subject::ROOM_ERASURES.into(), &question, SOON).await?;
        Ok::<_, broker::Error>(format!("{answer:?}"))
    };
    let target = Target { seq: 1, id: MessageId::new(), author: UserId::new() };
    let expiry = RoomExpiry { room: room.clone(), target, keep: KeepDays::new(1).expect("a day") };
    let expired: RoomExpiryAnswer =
        broker.ask(subject::ROOM_EXPIRIES.into(), &expiry, SOON).await.expect("somebody answers");
    [
        erases(Holder::Room(room.clone())).await.expect("somebody answers"),
        erases(Holder::User(UserId::new())).await.expect("somebody answers"),
        format!("{expired:?}"),
    ]
}

/// Members of a room who talk all the time, wherever a gateway lets them in.
struct Talk {
    room: String,
    /// Events after this are due to all.
    after: u64,
    stop: watch::Sender<bool>,
    talking: JoinSet<Steady>,
}

impl Talk {
    async fn begins(services: &Services, person: &Person, room: &str) -> Self {
        let view = person.opens(room).await;
        let (stop, stopped) = watch::channel(false);
        let mut talking = JoinSet::new();
        for n in 0..TALKING {
            let member = Steady::starts(Stay {
                name: format!("member {n}"),
                person: person.clone(),
                room: room.to_owned(),
                cursor: view.cursor.clone(),
                format: Format::Json,
                ways: vec![services.address(n % 2), services.address((n + 1) % 2)],
                seed: Random::any_seed(),
            });
            let stopped = stopped.clone();
            talking.spawn(async move {
                let mut said = 0;
                while !*stopped.borrow() {
                    member.send(&format!("{n} says {said}")).await;
                    said += 1;
                    sleep(TALKS_EVERY).await;
                }
                member
            });
        }
        Self { room: room.to_owned(), after: view.head, stop, talking }
    }

    /// Nothing is lost, doubled or out of order: in the log, and before everybody's eyes.
    async fn ends_whole(self, services: &Services) {
        self.stop.send_replace(true);
        let members = self.talking.join_all().await;
        eventually("all is acknowledged and seen", SOON, || async {
            let last = members[0].last_seen();
            members.iter().all(|member| member.counts().0 == 0 && member.last_seen() == last).then_some(())
        })
        .await;
        let broker = services.nats.connect().await;
        let mut audit = Audit { history: stored::log(&broker, &self.room).await, ..Audit::default() };
        for member in members {
            let Report { acknowledged, events, resets, .. } = member.report();
            assert!(resets.is_empty(), "{} had to begin anew: {resets:?}", member.name);
            audit.acknowledged.extend(acknowledged);
            audit.views.push(View { name: member.name.clone(), after: self.after, events });
        }
        let verdict = audit.verdict();
        assert!(verdict.is_clean() && verdict.acknowledged >= 5 * TALKING, "{}: {verdict}", self.room);
    }
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
