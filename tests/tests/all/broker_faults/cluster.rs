//! Three servers that are one, and one of them hurt.

use super::Scene;
use protocol::subject::{KEYS_STREAM, Shard};
use protocol::{Event, RoomSlug, SealedEvent};
use serde_json::json;
use std::cell::Cell;
use std::time::Duration;
use tests::audit::Audit;
use tests::cluster::Cluster;
use tests::eventually::{SOON, eventually};
use tests::heard::Heard;
use tests::http::Ask;
use tests::json_socket::parse;
use tests::person::{Person, RoomView};
use tests::services::Services;
use tests::socket::Came;
use tests::steady::Steady;
use tests::straight::api;
use tokio::time::{Instant, sleep, sleep_until};

const LOG: &str = "CHAT_0";

/// A room of two: one sends at the first gateway, one reads at the second.
struct Talk {
    room: String,
    view: RoomView,
    members: [Steady; 2],
    ann: Person,
}

impl Talk {
    async fn between(services: &Services<Cluster>) -> Self {
        let ann = Person::arrives(&services.address(0), "Ann").await;
        let ben = Person::arrives(&services.address(1), "Ben").await;
        let room = ann.creates("Cluster").await;
        ben.joins(&room).await;
        let view = ben.opens(&room).await;
        let members =
            [Steady::member(ann.clone(), &room, &view.cursor), Steady::member(ben, &room, &view.cursor)];
        Self { room, view, members, ann }
    }

    /// Both send, so many messages together, one each 20 ms.
    async fn goes_on(&self, messages: usize) {
        for n in 0..messages {
            self.members[n % 2].send(&format!("m-{n}")).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything is acknowledged, seen by both, and stored once, in one order.
    async fn is_whole(&self, messages: usize) {
        eventually("all is acknowledged and seen", Duration::from_secs(60), || async {
            self.members.iter().all(|member| member.counts() == (0, messages)).then_some(())
        })
        .await;
        let history = self.ann.connects(&self.room).await.whole_history(100).await;
        let verdict = Audit::of(&self.members, &self.view, history).verdict();
        assert!(verdict.is_clean() && verdict.acknowledged == messages, "{verdict}");
    }
}

#[tokio::test]
async fn the_logs_leader_is_killed_under_load_and_nothing_is_lost() {
    let mut services = Services::on(Cluster::start(3).await, 2, &[]).await;
    let talk = Talk::between(&services).await;
    let nats = &mut services.nats;
    let killing = async {
        for _ in 0..2 {
            sleep(Duration::from_secs(2)).await;
            let leader = nats.leader_of(LOG).await;
            nats.kill(leader);
            eventually("another has taken over", Duration::from_secs(60), || async {
                (nats.leader_of(LOG).await != leader).then_some(())
            })
            .await;
            nats.restart(leader).await;
            nats.healthy().await;
        }
    };
    tokio::join!(talk.goes_on(600), killing);
    talk.is_whole(600).await;
}

#[tokio::test]
async fn what_is_changed_while_the_log_has_no_leader_is_changed_once() {
    const ROUNDS: usize = 80;
    let services = Services::on(Cluster::start(3).await, 1, &tests::backchat::UNLIMITED).await;
    let scene = Scene::at(&services, "Changed").await;
    let (ann, room) = (&scene.ann, &scene.room);
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let broker = services.nats.connect().await;
    let is_over = Cell::new(false);
    let stepping = async {
        while !is_over.get() {
            for stream in [LOG, KEYS_STREAM] {
                // It may have none just now.
                let _ = api(&broker, &format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({})).await;
                sleep(Duration::from_millis(350)).await;
            }
        }
    };
    let changing = async {
        let mut socket = ann.connects(room).await;
        socket.caught_up().await;
        for n in 0..ROUNDS {
            let id = socket.send(&format!("first {n}")).await;
            socket.acknowledged(id).await;
            let edit = socket.edit(id, &format!("then {n}")).await;
            socket.acknowledged(edit).await;
            ben.joins(room).await;
            ben.leaves(room).await;
            let made = ben.post("/create/", &[("name", "Once")]).await;
            assert_eq!(made.status, 303, "{}", made.body);
        }
        is_over.set(true);
    };
    tokio::join!(stepping, changing);
    let of_room = RoomSlug::parse(room).unwrap();
    let all = broker.read_after(LOG, &Shard(0).log(&of_room), 0, 10 * ROUNDS).await.unwrap();
    let events: Vec<_> =
        all.records.iter().map(|record| SealedEvent::decode(&record.payload).unwrap()).collect();
    let count = |is_meant: fn(&SealedEvent) -> bool| events.iter().filter(|event| is_meant(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Edited { .. })), ROUNDS);
    // Ann joined when she made the room.
    assert_eq!(count(|event| matches!(event, Event::Joined { .. })), ROUNDS);
    assert_eq!(count(|event| matches!(event, Event::Left { .. })), ROUNDS);
    let home = ben.get("/").await;
    assert_eq!(home.body.matches("href=\"/room/once").count(), ROUNDS, "no room is made twice");
}

/// Two gateways, of which the first knows the log's leader alone, and the second the two other servers. Gives who leads.
async fn apart() -> (Services<Cluster>, usize) {
    let deadline = ("BACKCHAT_GATEWAY_PUBLISH_DEADLINE_MS", "5000");
    let mut services = Services::on(Cluster::start(3).await, 0, &[deadline]).await;
    let leader = services.nats.leader_of(LOG).await;
    let others = (0..3).filter(|other| *other != leader).map(|other| services.nats.url(other));
    let others: Vec<_> = others.collect();
    let own = services.nats.url(leader);
    services.add_gateway_at(&own).await;
    services.add_gateway_at(&others.join(",")).await;
    (services, leader)
}

#[tokio::test]
async fn a_leader_that_slept_does_not_deny_what_was_stored_meanwhile() {
    let (mut services, leader) = apart().await;
    let scene = Scene::at(&services, "Slept").await;
    let mut here = scene.ann.connects(&scene.room).await;
    here.caught_up().await;
    let there = scene.ann.through(&services.address(1));
    let mut socket = there.connects(&scene.room).await;
    let (_, cursor) = socket.caught_up().await;
    services.nats.pause(leader).await;
    let room = &scene.room;
    let member = Steady::member(there.clone(), room, &cursor);
    for n in 0..20 {
        member.send(&format!("meanwhile {n}")).await;
    }
    eventually("the others go on without their leader", Duration::from_secs(60), || async {
        (member.counts() == (0, 20)).then_some(())
    })
    .await;
    let cursor = member.report().cursor.unwrap();
    // They come while the server sleeps, so that what they ask is the first that it answers.
    let mut sockets = Vec::new();
    for _ in 0..30 {
        sockets.push(scene.ann.connects_after(room, &cursor).await);
    }
    sleep(Duration::from_secs(1)).await;
    services.nats.resume(leader);
    for mut socket in sockets {
        match socket.socket.next().await {
            Came::Text(text) => assert_eq!(parse(&text), Heard::CaughtUp { cursor: cursor.clone() }),
            Came::Closed(closed) => {
                assert_eq!(closed.code, 1012, "it may say that another gateway knows more")
            }
        }
    }
    assert_eq!(here.messages(20).await.len(), 20);
}

#[tokio::test]
async fn a_server_that_sleeps_for_twenty_seconds_costs_time_and_no_message() {
    let (mut services, leader) = apart().await;
    let talk = Talk::between(&services).await;
    let (beside, away) = (services.gateways[0].operations(), services.gateways[1].operations());
    let nats = &mut services.nats;
    let sleeping = async {
        sleep(Duration::from_secs(2)).await;
        nats.pause(leader).await;
        let began = Instant::now();
        eventually("the gateway at the sleeping server says so", SOON, || async {
            let answer = Ask::get("/readyz").send(&beside).await;
            (answer.status == 503 && answer.body.contains("did not answer in time")).then_some(())
        })
        .await;
        eventually("the gateway at the others is ready", SOON, || async {
            (Ask::get("/readyz").send(&away).await.status == 200).then_some(())
        })
        .await;
        sleep_until(began + Duration::from_secs(20)).await;
        nats.resume(leader);
    };
    tokio::join!(talk.goes_on(600), sleeping);
    talk.is_whole(600).await;
    eventually("both gateways are ready", SOON, || async {
        let ready =
            (Ask::get("/readyz").send(&beside).await.status, Ask::get("/readyz").send(&away).await.status);
        (ready == (200, 200)).then_some(())
    })
    .await;
}
