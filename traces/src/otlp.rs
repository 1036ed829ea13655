//! OTLP as JSON: the document that a collector takes, and what it answers.

use serde_json::{Value as Json, json};

use crate::parent::Hex;
use crate::span::{Ended, Value};

/// Whose spans they are.
pub(crate) struct Resource {
    service: &'static str,
    /// Tells two processes of the same service apart.
    instance: String,
}

impl Resource {
    /// This process, as a service of this name.
    pub fn of(service: &'static str) -> Self {
        let mut id = [0; 16];
        // Without randomness of the system the processes of a service are not told apart.
        let _ = getrandom::fill(&mut id);
        Self { service, instance: Hex(&id).to_string() }
    }

    /// Spans as one request to a collector.
    pub fn document(&self, spans: &[Ended]) -> String {
        let of_us = [
            attribute("service.namespace", &json!({ "stringValue": "backchat" })),
            attribute("service.name", &json!({ "stringValue": self.service })),
            attribute("service.version", &json!({ "stringValue": env!("CARGO_PKG_VERSION") })),
            attribute("service.instance.id", &json!({ "stringValue": self.instance })),
        ];
        let scope = json!({ "name": "backchat", "version": env!("CARGO_PKG_VERSION") });
        let spans: Vec<_> = spans.iter().map(span).collect();
        json!({ "resourceSpans": [{
            "resource": { "attributes": of_us },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }] })
        .to_string()
    }
}

fn span(ended: &Ended) -> Json {
    let Ended { step, place, parent, from_ns, to_ns, has_failed, notes } = ended;
    let of_broker = step.operation().into_iter().flat_map(|operation| {
        [
            ("messaging.system", Value::Word("nats")),
            ("messaging.operation.name", Value::Word(operation.name)),
            ("messaging.operation.type", Value::Word(operation.kind)),
            ("messaging.destination.template", Value::Word(operation.subjects)),
        ]
    });
    let attributes = of_broker.chain(notes.iter().copied()).map(|(key, value)| attribute(key, &of(value)));
    json!({
        "traceId": Hex(&place.trace).to_string(),
        "spanId": Hex(&place.span).to_string(),
        "parentSpanId": parent.map_or_else(String::new, |parent| Hex(&parent).to_string()),
        "name": step.name(),
        "kind": step.kind() as u8,
        "startTimeUnixNano": from_ns.to_string(),
        "endTimeUnixNano": to_ns.to_string(),
        "attributes": attributes.collect::<Vec<_>>(),
        // 0 is unset, 2 an error.
        "status": { "code": if *has_failed { 2 } else { 0 } },
    })
}

fn attribute(key: &str, value: &Json) -> Json {
    json!({ "key": key, "value": value })
}

/// 64-bit numbers are texts in the JSON of protocol buffers.
fn of(value: Value) -> Json {
    match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Id(number) => json!({ "stringValue": number.to_string() }),
        Value::Word(word) => json!({ "stringValue": word }),
    }
}

/// How many spans of a request that it took the collector says to have refused.
pub(crate) fn rejected(answer: &[u8]) -> usize {
    let answer: Json = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    let number = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok());
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}
