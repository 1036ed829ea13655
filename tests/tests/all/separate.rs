//! The pieces as processes of their own: each may fail alone.

use bytes::Bytes;
use protocol::subject::Shard;
use protocol::{MessageId, RoomSlug, SealedEvent, UserId};
use std::time::Duration;
use tests::audit::{Audit, View};
use tests::eventually::{SOON, eventually};
use tests::heard::bodies;
use tests::http::Ask;
use tests::person::{PASSWORD, Person};
use tests::proxy::Proxy;
use tests::random::Random;
use tests::services::Services;
use tests::steady::Steady;
use tests::stored::worker_history;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn what_is_said_at_one_gateway_is_heard_at_the_others() {
    let services = Services::start(3).await;
    let writer = Person::arrives(&services.address(0), "Writer").await;
    let room = writer.creates("Three gateways").await;
    let mut sockets = Vec::new();
    for gateway in 0..3 {
        let mut socket = writer.through(&services.address(gateway)).connects(&room).await;
        socket.caught_up().await;
        sockets.push(socket);
    }
    for (round, socket) in sockets.iter_mut().enumerate() {
        socket.say(&format!("from {round}")).await;
    }
    for socket in &mut sockets {
        assert_eq!(socket.messages(3).await, ["from 0", "from 1", "from 2"]);
    }
    let owner = writer.elsewhere().await;
    let mut other_session = owner.through(&services.address(1)).connects(&room).await;
    other_session.caught_up().await;
    writer.log_out().await;
    for socket in &mut sockets {
        assert_eq!(socket.closed().await.code, 4401, "a logout is known at every gateway");
    }
    other_session.is_alive().await;
}

#[tokio::test]
async fn with_the_broker_alone_a_fresh_gateway_serves_members() {
    let mut services = Services::start(1).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let room = ann.creates("Broker alone").await;
    ben.joins(&room).await;
    let mut socket = ann.connects(&room).await;
    socket.say_all((0..120).map(|n| format!("m-{n}"))).await;
    let cursor = ben.opens(&room).await.cursor;
    services.worker.kill();
    services.auth.kill();
    services.gateways[0].kill();
    let fresh = services.add_gateway().await;
    let address = services.address(fresh);
    let (ann, ben) = (ann.through(&address), ben.through(&address));
    let mut anns = ann.connects_after(&room, &cursor).await;
    let mut bens = ben.connects_after(&room, &cursor).await;
    anns.caught_up().await;
    anns.say("nobody else is there").await;
    assert_eq!(bens.message().await, "nobody else is there");
    let view = ben.opens(&room).await;
    assert_eq!(view.messages().last().map(String::as_str), Some("nobody else is there"));
    let history = bens.whole_history(50).await;
    assert_eq!(bodies(&history).len(), 121, "what the log holds is paged without the history worker");
}

#[tokio::test]
async fn an_event_that_can_not_be_read_stops_nothing() {
    let mut services = Services::start(1).await;
    let person = Person::arrives(&services.address(0), "Writer").await;
    let room = person.creates("Poison").await;
    let mut socket = person.connects(&room).await;
    socket.caught_up().await;
    socket.say("good one").await;
    let broker = services.nats.connect().await;
    let slug = RoomSlug::parse(&room).unwrap();
    let (log, nowhere) = (Shard(0).log(&slug), Shard(0).log(&RoomSlug::parse("never_made_x7qa").unwrap()));
    let nul = format!(
        r#"{{"v":1,"type":"message","id":"{}","author":"{}","body":"\u0000"}}"#,
        MessageId::new().short(),
        UserId::new().short()
    );
    let good = SealedEvent::Joined { id: MessageId::new(), author: UserId::new() }.encode();
    let poison: [(&str, Vec<u8>); 6] = [
        (&log, b"{".to_vec()),
        (&log, Vec::new()),
        (&log, vec![b'a'; 900 * 1024]),
        (&log, br#"{"type":"poll","v":99}"#.to_vec()),
        (&log, nul.into_bytes()),
        (&nowhere, good),
    ];
    for (number, (subject, payload)) in poison.into_iter().enumerate() {
        broker.publish(subject.to_owned(), &format!("poison-{number}"), Bytes::from(payload)).await.unwrap();
    }
    socket.say("second good one").await;
    assert_eq!(socket.messages(2).await, ["good one", "second good one"], "the socket lives");
    let stored = worker_history(&broker, &room).await;
    assert_eq!(bodies(&stored), ["good one", "second good one"]);
    assert_eq!(person.opens(&room).await.messages(), ["good one", "second good one"]);
    let (events, _) = person.connects(&room).await.caught_up().await;
    assert_eq!(bodies(&events), ["good one", "second good one"]);
    let health = Ask::get("/readyz").send(&services.worker.operations()).await;
    assert_eq!(health.status, 200, "{}", health.body);
    assert!(health.body.contains("set aside"), "{}", health.body);
    let metrics = Ask::get("/metrics").send(&services.worker.operations()).await.body;
    let counted = metrics.lines().filter(|line| line.starts_with("backchat_history_worker_set_aside_total"));
    let counts: Vec<u64> = counted.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    assert_eq!(counts.iter().sum::<u64>(), 6, "{metrics}");
    services.worker.kill();
    services.worker.start().await;
    socket.say("after a restart").await;
    assert_eq!(
        bodies(&worker_history(&broker, &room).await),
        ["good one", "second good one", "after a restart"]
    );
}

#[tokio::test]
async fn a_worker_that_is_killed_again_and_again_applies_each_event_once() {
    let mut services = Services::start(1).await;
    let person = Person::arrives(&services.address(0), "Writer").await;
    let room = person.creates("Killed worker").await;
    let cursor = person.opens(&room).await.cursor;
    let writer = Steady::member(person.clone(), &room, &cursor);
    let writing = async {
        for n in 0..800 {
            writer.send(&format!("m-{n}")).await;
            sleep(Duration::from_millis(10)).await;
        }
    };
    let worker = &mut services.worker;
    let killing = async {
        let mut random = Random::seeded(5);
        for _ in 0..5 {
            sleep(Duration::from_millis(random.between(100, 1_200))).await;
            worker.kill();
            worker.start().await;
        }
    };
    tokio::join!(writing, killing);
    eventually("all is acknowledged and seen", Duration::from_secs(30), || async {
        (writer.counts() == (0, 800)).then_some(())
    })
    .await;
    let history = worker_history(&services.nats.connect().await, &room).await;
    let report = writer.report();
    assert_eq!(report.opened, 1, "nobody noticed");
    let view = View { name: "the writer".into(), after: history[0].seq, events: report.events };
    let audit = Audit { acknowledged: report.acknowledged, history, views: vec![view], ..Audit::default() };
    let verdict = audit.verdict();
    assert!(verdict.is_clean() && verdict.acknowledged == 800, "{verdict}");
}

#[tokio::test]
async fn gateways_are_replaced_under_load_and_nothing_is_lost() {
    let mut services = Services::with(2, &[("BACKCHAT_GATEWAY_DRAIN_MS", "1000")]).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(1), "Ben").await;
    let room = ann.creates("Roll-out").await;
    ben.joins(&room).await;
    let view = ben.opens(&room).await;
    let members =
        [Steady::member(ann.clone(), &room, &view.cursor), Steady::member(ben.clone(), &room, &view.cursor)];
    let writing = async {
        for n in 0..400 {
            members[n % 2].send(&format!("m-{n}")).await;
            sleep(Duration::from_millis(25)).await;
        }
    };
    let gateways = &mut services.gateways;
    let rolling = async {
        for gateway in gateways.iter_mut() {
            sleep(Duration::from_millis(800)).await;
            assert_eq!(gateway.terminate().await, 0);
            gateway.start().await;
        }
        gateways[0].kill();
        gateways[0].start().await;
    };
    tokio::join!(writing, rolling);
    eventually("all is acknowledged and seen", Duration::from_secs(40), || async {
        members.iter().all(|member| member.counts() == (0, 400)).then_some(())
    })
    .await;
    let mut audit = Audit { history: ann.connects(&room).await.whole_history(100).await, ..Audit::default() };
    for member in &members {
        let report = member.report();
        assert!(report.closes.contains(&1012), "a drained socket is told to come back: {:?}", report.closes);
        audit.acknowledged.extend(report.acknowledged);
        audit.views.push(View { name: member.name.clone(), after: view.head, events: report.events });
    }
    let verdict = audit.verdict();
    assert!(verdict.is_clean() && verdict.acknowledged == 400, "{verdict}");
}

#[tokio::test]
async fn each_service_tells_its_health_and_counts() {
    let mut services = Services::start(1).await;
    for (name, operations) in [
        ("gateway", services.gateways[0].operations()),
        ("auth_service", services.auth.operations()),
        ("history_worker", services.worker.operations()),
    ] {
        assert_eq!(Ask::get("/livez").send(&operations).await.status, 200, "{name}");
        let ready = Ask::get("/readyz").send(&operations).await;
        assert_eq!(ready.status, 200, "{name}");
        assert!(ready.json().to_string().contains("broker"), "{name}: {}", ready.body);
        let metrics = Ask::get("/metrics").send(&operations).await.body;
        assert!(metrics.contains(&format!("backchat_{name}_")), "{name}: {metrics}");
    }
    services.nats.kill();
    for operations in
        [services.gateways[0].operations(), services.auth.operations(), services.worker.operations()]
    {
        eventually("a service without its broker is not ready", Duration::from_secs(30), || async {
            (Ask::get("/readyz").send(&operations).await.status == 503).then_some(())
        })
        .await;
        assert_eq!(Ask::get("/livez").send(&operations).await.status, 200, "it lives, and waits");
    }
    services.nats.restart().await;
    for operations in
        [services.gateways[0].operations(), services.auth.operations(), services.worker.operations()]
    {
        eventually("it is ready again", Duration::from_secs(30), || async {
            (Ask::get("/readyz").send(&operations).await.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn logs_hold_no_text_and_no_secret() {
    let services = Services::with(1, &[]).await;
    let person = Person::arrives(&services.address(0), "Discreet").await;
    let room = person.creates("Whispers").await;
    person.connects(&room).await.say("a very private sentence").await;
    person.log_in(&person.name, "a wrong but secret guess", "/").await;
    for log in [services.gateways[0].log(), services.auth.log(), services.worker.log()] {
        for secret in
            ["a very private sentence", tests::person::PASSWORD, "secret guess", person.token().as_str()]
        {
            assert!(!log.contains(secret), "a log holds {secret:?}");
        }
    }
}

#[tokio::test]
async fn a_service_without_an_installation_says_so_and_creates_none() {
    let nats = tests::nats::Nats::start().await;
    let folder = tempfile::tempdir().unwrap();
    let launch = tests::process::Launch::new(&tests::process::built("gateway"), folder.path())
        .set("BACKCHAT_GATEWAY_NATS_URL", nats.url())
        .set("BACKCHAT_GATEWAY_LISTEN", "127.0.0.1:0")
        .set("BACKCHAT_GATEWAY_OPERATIONS", "127.0.0.1:0");
    let ended = launch.to_the_end(Duration::from_secs(60)).await;
    assert_ne!(ended.code, 0);
    assert!(ended.output.contains("backchat-setup"), "{}", ended.output);
    assert!(nats.connect().await.installation().await.is_err(), "nothing was created");
}

#[tokio::test]
async fn live_messages_do_not_overtake_a_catch_up_that_is_slow() {
    let mut services = Services::start(1).await;
    let broker = Proxy::to(&services.nats.address()).await;
    let slow = services.add_gateway_at(&format!("nats://{}", broker.address())).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let room = ann.creates("Slow catch-up").await;
    ben.joins(&room).await;
    let mut socket = ann.connects(&room).await;
    let cursor = ben.opens(&room).await.cursor;
    socket.say_all((1..=5).map(|n| format!("gap-{n}"))).await;
    services.worker.kill();
    let ben_at_the_slow_one = ben.through(&services.address(slow));
    // Each answer of the broker to Ben's gateway now takes a while, in which Ann goes on.
    broker.slow(Duration::from_millis(700));
    let (mut back, _) = tokio::join!(ben_at_the_slow_one.connects_after(&room, &cursor), async {
        for n in 1..=5 {
            sleep(Duration::from_millis(500)).await;
            socket.say(&format!("live-{n}")).await;
        }
    });
    let expected: Vec<_> =
        ["gap", "live"].iter().flat_map(|kind| (1..=5).map(move |n| format!("{kind}-{n}"))).collect();
    assert_eq!(back.messages(10).await, expected);
    broker.mend();
    socket.say("last").await;
    assert_eq!(back.messages(1).await, ["last"]);
}

#[tokio::test]
async fn an_auth_service_whose_database_came_back_empty_makes_no_accounts_in_it() {
    let mut services = Services::start(1).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    assert_eq!(services.auth.terminate().await, 0);
    services.lose_accounts();
    services.auth.start_without_waiting();
    assert_eq!(services.auth.ended(Duration::from_secs(60)).await, 2);
    let said = services.auth.log();
    assert!(said.contains("the auth database is empty") && said.contains("auth-service restore"), "{said}");

    services.auth.set("BACKCHAT_AUTH_SERVICE_BEGIN_ANEW", "true");
    services.auth.start().await;
    let stranger = Person::stranger(&services.address(0));
    assert_ne!(stranger.log_in(&ann.name, PASSWORD, "/").await.status, 303, "her account is given up");
    Person::arrives(&services.address(0), "Ben").await;
    assert_eq!(services.auth.terminate().await, 0);
    services.auth.set("BACKCHAT_AUTH_SERVICE_BEGIN_ANEW", "false");
    services.auth.start().await;
}

#[tokio::test]
async fn whoever_comes_while_a_gateway_stops_is_let_in_and_sent_elsewhere_at_once() {
    let mut services = Services::start(1).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates("Stopping").await;
    // Nobody reads from it, so it does not say goodbye, and the gateway waits for it.
    let staying = ann.connects(&room).await;
    services.gateways[0].is_asked_to_stop();
    let gateway = &services.gateways[0];
    let stops = || async { (!gateway.is_ready().await).then_some(()) };
    eventually("no more people are sent there", SOON, stops).await;
    let came = Instant::now();
    let mut late = ann.connects(&room).await;
    assert_eq!(late.closed().await.code, 1012);
    assert!(came.elapsed() < Duration::from_secs(1), "told after {:?}", came.elapsed());
    drop(staying);
    assert_eq!(services.gateways[0].ends().await, 0);
}
