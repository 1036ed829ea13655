//! Continuing from a cursor: exactly what comes after it, whatever happened meanwhile.

use protocol::frame::ResetReason;
use std::time::Duration;
use tests::audit::{Audit, View};
use tests::backchat::shared;
use tests::eventually::eventually;
use tests::heard::{Heard, Seen, bodies};
use tests::person::Person;
use tests::proxy::Proxy;
use tests::random::Random;
use tests::steady::Steady;
use tokio::time::{Instant, sleep};

async fn pair(room_name: &str) -> (Person, Person, String) {
    let address = shared().await;
    let (writer, reader) =
        (Person::arrives(&address, "Writer").await, Person::arrives(&address, "Reader").await);
    let room = writer.creates(room_name).await;
    reader.joins(&room).await;
    (writer, reader, room)
}

#[tokio::test]
async fn without_a_cursor_a_socket_begins_with_the_last_fifty() {
    let (writer, reader, room) = pair("Fifty").await;
    writer.connects(&room).await.say_all((0..60).map(|n| format!("m-{n}"))).await;
    let (events, cursor) = reader.connects(&room).await.caught_up().await;
    assert_eq!(events.len(), 50);
    assert_eq!(events[49].body.as_deref(), Some("m-59"));
    assert_eq!(cursor, reader.opens(&room).await.cursor);
}

#[tokio::test]
async fn a_socket_continues_exactly_behind_its_cursor() {
    let (writer, reader, room) = pair("Cursor").await;
    let mut socket = writer.connects(&room).await;
    socket.say("before").await;
    let cursor = reader.opens(&room).await.cursor;
    let (nothing, same) = reader.connects_after(&room, &cursor).await.caught_up().await;
    assert_eq!((nothing.len(), same.as_str()), (0, cursor.as_str()));
    socket.say_all(["a", "b", "c"].map(String::from)).await;
    // What is stored is shown a moment later.
    while socket.message().await != "c" {}
    let (events, later) = reader.connects_after(&room, &cursor).await.caught_up().await;
    assert_eq!(bodies(&events), ["a", "b", "c"]);
    let (nothing, _) = reader.connects_after(&room, &later).await.caught_up().await;
    assert!(nothing.is_empty());
    let mut page = reader.connects_as_page(&room, &cursor).await;
    for text in ["a", "b", "c"] {
        assert_eq!(page.row().await.text, text);
    }
    assert_eq!(page.caught_up().await, later);
}

#[tokio::test]
async fn a_gap_longer_than_what_a_gateway_keeps_is_filled_in_order() {
    let (writer, reader, room) = pair("Long gap").await;
    let cursor = reader.opens(&room).await.cursor;
    let wanted: Vec<String> = (0..1_200).map(|n| format!("m-{n}")).collect();
    writer.connects(&room).await.say_all(wanted.clone()).await;
    let (events, _) = reader.connects_after(&room, &cursor).await.caught_up().await;
    assert_eq!(bodies(&events), wanted);
}

#[tokio::test]
async fn what_is_said_between_the_page_and_its_socket_is_not_lost() {
    let (writer, reader, room) = pair("Between").await;
    let talking = Steady::member(writer.clone(), &room, &writer.opens(&room).await.cursor);
    let until = Instant::now() + Duration::from_secs(25);
    let talk = async {
        while Instant::now() < until {
            talking.send("between").await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let mut random = Random::seeded(3);
    let visits = async {
        let mut visits = Vec::new();
        // The last visits end while the other still talks.
        while Instant::now() + Duration::from_secs(3) < until {
            let view = reader.opens(&room).await;
            sleep(Duration::from_millis(random.between(0, 500))).await;
            let mut socket = reader.connects_after(&room, &view.cursor).await;
            let (mut events, _) = socket.caught_up().await;
            events.push(socket.event().await);
            visits.push((view, events));
        }
        visits
    };
    let ((), visits) = tokio::join!(talk, visits);
    let history = reader.connects(&room).await.whole_history(100).await;
    for (view, events) in visits {
        let last = events.last().map_or(view.head, |event| event.seq);
        let due: Vec<&Seen> =
            history.iter().filter(|event| event.seq > view.head && event.seq <= last).collect();
        assert_eq!(events.iter().collect::<Vec<_>>(), due, "after {}", view.head);
        let shown: Vec<u64> = view.rows.iter().map(|row| row.seq).collect();
        let kept: Vec<u64> = history.iter().map(|event| event.seq).filter(|seq| *seq <= view.head).collect();
        assert_eq!(shown, kept[kept.len().saturating_sub(50)..], "the page ends at its cursor");
    }
}

#[tokio::test]
async fn a_cursor_of_another_stream_or_from_the_future_is_a_reset() {
    let (writer, reader, room) = pair("Reset").await;
    writer.connects(&room).await.say("what there is").await;
    let view = reader.opens(&room).await;
    let cases = [
        (format!("{}.{}", view.stream, view.head + 1_000), ResetReason::FromTheFuture, "from_the_future"),
        (format!("1234abc.{}", view.head), ResetReason::OtherStream, "other_stream"),
    ];
    for (cursor, reason, word) in cases {
        let mut socket = reader.connects_after(&room, &cursor).await;
        assert_eq!(socket.next().await, Heard::Reset { reason });
        let (events, anew) = socket.caught_up().await;
        assert_eq!(bodies(&events), ["what there is"], "after a reset the newest page comes");
        assert_eq!(anew, view.cursor);
        let mut page = reader.connects_as_page(&room, &cursor).await;
        assert_eq!(page.reset().await, word);
    }
}

#[tokio::test]
async fn a_reader_whose_cable_was_out_gets_everything_in_order() {
    let (writer, reader, room) = pair("Cable").await;
    let proxy = Proxy::to(&reader.address).await;
    let cursor = reader.opens(&room).await.cursor;
    let behind_proxy = Steady::member(reader.through(proxy.address()), &room, &cursor);
    let mut socket = writer.connects(&room).await;
    socket.say("first").await;
    eventually("the reader is there", Duration::from_secs(10), || async {
        (behind_proxy.counts().1 == 1).then_some(())
    })
    .await;
    proxy.black_hole();
    for n in 1..=20 {
        socket.say(&format!("m-{n:02}")).await;
        sleep(Duration::from_millis(100)).await;
    }
    proxy.mend();
    proxy.cut();
    eventually("the reader has all", Duration::from_secs(10), || async {
        (behind_proxy.counts().1 == 21).then_some(())
    })
    .await;
    let report = behind_proxy.report();
    let wanted: Vec<String> =
        std::iter::once("first".into()).chain((1..=20).map(|n| format!("m-{n:02}"))).collect();
    assert_eq!(bodies(&report.events), wanted);
    assert_eq!(report.opened, 2);
}

#[tokio::test]
async fn members_behind_a_bad_network_lose_and_repeat_nothing() {
    let (writer, reader, room) = pair("Bad network").await;
    let view = reader.opens(&room).await;
    let proxies = [Proxy::to(&reader.address).await, Proxy::to(&reader.address).await];
    let members = [
        Steady::member(writer.through(proxies[0].address()), &room, &view.cursor),
        Steady::member(reader.through(proxies[1].address()), &room, &view.cursor),
    ];
    let mut random = Random::seeded(11);
    for n in 0..300 {
        members[n % 2].send(&format!("m-{n}")).await;
        sleep(Duration::from_millis(15)).await;
        if n % 30 == 29 {
            let proxy = &proxies[random.between(0, 2) as usize];
            match random.between(0, 3) {
                0 => proxy.cut(),
                1 => proxy.slow(Duration::from_millis(40)),
                _ => {
                    proxy.cut_off();
                    sleep(Duration::from_millis(200)).await;
                    proxy.mend();
                }
            }
        }
    }
    proxies.iter().for_each(Proxy::mend);
    eventually("both have all", Duration::from_secs(40), || async {
        members.iter().all(|member| member.counts() == (0, 300)).then_some(())
    })
    .await;
    let mut audit =
        Audit { history: reader.connects(&room).await.whole_history(100).await, ..Audit::default() };
    for member in &members {
        let report = member.report();
        audit.acknowledged.extend(report.acknowledged);
        audit.views.push(View { name: member.name.clone(), after: view.head, events: report.events });
    }
    let verdict = audit.verdict();
    assert!(verdict.is_clean() && verdict.acknowledged == 300, "{verdict}");
}
