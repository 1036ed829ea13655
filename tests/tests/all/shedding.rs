//! A gateway that is added under load gets its share of what there is to do, and nobody is sent away for nothing.

use protocol::presence::Beat;
use protocol::subject;
use std::time::Duration;
use tests::audit::Audit;
use tests::eventually::eventually;
use tests::person::{Person, RoomView};
use tests::random::Random;
use tests::services::Services;
use tests::steady::{Stay, Steady, format::Format};

const SOCKETS: u64 = 40;
const SOON: Duration = Duration::from_secs(60);
/// An equal share and a tenth: what a gateway keeps.
const KEPT_MAX: u64 = SOCKETS / 2 + SOCKETS / 20;
/// What is sent goes up and down, and pages count too: so far from an equal share sockets may be that are sent much.
const KEPT_MAX_BY_BYTES: u64 = KEPT_MAX + SOCKETS / 8;
const BYTES_PER_SECOND: u64 = 1_000;

#[tokio::test]
async fn sockets_go_to_a_gateway_that_has_fewer_and_nothing_is_lost() {
    let mut crowded = Crowded::at_one_of_two(("BACKCHAT_GATEWAY_SOCKETS_TARGET", "10")).await;
    crowded.members[0].send("before").await;
    assert_eq!(crowded.shed().await, 0, "it is alone");

    crowded.services.gateways[1].start().await;
    crowded.has_sockets(0, 0..=KEPT_MAX).await;
    crowded.has_sockets(1, SOCKETS - KEPT_MAX..=SOCKETS).await;
    crowded.members[0].send("after").await;
    crowded.audits().await;
}

#[tokio::test]
async fn sockets_that_are_sent_much_go_to_a_gateway_that_sends_less_and_nothing_is_lost() {
    let target = BYTES_PER_SECOND.to_string();
    let target = ("BACKCHAT_GATEWAY_SENT_BYTES_PER_SECOND_TARGET", target.as_str());
    let mut crowded = Crowded::at_one_of_two(target).await;
    let talks = crowded.talks_until_sent(4 * BYTES_PER_SECOND);
    talks.await;
    assert_eq!(crowded.shed().await, 0, "it is alone");

    crowded.services.gateways[1].start().await;
    crowded.has_sockets(0, SOCKETS - KEPT_MAX_BY_BYTES..=KEPT_MAX_BY_BYTES).await;
    crowded.has_sockets(1, SOCKETS - KEPT_MAX_BY_BYTES..=KEPT_MAX_BY_BYTES).await;
    crowded.audits().await;
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_has_no_room() {
    let services = Services::start(1).await;
    let mut beats =
        services.nats.connect().await.hear::<Beat>(subject::GATEWAYS.into()).await.expect("it is heard");
    let beat = beats.next().await.expect("it lives");
    assert_eq!(beat.sockets, Some(0));
    let lost = format!("$JS.API.STREAM.DELETE.{}", subject::SESSIONS_STREAM);
    services.nats.client().await.request(lost, "".into()).await.expect("the broker answers");
    let says = async {
        while let Some(beat) = beats.next().await {
            if beat.sockets.is_none() {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, says).await.expect("without keys and revocations it is not ready");
}

/// Many sockets of one room at the first of two gateways, of which the other is not there.
struct Crowded {
    services: Services,
    ann: Person,
    room: String,
    view: RoomView,
    members: Vec<Steady>,
}

impl Crowded {
    async fn at_one_of_two(target: (&str, &str)) -> Self {
        let mut services = Services::with(2, &[target]).await;
        let ann = Person::arrives(&services.address(0), "Ann").await;
        let room = ann.creates("Crowded").await;
        let view = ann.opens(&room).await;
        services.gateways[1].kill();
        eventually("the first gateway knows that it is alone", SOON, || async {
            let died = services.gateways[0].metric("gateways_died_total").await?;
            (died == 1).then_some(())
        })
        .await;
        let ways = vec![services.address(0), services.address(1)];
        let members = (0..SOCKETS)
            .map(|n| {
                Steady::starts(Stay {
                    name: format!("socket {n}"),
                    person: ann.clone(),
                    room: room.clone(),
                    cursor: view.cursor.clone(),
                    format: Format::Json,
                    ways: ways.clone(),
                    seed: Random::any_seed(),
                })
            })
            .collect();
        let crowded = Self { services, ann, room, view, members };
        crowded.has_sockets(0, SOCKETS..=SOCKETS).await;
        crowded
    }

    async fn has_sockets(&self, gateway: usize, wanted: std::ops::RangeInclusive<u64>) {
        eventually(&format!("gateway {gateway} has {wanted:?} sockets"), SOON, || async {
            let sockets = self.services.gateways[gateway].metric("sockets").await?;
            wanted.contains(&sockets).then_some(())
        })
        .await;
    }

    async fn shed(&self) -> u64 {
        self.services.gateways[0].metric("sockets_shed_total").await.expect("it is counted")
    }

    /// Until the first gateway has sent so many bytes a second for a while.
    async fn talks_until_sent(&self, bytes_per_second: u64) {
        eventually("much is sent", SOON, || async {
            self.members[0].send("something that everybody is to see").await;
            let sent = self.services.gateways[0].metric("sent_bytes_per_second").await?;
            (sent >= bytes_per_second).then_some(())
        })
        .await;
    }

    /// Everything that was sent was stored and seen by all, once, in order.
    async fn audits(&self) {
        eventually("all is acknowledged and seen", SOON, || async {
            let last = self.members[0].last_seen();
            self.members
                .iter()
                .all(|member| member.last_seen() == last && member.counts().0 == 0)
                .then_some(())
        })
        .await;
        let history = self.ann.connects(&self.room).await.whole_history(100).await;
        let verdict = Audit::of(&self.members, &self.view, history).verdict();
        assert!(verdict.is_clean(), "{verdict}");
    }
}
