//! Three servers that are one, and one of them hurt.

use std::time::Duration;
use tests::audit::{Audit, View};
use tests::cluster::Cluster;
use tests::eventually::eventually;
use tests::person::{Person, RoomView};
use tests::services::Services;
use tests::steady::Steady;
use tokio::time::sleep;

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
        let mut audit = Audit { history, ..Audit::default() };
        for member in &self.members {
            let report = member.report();
            audit.acknowledged.extend(report.acknowledged);
            audit.views.push(View {
                name: member.name.clone(),
                after: self.view.head,
                events: report.events,
            });
        }
        let verdict = audit.verdict();
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
            sleep(Duration::from_secs(2)).await;
            nats.restart(leader).await;
            nats.healthy().await;
            assert_ne!(nats.leader_of(LOG).await, leader, "another has taken over");
        }
    };
    tokio::join!(talk.goes_on(600), killing);
    talk.is_whole(600).await;
}
