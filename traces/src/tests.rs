//! Spans, from their beginning to a collector that listens here.

use std::time::Duration;

use serde_json::{Value as Json, json};
use service::metrics::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::otlp::{Resource, rejected};
use crate::span::Ended;
use crate::{Chance, Config, Pending, Signals, Span, Step, Traceparent, Traces, Value};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PATIENCE: Duration = Duration::from_secs(10);

fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
    struct Whole(Config);
    impl service::config::Settings for Whole {
        const SERVICE: &'static str = "gateway";
        fn read(source: &mut service::config::Source) -> Self {
            Self(Config::read_with_ratio(source))
        }
    }
    let variables = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let read: Result<Whole, _> = service::config::load_from(&[], variables, None);
    read.map(|whole| whole.0).map_err(|faults| faults.to_string())
}

/// Traces of which all messages are followed, sent to this address.
fn sent_to(address: &str, registry: &Registry) -> (Traces, crate::Exporting) {
    let config =
        read(&[("BACKCHAT_GATEWAY_TRACES", address), ("BACKCHAT_GATEWAY_TRACES_RATIO", "1")]).unwrap();
    Traces::start(&config, "gateway", Signals::new(registry)).unwrap()
}

fn counted(registry: &Registry, name: &str) -> u64 {
    let name = format!("backchat_gateway_spans_{name}_total ");
    let text = registry.text();
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// Takes one request on a connection, and answers it.
async fn answer(stream: &mut TcpStream, status: &str, body: &str) -> Option<Json> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut request = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut request).await.ok()?;
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    serde_json::from_slice(&request).ok()
}

#[test]
fn addresses_of_collectors_are_checked_with_a_sentence() {
    for good in ["http://collector:4318", "https://[::1]:4318/", "http://127.0.0.1:4318/otlp"] {
        assert!(read(&[("BACKCHAT_GATEWAY_TRACES", good)]).unwrap().collector.is_some(), "{good}");
    }
    for (bad, why) in [
        ("collector:4318", "must begin with http:// or https://"),
        ("grpc://collector:4317", "must begin with http:// or https://"),
        ("http://me:hunter2@collector:4318", "without a user and a password"),
        ("http://collector:4318/?token=1", "must be a host with its port"),
        ("a collector", "must be an address such as http://collector:4318"),
    ] {
        let fault = read(&[("BACKCHAT_GATEWAY_TRACES", bad)]).unwrap_err();
        assert!(fault.contains("BACKCHAT_GATEWAY_TRACES") && fault.contains(why), "{fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
    assert!(read(&[("BACKCHAT_GATEWAY_TRACES", "")]).unwrap().collector.is_none());
}

#[test]
fn a_ratio_is_a_part_and_authorities_need_tls() {
    for bad in ["1.1", "-0.1", "NaN", "all"] {
        let fault = read(&[("BACKCHAT_GATEWAY_TRACES_RATIO", bad)]).unwrap_err();
        assert!(fault.contains("BACKCHAT_GATEWAY_TRACES_RATIO"), "{fault}");
    }
    let ca = ("BACKCHAT_GATEWAY_TRACES_CA", "/etc/ca.pem");
    let fault = read(&[ca, ("BACKCHAT_GATEWAY_TRACES", "http://collector:4318")]).unwrap_err();
    assert!(fault.contains("traces_ca"), "{fault}");
    assert!(read(&[ca, ("BACKCHAT_GATEWAY_TRACES", "https://collector:4318")]).is_ok());
}

#[test]
fn the_ratio_is_what_part_is_chosen() {
    let falls = |ratio: f64| {
        let chance = Chance::new(ratio);
        (0..10_000).filter(|_| chance.falls()).count()
    };
    assert_eq!((falls(0.0), falls(1.0)), (0, 10_000));
    let (some, half) = (falls(0.01), falls(0.5));
    assert!((40..200).contains(&some) && (4_700..5_300).contains(&half), "{some} {half}");
}

#[test]
fn without_a_collector_nothing_is_followed() {
    let traces = Traces::off();
    assert!(traces.choose().is_none());
    let mut span = traces.begin(traces.choose(), Step::Take);
    assert!(!span.is_followed() && span.traceparent().is_none() && !span.child(Step::Publish).is_followed());
    assert!(!traces.follow(Traceparent::parse(PARENT), i64::MAX, Step::Apply).is_followed());
}

#[tokio::test]
async fn what_carries_the_flag_is_followed_unless_it_is_old() {
    let (traces, _exporting) = sent_to("http://127.0.0.1:9", &Registry::new("gateway"));
    let now = crate::Moment::now().ms();
    let followed = |header: &str, at| {
        let span = traces.follow(Traceparent::parse(header), at, Step::Deliver);
        span.traceparent().is_some_and(|place| place.to_string()[..36] == PARENT[..36])
    };
    assert!(followed(PARENT, now) && followed(PARENT, now - 500_000));
    assert!(!followed(PARENT, now - 700_000), "a history that is made anew is no trace");
    assert!(!followed(&PARENT.replace("-01", "-00"), now) && !followed("", now));
}

#[test]
fn the_document_is_what_a_collector_takes() {
    let place = Traceparent::parse(PARENT).unwrap();
    let notes = vec![
        ("messaging.destination.partition.id", Value::Id(3)),
        ("backchat.sequence", Value::Number(7)),
        ("backchat.outcome", Value::Word("stored")),
    ];
    let (from_ns, to_ns) = (1_700_000_000_000_000_001, 1_700_000_000_000_000_002);
    let ended =
        Ended { step: Step::Publish, place, parent: Some([1; 8]), from_ns, to_ns, has_failed: true, notes };
    let document: Json = serde_json::from_str(&Resource::of("gateway").document(&[ended])).unwrap();
    let of_resource = &document["resourceSpans"][0];
    assert_eq!(of_resource["resource"]["attributes"][1]["value"], json!({ "stringValue": "gateway" }));
    let word = |key: &str, word: &str| json!({ "key": key, "value": { "stringValue": word } });
    let span = json!({
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": "00f067aa0ba902b7",
        "parentSpanId": "0101010101010101",
        "name": "publish chat.log",
        "kind": 4,
        "startTimeUnixNano": "1700000000000000001",
        "endTimeUnixNano": "1700000000000000002",
        "attributes": [
            word("messaging.system", "nats"),
            word("messaging.operation.name", "publish"),
            word("messaging.operation.type", "send"),
            word("messaging.destination.template", "chat.log.{shard}.{room}"),
            word("messaging.destination.partition.id", "3"),
            { "key": "backchat.sequence", "value": { "intValue": "7" } },
            word("backchat.outcome", "stored"),
        ],
        "status": { "code": 2 },
    });
    assert_eq!(of_resource["scopeSpans"][0]["spans"], json!([span]));
}

#[test]
fn what_a_collector_refuses_of_a_batch_is_known() {
    assert_eq!(rejected(br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#), 3);
    assert_eq!(rejected(br#"{"partialSuccess":{"rejectedSpans":2}}"#), 2);
    assert_eq!([&b"{}"[..], b"", b"not JSON"].map(rejected), [0, 0, 0]);
}

#[tokio::test]
async fn spans_come_to_the_collector_on_one_connection_and_the_last_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = Registry::new("gateway");
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (traces, exporting) = sent_to(&address, &registry);
    let (told, mut heard) = mpsc::channel(9);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(request) = answer(&mut stream, "200 OK", "{}").await {
            told.send(request).await.unwrap();
        }
    });
    let mut taken = traces.begin(traces.choose(), Step::Take);
    taken.child(Step::Publish).end_at(0, 7);
    assert!(taken.has_children());
    taken.end();
    let first = tokio::time::timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    let spans = first["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 2, "what ends at once is sent at once");
    assert_eq!(spans[0]["parentSpanId"], spans[1]["spanId"]);
    assert_eq!(spans[0]["traceId"], spans[1]["traceId"]);
    assert_eq!((&spans[1]["parentSpanId"], &spans[1]["status"]["code"]), (&json!(""), &json!(0)));
    drop(traces.begin(traces.choose(), Step::Take));
    exporting.finish().await;
    let last = heard.try_recv().unwrap();
    assert_eq!(last["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"]["code"], 2);
    assert_eq!((counted(&registry, "exported"), counted(&registry, "dropped")), (3, 0));
}

#[tokio::test]
async fn what_the_collector_does_not_take_is_counted_and_waits_for_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = Registry::new("gateway");
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (traces, exporting) = sent_to(&address, &registry);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while answer(&mut stream, "503 Service Unavailable", "").await.is_some() {}
    });
    // More than the queue and the batch in hand hold, before anybody could send one.
    for _ in 0..6_000 {
        traces.begin(traces.choose(), Step::Take).end();
    }
    assert_eq!(counted(&registry, "dropped"), 6_000 - 4_096);
    exporting.finish().await;
    assert_eq!((counted(&registry, "exported"), counted(&registry, "dropped")), (0, 6_000));
    traces.begin(traces.choose(), Step::Take).end();
    assert_eq!(counted(&registry, "dropped"), 6_001, "after the end, too");
}

#[tokio::test]
async fn a_collector_that_hangs_holds_no_end_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = Registry::new("gateway");
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (traces, exporting) = sent_to(&address, &registry);
    traces.begin(traces.choose(), Step::Take).end();
    let began = std::time::Instant::now();
    exporting.finish().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn steps_that_wait_for_others_are_bounded_and_end_in_order() {
    let registry = Registry::new("gateway");
    let (traces, _exporting) = sent_to("http://127.0.0.1:9", &registry);
    let mut pending = Pending::default();
    pending.add(1, Span::none());
    assert!(pending.is_empty(), "what is not followed takes no place");
    for seq in 0..1_030 {
        pending.add(seq, traces.begin(traces.choose(), Step::Deliver));
    }
    assert_eq!((pending.len(), counted(&registry, "dropped")), (1_024, 6));
    pending.end_upto(1_000, "backchat.sockets", 2);
    assert_eq!(pending.len(), 23);
    pending.forget();
    assert!(pending.is_empty());
}
