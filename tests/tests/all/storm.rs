//! Everybody comes back at once.

use std::time::Duration;
use tests::eventually::eventually;
use tests::heavy;
use tests::person::Person;
use tests::random::Random;
use tests::services::Services;
use tests::steady::format::Format;
use tests::steady::{Stay, Steady};
use tokio::time::Instant;

const PEOPLE: usize = 30;
const SOCKETS_EACH: usize = 100;
const SOCKETS: usize = PEOPLE * SOCKETS_EACH;
/// Messages that everybody missed.
const MISSED: usize = 40;
/// Longest wait until all have caught up, from the gateway's return on, on a machine that has nothing else to do: one that
/// is busy already took longer to let everybody in.
const CAUGHT_UP: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_who_come_back_to_one_room_are_caught_up_by_about_one_read() {
    let _turn = heavy::turn().await;
    let many = SOCKETS_EACH.to_string();
    let mut services = Services::with(2, &[("BACKCHAT_GATEWAY_SOCKETS_PER_USER", &many)]).await;
    let writer = Person::arrives(&services.address(1), "Writer").await;
    let room = writer.creates("Storm").await;
    let mut socket = writer.connects(&room).await;
    let (_, cursor) = socket.caught_up().await;
    let mut members = Vec::new();
    let mut random = Random::seeded(1);
    for _ in 0..PEOPLE {
        let person = Person::arrives(&services.address(0), "Member").await;
        person.joins(&room).await;
        members.extend((0..SOCKETS_EACH).map(|_| {
            Steady::starts(Stay {
                name: person.name.clone(),
                person: person.clone(),
                room: room.clone(),
                cursor: cursor.clone(),
                format: Format::Page,
                ways: vec![services.address(0)],
                seed: random.next_u64(),
            })
        }));
    }
    let all_have_seen = async |seq: u64, patience: Duration| {
        let what = format!("{SOCKETS} sockets have seen {seq}");
        eventually(&what, patience, || async {
            members.iter().all(|member| member.last_seen() >= seq).then_some(())
        })
        .await;
    };
    let began = Instant::now();
    let before = socket.say("before the storm").await;
    all_have_seen(before, Duration::from_secs(120)).await;
    let patience = CAUGHT_UP.max(2 * began.elapsed());
    services.gateways[0].kill();
    let last = socket.say_all((0..MISSED).map(|n| format!("missed {n}"))).await[MISSED - 1];
    services.gateways[0].start().await;
    let back = Instant::now();
    all_have_seen(last, patience).await;
    println!("{SOCKETS} sockets caught up in {:?}", back.elapsed());
    let gateway = &services.gateways[0];
    let read = gateway.metric("caught_up_total").await.unwrap();
    assert!((MISSED..=3 * MISSED).contains(&(read as usize)), "{read} events were read for them all");
    assert_eq!(gateway.metric("sockets").await, Some(SOCKETS as u64));
    for member in members {
        let report = member.goes();
        assert_eq!(report.resets, [""; 0]);
        let messages: Vec<_> = report.events.iter().filter_map(|event| event.body.as_deref()).collect();
        assert_eq!(messages.len(), 1 + MISSED, "each once");
    }
}
