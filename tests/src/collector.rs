//! An OpenTelemetry collector, as far as a service sees one: OTLP over HTTP, as JSON.

use crate::eventually::{LOOK_EVERY, SOON};
use crate::topology::authority::Certificate;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

type Spans = Arc<Mutex<Vec<Span>>>;

/// It ends when it is dropped.
pub struct Collector {
    pub address: String,
    spans: Spans,
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
        Self::listen(None).await
    }

    /// The same, with TLS and this certificate.
    ///
    /// # Panics
    /// When there is no port, or the certificate can't be used.
    pub async fn start_with(certificate: &Certificate) -> Self {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate).expect("it can be read");
        let chain = chain.collect::<Result<_, _>>().expect("it is PEM");
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("it is a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        Self::listen(Some(TlsAcceptor::from(Arc::new(config.expect("the certificate is the key's"))))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = format!("{scheme}://{}", listener.local_addr().expect("it is bound"));
        let spans = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tls, Arc::clone(&spans)));
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
        let deadline = Instant::now() + SOON;
        while self.spans().len() < count && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
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

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, spans: Spans) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, spans) = (tls.clone(), Arc::clone(&spans));
        connections.spawn(async move {
            let Some(tls) = tls else { return speak(stream, spans).await };
            // Whoever does not believe the certificate goes away.
            if let Ok(stream) = tls.accept(stream).await {
                speak(stream, spans).await;
            }
        });
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(stream: S, spans: Spans) {
    let take = service_fn(move |request| take(request, Arc::clone(&spans)));
    let http = hyper::server::conn::http1::Builder::new();
    // A service that ends breaks its connection.
    let _ = http.serve_connection(TokioIo::new(stream), take).await;
}

async fn take(request: Request<Incoming>, spans: Spans) -> Result<Response<Full<Bytes>>, Infallible> {
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
