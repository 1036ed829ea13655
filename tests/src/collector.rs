//! An OpenTelemetry collector, as far as a service sees one: OTLP over HTTP, as JSON.

use crate::eventually::{SOON, eventually};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// It ends when it is dropped.
pub struct Collector {
    pub address: String,
    spans: Arc<Mutex<Vec<Span>>>,
    _serving: JoinSet<()>,
}

/// A span as it came.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    /// Which process of the service.
    pub instance: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty: it is the first of its trace.
    pub parent: String,
    pub from_ns: u64,
    pub to_ns: u64,
    pub has_failed: bool,
    /// All of it, for those who look for what must not be there.
    pub whole: Value,
}

impl Collector {
    /// Listens on a port of its own.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let spans = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&spans)));
        Self { address, spans, _serving: serving }
    }

    /// Everything that came until now.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The traces that came until now, each with its spans by their beginnings.
    pub fn traces(&self) -> Vec<Vec<Span>> {
        let mut spans = self.spans();
        spans.sort_by_key(|span| span.from_ns);
        let mut traces: Vec<Vec<Span>> = Vec::new();
        for span in spans {
            match traces.iter_mut().find(|trace| trace[0].trace == span.trace) {
                Some(trace) => trace.push(span),
                None => traces.push(vec![span]),
            }
        }
        traces
    }

    /// Waits until this many spans have come, and gives all of them as traces.
    ///
    /// # Panics
    /// When they do not come, or there are more.
    pub async fn after(&self, count: usize) -> Vec<Vec<Span>> {
        let there = || async { (self.spans().len() >= count).then_some(()) };
        eventually(&format!("{count} spans come"), SOON, there).await;
        let traces = self.traces();
        assert_eq!(traces.iter().map(Vec::len).sum::<usize>(), count, "{traces:#?}");
        traces
    }
}

impl Span {
    /// What it says of something, as a text.
    pub fn says(&self, key: &str) -> Option<String> {
        let attributes = self.whole["attributes"].as_array()?;
        let found = attributes.iter().find(|attribute| attribute["key"] == key)?;
        let value = found["value"].as_object()?.values().next()?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    fn of(service: (&str, &str), span: &Value) -> Self {
        let text = |field: &str| span[field].as_str().expect("a span is whole").to_owned();
        let number = |field: &str| text(field).parse().expect("times are numbers");
        Self {
            service: service.0.to_owned(),
            instance: service.1.to_owned(),
            name: text("name"),
            trace: text("traceId"),
            id: text("spanId"),
            parent: text("parentSpanId"),
            from_ns: number("startTimeUnixNano"),
            to_ns: number("endTimeUnixNano"),
            has_failed: span["status"]["code"] == 2,
            whole: span.clone(),
        }
    }
}

async fn serve(listener: TcpListener, spans: Arc<Mutex<Vec<Span>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let spans = Arc::clone(&spans);
        let take = service_fn(move |request| take(request, Arc::clone(&spans)));
        connections.spawn(async move {
            // A service that ends breaks its connection.
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), take).await;
        });
    }
}

async fn take(
    request: Request<Incoming>,
    spans: Arc<Mutex<Vec<Span>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_known = request.uri().path() == "/v1/traces" && request.method() == "POST";
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !is_known || document["resourceSpans"].as_array().is_none() {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = hyper::StatusCode::BAD_REQUEST;
        return Ok(refused);
    }
    spans.lock().unwrap_or_else(PoisonError::into_inner).extend(read(&document));
    Ok(Response::new(Full::from("{}")))
}

fn read(document: &Value) -> Vec<Span> {
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let mut spans = Vec::new();
    for of_one in list(document, "resourceSpans") {
        let attributes = list(&of_one["resource"], "attributes");
        let says = |key: &str| {
            let found = attributes.iter().find(|attribute| attribute["key"] == key);
            found.and_then(|found| found["value"]["stringValue"].as_str()).unwrap_or_default()
        };
        let service = (says("service.name"), says("service.instance.id"));
        for scope in list(&of_one, "scopeSpans") {
            spans.extend(list(&scope, "spans").iter().map(|span| Span::of(service, span)));
        }
    }
    spans
}
