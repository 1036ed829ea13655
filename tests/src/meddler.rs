//! A proxy in front of the chat that changes what passes: as some do that are set up badly, and as all do that end TLS.

use crate::ports;
use crate::topology::authority::Certificate;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What is written in the place of what. Both have as many bytes.
pub type Change = (&'static str, &'static str);

/// What the proxy is to do.
#[derive(Default)]
pub struct Meddling {
    /// In requests, whose header names are in lower case.
    pub requests: Option<Change>,
    pub answers: Option<Change>,
    /// With which it speaks TLS.
    pub tls: Option<Certificate>,
}

/// The proxy. Dropping it ends it.
pub struct Meddler {
    port: u16,
    accepting: tokio::task::JoinHandle<()>,
}

impl Meddler {
    /// One in front of `upstream` (`host:port`).
    ///
    /// # Panics
    /// When no port can be listened on, or the certificate can't be read.
    pub async fn before(upstream: &str, meddling: Meddling) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", ports::free())).await.expect("a port is free");
        let port = listener.local_addr().expect("a listener has an address").port();
        let tls = meddling.tls.as_ref().map(acceptor);
        let changes = (meddling.requests, meddling.answers);
        let upstream = upstream.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (upstream, tls) = (upstream.clone(), tls.clone());
                tokio::spawn(async move {
                    let _ = carry(near, &upstream, tls, changes).await;
                });
            }
        });
        Self { port, accepting }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&certificate.certificate).expect("a certificate can be read");
    let chain = chain.map(|one| one.expect("it is one")).collect();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key can be read");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("certificate and key belong together");
    TlsAcceptor::from(Arc::new(config))
}

async fn carry(
    near: TcpStream,
    upstream: &str,
    tls: Option<TlsAcceptor>,
    changes: (Option<Change>, Option<Change>),
) -> std::io::Result<()> {
    let far = TcpStream::connect(upstream).await?;
    match tls {
        None => both_ways(near, far, changes).await,
        Some(tls) => both_ways(tls.accept(near).await?, far, changes).await,
    }
    Ok(())
}

async fn both_ways<S: AsyncRead + AsyncWrite>(
    near: S,
    far: TcpStream,
    (requests, answers): (Option<Change>, Option<Change>),
) {
    let ((near_read, near_write), (far_read, far_write)) = (split(near), split(far));
    tokio::join!(one_way(near_read, far_write, requests), one_way(far_read, near_write, answers));
}

/// What is to be changed must come in one piece, as a small request does.
async fn one_way(
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    change: Option<Change>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = read.read(&mut buffer).await {
        let piece = &mut buffer[..count];
        if let Some((from, to)) = change {
            assert_eq!(from.len(), to.len(), "lengths that were announced stay true");
            while let Some(at) = piece.windows(from.len()).position(|bytes| bytes == from.as_bytes()) {
                piece[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
        if write.write_all(piece).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}
