//! The bytes between a test and a server: TCP, or TLS over it where the address begins with `https://`.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TLS: &str = "https://";

/// Whose certificates are believed at which address.
static TRUSTED: Mutex<BTreeMap<String, Arc<ClientConfig>>> = Mutex::new(BTreeMap::new());

/// An open connection.
pub type Wire = Box<dyn Stream>;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// From now on, who speaks to this address (`https://…`) believes these authorities.
///
/// # Panics
/// When the file holds none.
pub fn trust(address: &str, authorities: &Path) {
    let config = service::tls::trusting(authorities).expect("the test's own authority can be read");
    TRUSTED.lock().expect("nobody panics holding it").insert(address.to_owned(), Arc::new(config));
}

/// Opens a connection.
///
/// # Errors
/// When nobody answers, or with a certificate that is not believed.
pub async fn open(address: &str) -> io::Result<Wire> {
    let Some(place) = address.strip_prefix(TLS) else {
        return tcp(address).await.map(|tcp| Box::new(tcp) as Wire);
    };
    let trusted = TRUSTED.lock().expect("nobody panics holding it").get(address).cloned();
    let config = trusted.ok_or_else(|| io::Error::other("nobody was said to be trusted there"))?;
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, tcp(place).await?).await?;
    Ok(Box::new(stream))
}

/// The address as the header `Host` has it.
pub fn host(address: &str) -> &str {
    address.strip_prefix(TLS).unwrap_or(address)
}

async fn tcp(place: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(place).await?;
    // A test that measures waits for nothing that the kernel gathers.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
