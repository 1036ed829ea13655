//! One message, followed from the socket through the broker to the row, as a collector of traces sees it.

use broker::Broker;
use protocol::subject::Shard;
use protocol::{MessageId, RoomSlug};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tests::collector::{Collector, Span};
use tests::eventually::{SOON, eventually};
use tests::heard::bodies;
use tests::json_socket::JsonSocket;
use tests::person::Person;
use tests::process::{Launch, built};
use tests::proxy::Proxy;
use tests::services::Services;
use tests::stored::{head, worker_history};
use tests::topology::authority::Authority;
use tokio::net::TcpListener;

const GATEWAY: &str = "BACKCHAT_GATEWAY_TRACES";
const GATEWAY_CA: &str = "BACKCHAT_GATEWAY_TRACES_CA";
const RATIO: &str = "BACKCHAT_GATEWAY_TRACES_RATIO";
const HISTORY: &str = "BACKCHAT_HISTORY_WORKER_TRACES";
const SEARCH: &str = "BACKCHAT_SEARCH_WORKER_TRACES";

/// Two gateways, of which all messages are followed, and the workers.
async fn followed(collector: &str, ratio: &str) -> Services {
    let all = [(GATEWAY, collector), (RATIO, ratio), (HISTORY, collector), (SEARCH, collector)];
    Services::with(2, &all).await
}

/// A room with a member at each gateway.
async fn two_members(services: &Services, room: &str) -> (Person, String, JsonSocket, JsonSocket) {
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates(room).await;
    let mut here = ann.connects(&room).await;
    let mut there = ann.through(&services.address(1)).connects(&room).await;
    here.caught_up().await;
    there.caught_up().await;
    (ann, room, here, there)
}

/// What each event of a room carries in the log.
async fn carried(broker: &Broker, room: &str) -> Vec<String> {
    let (shard, room) = (Shard(0), RoomSlug::parse(room).unwrap());
    let log = broker.read_after(&shard.stream(), &shard.log(&room), 0, 1_000).await.unwrap();
    log.records.iter().filter_map(|record| record.trace).map(|trace| trace.to_string()).collect()
}

/// The spans of a trace by their names; those that two gateways have are a list.
fn by_name(trace: &[Span]) -> BTreeMap<&str, Vec<&Span>> {
    let mut named: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    trace.iter().for_each(|span| named.entry(&span.name).or_default().push(span));
    named
}

#[tokio::test]
async fn a_message_is_one_trace_from_the_socket_to_the_row_and_the_index() {
    let collector = Collector::start().await;
    let mut services = followed(&collector.address, "1").await;
    services.search.start().await;
    let (_ann, room, mut here, mut there) = two_members(&services, "Followed").await;
    let seq = here.say("hidden words").await;
    assert_eq!(there.messages(1).await, ["hidden words"]);
    let traces = collector.after(6).await;
    let [trace] = &traces[..] else { panic!("one trace: {traces:#?}") };
    let named = by_name(trace);
    let (taken, published) = (named["take message"][0], named["publish chat.log"][0]);
    let (applied, indexed) = (named["apply chat.log"][0], named["index chat.log"][0]);
    let delivered = &named["deliver chat.live"];
    assert_eq!(taken.parent, "");
    assert_eq!(published.parent, taken.id);
    for later in delivered.iter().chain([&applied, &indexed]) {
        assert_eq!(later.parent, published.id, "{later:?}");
        assert!(later.from_ns >= published.from_ns && later.to_ns >= later.from_ns, "{later:?}");
        assert_eq!(later.says("backchat.sequence"), Some(seq.to_string()));
        assert!(!later.has_failed, "{later:?}");
    }
    assert!(taken.from_ns <= published.from_ns && published.to_ns <= taken.to_ns);
    let services_of = |span: &Span| span.service.clone();
    assert_eq!(
        [taken, published, applied, indexed].map(services_of),
        ["gateway", "gateway", "history-worker", "search-worker"]
    );
    let gateways: BTreeSet<_> = delivered.iter().map(|span| (&span.service, &span.instance)).collect();
    assert_eq!(gateways.len(), 2, "each gateway once: {gateways:?}");
    assert!(delivered.iter().all(|span| span.says("backchat.sockets").as_deref() == Some("1")));
    assert_eq!(taken.says("backchat.event").as_deref(), Some("message"));
    assert_eq!(taken.says("backchat.outcome").as_deref(), Some("stored"));
    let broker = services.nats.connect().await;
    assert_eq!(carried(&broker, &room).await, [format!("00-{}-{}-01", published.trace, published.id)]);
}

#[tokio::test]
async fn no_text_name_or_address_of_a_person_is_in_a_trace() {
    let collector = Collector::start().await;
    let services = followed(&collector.address, "1").await;
    let (ann, room, mut here, _there) = two_members(&services, "Secrecy").await;
    here.say("hidden words").await;
    let spans = collector.after(5).await.concat();
    let whole = Value::from_iter(spans.into_iter().map(|span| span.whole)).to_string();
    for secret in ["hidden words", "Secrecy", &ann.name, &room, &ann.token()] {
        assert!(!whole.to_lowercase().contains(&secret.to_lowercase()), "{secret} is in {whole}");
    }
}

#[tokio::test]
async fn edits_deletions_and_reactions_are_followed_alike() {
    let collector = Collector::start().await;
    let services = followed(&collector.address, "1").await;
    let (_ann, _room, mut here, _there) = two_members(&services, "Changes").await;
    let message = here.send("first").await;
    here.acknowledged(message).await;
    for change in [here.react(message, "👍", true).await, here.edit(message, "second").await] {
        here.acknowledged(change).await;
    }
    // A deletion takes what was edited out of the log: a worker that is slow would never apply it.
    collector.after(15).await;
    let deletion = here.delete(message).await;
    here.acknowledged(deletion).await;
    let traces = collector.after(20).await;
    let whole: BTreeSet<_> =
        traces.iter().map(|trace| by_name(trace).into_keys().collect::<Vec<_>>()).collect();
    let steps = vec!["apply chat.log", "deliver chat.live", "publish chat.log", "take message"];
    assert_eq!(whole, BTreeSet::from([steps]), "{traces:#?}");
    let kinds: Vec<_> = traces.iter().filter_map(|trace| trace[0].says("backchat.event")).collect();
    assert_eq!(kinds, ["message", "reacted", "edited", "deleted"]);
}

#[tokio::test]
async fn a_message_that_is_repeated_is_one_trace() {
    let collector = Collector::start().await;
    let services = followed(&collector.address, "1").await;
    let (_ann, room, mut here, mut there) = two_members(&services, "Repeated").await;
    let id = MessageId::new();
    here.send_as(id, "once").await;
    let (seq, _) = here.acknowledged(id).await;
    for socket in [&mut here, &mut there] {
        socket.send_as(id, "once").await;
        assert_eq!(socket.acknowledged(id).await, (seq, true));
    }
    here.say("the end").await;
    let traces = collector.after(10).await;
    assert_eq!(traces.len(), 2, "{traces:#?}");
    assert!(traces.concat().iter().all(|span| !span.has_failed));
    assert_eq!(carried(&services.nats.connect().await, &room).await.len(), 2);
}

#[tokio::test]
async fn a_message_of_which_the_acknowledgement_was_lost_is_one_trace_and_has_not_failed() {
    let collector = Collector::start().await;
    let mut services = followed(&collector.address, "1").await;
    let line = Proxy::to(&services.nats.address()).await;
    let far = services.add_gateway_at(&format!("nats://{}", line.address())).await;
    let ann = Person::arrives(&services.address(far), "Ann").await;
    let room = ann.creates("Lost on the way").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    let broker = services.nats.connect().await;
    let before = head(&broker, &room).await.unwrap();
    line.slow(Duration::from_secs(1));
    let id = socket.send("stored, and not known to be").await;
    let stored = || async { head(&broker, &room).await.filter(|head| *head > before) };
    let seq = eventually("the broker has it, and its word is on the way", SOON, stored).await;
    line.mend();
    line.cut();
    assert_eq!(socket.acknowledged(id).await, (seq, true), "the gateway tried again by itself");
    let traces = collector.after(4).await;
    assert_eq!(traces.len(), 1, "{traces:#?}");
    assert!(traces[0].iter().all(|span| !span.has_failed), "{traces:#?}");
    assert_eq!(traces[0][0].says("backchat.outcome").as_deref(), Some("duplicate"));
}

#[tokio::test]
async fn what_is_not_chosen_carries_nothing_and_is_told_to_nobody() {
    let collector = Collector::start().await;
    let mut services = followed(&collector.address, "0").await;
    let (_ann, room, mut here, mut there) = two_members(&services, "Not chosen").await;
    here.say_all((0..20).map(|n| format!("m-{n}"))).await;
    there.messages(20).await;
    let broker = services.nats.connect().await;
    assert_eq!(bodies(&worker_history(&broker, &room).await).len(), 20);
    assert_eq!(carried(&broker, &room).await, [""; 0]);
    // A gateway that ends sends what it has.
    assert_eq!((services.gateways[0].terminate().await, services.worker.terminate().await), (0, 0));
    assert!(collector.spans().is_empty(), "{:#?}", collector.spans());
}

#[tokio::test]
async fn a_gateway_without_a_collector_chooses_nothing_and_one_with_it_is_not_followed_there() {
    let collector = Collector::start().await;
    // The first has none: what comes in at it carries nothing, whatever the worker would tell.
    let mut services = Services::with(1, &[(HISTORY, &collector.address)]).await;
    let (ann, room) = {
        let ann = Person::arrives(&services.address(0), "Ann").await;
        let room = ann.creates("Half").await;
        (ann, room)
    };
    let mut here = ann.connects(&room).await;
    here.caught_up().await;
    here.say("not followed").await;
    let broker = services.nats.connect().await;
    assert_eq!(bodies(&worker_history(&broker, &room).await), ["not followed"]);
    assert_eq!(carried(&broker, &room).await, [""; 0]);
    assert_eq!(services.worker.terminate().await, 0);
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn a_gateway_that_stops_sends_its_last_spans() {
    let collector = Collector::start().await;
    let mut services = followed(&collector.address, "1").await;
    let (_ann, _room, mut here, there) = two_members(&services, "The last").await;
    drop(there);
    here.say("last words").await;
    drop(here);
    assert_eq!(services.gateways[0].terminate().await, 0);
    let names: BTreeSet<_> = collector.spans().into_iter().map(|span| span.name).collect();
    for name in ["take message", "publish chat.log", "deliver chat.live"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
}

/// People chat, nothing is lost, and what the collector at this address did not take is counted.
async fn chat_goes_on_without(collector: &str) -> Services {
    let services = followed(collector, "1").await;
    let (ann, room, mut here, mut there) = two_members(&services, "Nobody listens").await;
    let cursor = ann.opens(&room).await.cursor;
    let said: Vec<_> = (0..60).map(|n| format!("m-{n}")).collect();
    here.say_all(said.clone()).await;
    assert_eq!(there.messages(60).await, said);
    let broker = services.nats.connect().await;
    assert_eq!(bodies(&worker_history(&broker, &room).await), said);
    let mut late = ann.connects_after(&room, &cursor).await;
    assert_eq!(late.messages(60).await, said);
    for service in [&services.gateways[0], &services.worker] {
        let dropped = || async { service.metric("spans_dropped_total").await.filter(|count| *count > 0) };
        eventually("spans that nobody took are counted", SOON, dropped).await;
        assert_eq!(service.metric("spans_exported_total").await, Some(0));
    }
    services
}

#[tokio::test]
async fn without_a_collector_at_its_address_people_chat() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    chat_goes_on_without(&address).await;
}

#[tokio::test]
async fn a_collector_that_hangs_holds_nobody_up() {
    let collector = Collector::start().await;
    let proxy = Proxy::to(collector.address.trim_start_matches("http://")).await;
    proxy.black_hole();
    let services = chat_goes_on_without(&format!("http://{}", proxy.address())).await;
    proxy.mend();
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let mut socket = ben.connects(&ben.creates("Afterwards").await).await;
    socket.caught_up().await;
    socket.say("somebody listens again").await;
    let exported =
        || async { services.gateways[0].metric("spans_exported_total").await.filter(|it| *it > 0) };
    eventually("the collector gets spans again", SOON, exported).await;
}

#[tokio::test]
async fn a_collector_with_a_certificate_of_ones_own_is_believed_by_who_knows_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::made_in(folder.path());
    let collector = Collector::start_with(&authority.signs("collector")).await;
    let (address, ca) = (collector.address.as_str(), authority.file().display().to_string());
    let settings = [(GATEWAY, address), (RATIO, "1"), (GATEWAY_CA, &ca), (HISTORY, address)];
    let services = Services::with(1, &settings).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let mut socket = ann.connects(&ann.creates("Certified").await).await;
    socket.caught_up().await;
    socket.say("sealed on the way").await;
    let spans = collector.after(3).await.concat();
    assert!(spans.iter().all(|span| span.service == "gateway"), "{spans:#?}");
    let dropped = || async { services.worker.metric("spans_dropped_total").await.filter(|count| *count > 0) };
    eventually("the worker believes the public authorities alone", SOON, dropped).await;
    let gone = folder.path().join("nothing.pem");
    let launch = Launch::new(&built("gateway"), folder.path())
        .set(GATEWAY, address)
        .set(GATEWAY_CA, gone.display())
        .set("BACKCHAT_GATEWAY_NATS_URL", services.nats.url())
        .set("BACKCHAT_GATEWAY_ROOTS", tests::keys::folder())
        .set("BACKCHAT_GATEWAY_OPERATIONS", "127.0.0.1:0")
        .set("BACKCHAT_GATEWAY_LISTEN", "127.0.0.1:0");
    let ended = launch.to_the_end(SOON).await;
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("nothing.pem can't be used as authorities"), "{}", ended.output);
}

#[tokio::test]
async fn bad_settings_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, value, sentence) in [
        (GATEWAY, "collector:4318", "it must begin with http:// or https://, such as http://collector:4318"),
        (RATIO, "1.5", "1.5 is out of range, it must be from 0 to 1"),
        (RATIO, "many", "is not a valid value"),
    ] {
        let launch = Launch::new(&built("gateway"), folder.path()).words("config check").set(variable, value);
        let ended = launch.to_the_end(SOON).await;
        assert_eq!(ended.code, 2, "{}", ended.output);
        assert!(ended.output.contains(variable) && ended.output.contains(sentence), "{}", ended.output);
    }
}
