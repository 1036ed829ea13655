//! The broker away: nothing is shown that is not stored, nothing is lost that was acknowledged, and everybody comes back.

use protocol::frame::Refusal;
use std::time::Duration;
use tests::backchat::Backchat;
use tests::eventually::eventually;
use tests::heard::Heard;
use tests::person::Person;
use tests::services::Services;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_broker_child_that_dies_is_started_again_and_sockets_go_on() {
    let mut backchat = Backchat::without_rate_limit().await;
    let person = Person::arrives(&backchat.address(), "Survivor").await;
    let room = person.creates("Broker child").await;
    let view = person.opens(&room).await;
    let member = tests::steady::Steady::member(person.clone(), &room, &view.cursor);
    member.send("before").await;
    eventually("it is stored", Duration::from_secs(10), || async {
        (member.counts() == (0, 1)).then_some(())
    })
    .await;
    let killed = backchat.kill_broker();
    member.send("during").await;
    eventually("the broker is started again", Duration::from_secs(30), || async {
        backchat.broker_id().filter(|id| *id != killed)
    })
    .await;
    eventually("both are seen", Duration::from_secs(30), || async {
        (member.counts() == (0, 2)).then_some(())
    })
    .await;
    backchat.ready().await;
    assert_eq!(person.opens(&room).await.messages(), ["before", "during"]);
    assert_eq!(person.get("/").await.status, 200, "never an error page afterwards");
}

#[tokio::test]
async fn a_message_sent_while_the_broker_hangs_is_stored_once() {
    let mut services = Services::start(1).await;
    let person = Person::arrives(&services.address(0), "Waiter").await;
    let room = person.creates("Hanging broker").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say("before").await;
    services.nats.pause().await;
    let id = socket.send("pending-1").await;
    let until = Instant::now() + Duration::from_secs(20);
    let mut refusals = 0;
    while Instant::now() < until {
        let Some(came) = socket.socket.next_before(until).await else { break };
        let tests::socket::Came::Text(text) = came else { panic!("the socket ended: {came:?}") };
        match tests::json_socket::parse(&text) {
            Heard::Refused(refused) => {
                assert_eq!((refused.id, refused.code), (Some(id), Refusal::NotConfirmed));
                refusals += 1;
                socket.send_as(id, "pending-1").await;
            }
            Heard::Event(event) => {
                assert!(!format!("{event:?}").contains("pending-1"), "it is shown, and not stored")
            }
            Heard::Ack { id: of, .. } => assert_ne!(of, id, "it is acknowledged, and not stored"),
            _ => {}
        }
    }
    assert!(refusals > 0, "a message that can't be stored is said to be unconfirmed within its deadline");
    services.nats.resume();
    let settle = async {
        loop {
            socket.send_as(id, "pending-1").await;
            let heard = socket
                .until(|heard| match heard {
                    Heard::Ack { id: of, .. } if *of == id => Some(true),
                    Heard::Refused(refused) if refused.id == Some(id) => Some(false),
                    _ => None,
                })
                .await;
            if heard {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settle)
        .await
        .expect("it is stored soon after the broker's return");
    socket.say("end").await;
    assert_eq!(person.opens(&room).await.messages(), ["before", "pending-1", "end"]);
    let history = socket.whole_history(50).await;
    assert_eq!(tests::heard::bodies(&history), ["before", "pending-1", "end"]);
}

#[tokio::test]
async fn after_a_restart_of_the_broker_revocations_are_heard_again() {
    let mut services = Services::start(2).await;
    let person = Person::arrives(&services.address(0), "Restarted").await;
    let room = person.creates("Restarts").await;
    for round in 0..3 {
        match round {
            0 => services.nats.stop().await,
            _ => services.nats.kill(),
        }
        services.nats.restart().await;
        let session = eventually("one can log in again", Duration::from_secs(30), || async {
            let other = Person::stranger(&services.address(1));
            let logged_in = other.log_in(&person.name, tests::person::PASSWORD, "/").await;
            (logged_in.status == 303).then_some(other)
        })
        .await;
        let mut sockets = Vec::new();
        for gateway in 0..2 {
            services.gateways[gateway].ready().await;
            let mut socket = session.through(&services.address(gateway)).connects(&room).await;
            socket.caught_up().await;
            sockets.push(socket);
        }
        session.log_out().await;
        for socket in &mut sockets {
            assert_eq!(socket.closed().await.code, 4401, "round {round}");
        }
    }
}
