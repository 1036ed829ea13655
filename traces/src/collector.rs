//! The way to the collector: OTLP over HTTP/1.1, with TLS or without, on one connection that is kept.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use service::tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes of an answer that are read: it says little.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A collector's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collector {
    is_tls: bool,
    /// As the header `Host` has it.
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl Collector {
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "such as http://collector:4318";
        let uri: Uri = text.parse().map_err(|_| format!("it must be an address {example}"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("it must begin with http:// or https://, {example}")),
        };
        let authority = uri.authority().ok_or_else(|| format!("it must name a host, {example}"))?.as_str();
        if authority.contains('@') {
            return Err("it must be without a user and a password".into());
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || uri.query().is_some() {
            return Err(format!("it must be a host with its port, {example}"));
        }
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = format!("{}/v1/traces", uri.path().trim_end_matches('/'));
        Ok(Self { is_tls, authority: authority.to_owned(), host, port, path })
    }
}

/// Connects to a collector.
pub(crate) struct Connector {
    collector: Collector,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl Connector {
    /// # Errors
    /// A sentence about authorities that can't be used, or a name that no certificate can have.
    pub fn new(collector: Collector, ca: Option<&Path>) -> Result<Self, String> {
        let tls = if collector.is_tls {
            let name = ServerName::try_from(collector.host.clone());
            let name = name.map_err(|_| format!("{} is no name of a certificate", collector.host))?;
            Some((TlsConnector::from(Arc::new(ca.map_or_else(trusting_the_public, tls::trusting)?)), name))
        } else {
            None
        };
        Ok(Self { collector, tls, kept: None })
    }

    /// Gives the collector a document, and gives what it answers. On a connection that was kept and is not there any more
    /// it is tried once again.
    ///
    /// # Errors
    /// Whatever went wrong, an answer that is none of success among it.
    pub async fn post(&mut self, body: Bytes) -> Result<Bytes, BoxError> {
        if let Some(kept) = self.kept.take().filter(|kept| !kept.is_closed())
            && let Ok(answer) = self.post_on(kept, body.clone()).await
        {
            return answer;
        }
        let fresh = self.connect().await?;
        self.post_on(fresh, body).await?
    }

    /// The outer error is the connection's, the inner one the collector's.
    async fn post_on(
        &mut self,
        mut connection: SendRequest<Full<Bytes>>,
        body: Bytes,
    ) -> Result<Result<Bytes, BoxError>, BoxError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.collector.path)
            .header(HOST, &self.collector.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
        self.kept = Some(connection);
        Ok(if status.is_success() { Ok(answer) } else { Err(format!("it answers {status}").into()) })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, BoxError> {
        let stream = TcpStream::connect((self.collector.host.as_str(), self.collector.port)).await?;
        match &self.tls {
            Some((tls, name)) => speak_http(tls.connect(name.clone(), stream).await?).await,
            None => speak_http(stream).await,
        }
    }
}

async fn speak_http<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender, or when the peer closes.
    tokio::spawn(connection);
    Ok(sender)
}

fn trusting_the_public() -> Result<ClientConfig, String> {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(authorities).with_no_client_auth())
}
