//! A gateway that is added under load gets its share of the sockets that are there.

use std::time::Duration;
use tests::audit::{Audit, View};
use tests::eventually::eventually;
use tests::person::Person;
use tests::random::Random;
use tests::services::Services;
use tests::steady::{Stay, Steady, format::Format};

const SOCKETS: u64 = 40;
const SOON: Duration = Duration::from_secs(60);
/// An equal share and a tenth: what a gateway keeps.
const KEPT_MAX: u64 = SOCKETS / 2 + SOCKETS / 20;

#[tokio::test]
async fn sockets_go_to_a_gateway_that_has_fewer_and_nothing_is_lost() {
    let target = [("BACKCHAT_GATEWAY_SOCKETS_TARGET", "10")];
    let mut services = Services::with(2, &target).await;
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
    let members: Vec<_> = (0..SOCKETS)
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
    has_sockets(&services, 0, SOCKETS..=SOCKETS).await;
    members[0].send("before").await;
    assert_eq!(services.gateways[0].metric("sockets_shed_total").await, Some(0), "it is alone");

    services.gateways[1].start().await;
    has_sockets(&services, 0, 0..=KEPT_MAX).await;
    has_sockets(&services, 1, SOCKETS - KEPT_MAX..=SOCKETS).await;
    members[0].send("after").await;
    eventually("all is acknowledged and seen", SOON, || async {
        members.iter().all(|member| member.last_seen() == members[0].last_seen()).then_some(())?;
        (members[0].counts() == (0, 2)).then_some(())
    })
    .await;
    let mut audit = Audit { history: ann.connects(&room).await.whole_history(100).await, ..Audit::default() };
    for member in &members {
        let report = member.report();
        audit.acknowledged.extend(report.acknowledged);
        audit.views.push(View { name: member.name.clone(), after: view.head, events: report.events });
    }
    let verdict = audit.verdict();
    assert!(verdict.is_clean() && verdict.acknowledged == 2, "{verdict}");
}

async fn has_sockets(services: &Services, gateway: usize, wanted: std::ops::RangeInclusive<u64>) {
    eventually(&format!("gateway {gateway} has {wanted:?} sockets"), SOON, || async {
        let sockets = services.gateways[gateway].metric("sockets").await?;
        wanted.contains(&sockets).then_some(())
    })
    .await;
}
