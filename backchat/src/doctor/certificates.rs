//! The certificate that a server shows: who signed it, for which names, until when.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use service::tls;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::finding::Finding;

/// Days before its end from which on a certificate is a warning.
const DAYS_LEFT_MIN: u64 = 30;
const DAY: Duration = Duration::from_secs(86_400);
/// So far in the future no certificate is valid: what refuses it says when its time ends.
const FAR: Duration = Duration::from_secs(u32::MAX as u64 * 60);

/// Whose certificates are believed.
pub struct Believed {
    /// The setting that names the file.
    pub setting: &'static str,
    /// None: the public ones of this machine.
    pub file: Option<PathBuf>,
}

/// Speaks TLS with a server, whatever certificate it shows, and says what is to be said of that.
///
/// # Errors
/// What is wrong where no TLS comes about.
pub async fn shown(
    stream: TcpStream,
    host: &str,
    believed: &Believed,
    about: &'static str,
) -> Result<(TlsStream<TcpStream>, Finding), Finding> {
    let broken = |why: &dyn std::fmt::Display| {
        let remedy = "let it speak TLS, with a certificate and its key";
        Finding::fault(about, format!("{host} does not speak TLS: {why}"), remedy)
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| broken(&error))?;
    let provider = Arc::new(ring::default_provider());
    let recorder = Arc::new(Recorder { chain: Mutex::new(Vec::new()), provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let connected = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await;
    let connected = connected.map_err(|error| broken(&error))?;
    let chain = std::mem::take(&mut *recorder.chain.lock().unwrap_or_else(PoisonError::into_inner));
    let finding = match authorities(believed.file.as_deref()) {
        Ok(authorities) => judged(&chain, &name, authorities, (host, believed, about)),
        Err(why) => {
            Finding::fault(about, why, format!("name a file of PEM certificates with {}", believed.setting))
        }
    };
    Ok((connected, finding))
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, String> {
    let Some(file) = file else {
        let mut public = RootCertStore::empty();
        public.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(public);
    };
    tls::authorities(file)
}

fn judged(
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    authorities: RootCertStore,
    (host, believed, about): (&str, &Believed, &'static str),
) -> Finding {
    let verifier = WebPkiServerVerifier::builder_with_provider(
        Arc::new(authorities),
        Arc::new(ring::default_provider()),
    )
    .build();
    let (Ok(verifier), Some((own, others))) = (verifier, chain.split_first()) else {
        let remedy = format!("name the authorities that signed it with {}", believed.setting);
        return Finding::fault(about, format!("nobody is believed about the certificate of {host}"), remedy);
    };
    let verified = |at: Duration| {
        verifier.verify_server_cert(own, others, name, &[], UnixTime::since_unix_epoch(at)).map(drop)
    };
    let now = Duration::from_millis(Timestamp::now().as_millis().unsigned_abs());
    let renew = format!("renew it, and have {host} read the new one");
    match verified(now) {
        // That of the server itself is looked at before those who signed it, so this is when its own time ends.
        Ok(()) => match verified(FAR) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                left(host, Duration::from_secs(not_after.as_secs()).saturating_sub(now), &renew, about)
            }
            _ => Finding::good(about, format!("the certificate of {host} is believed")),
        },
        Err(Error::InvalidCertificate(why)) => {
            let remedy = match why {
                CertificateError::UnknownIssuer => {
                    format!(
                        "name the authorities that signed it with {}, or have it signed by public ones",
                        believed.setting
                    )
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    format!("have a certificate made that names {host}")
                }
                _ => renew,
            };
            Finding::fault(about, format!("the certificate of {host} is not good: {why}"), remedy)
        }
        Err(why) => Finding::fault(about, format!("the certificate of {host} is not good: {why}"), renew),
    }
}

fn left(host: &str, left: Duration, renew: &str, about: &'static str) -> Finding {
    let days = left.as_secs() / DAY.as_secs();
    let found = format!("the certificate of {host} is good for {days} more days");
    if days < DAYS_LEFT_MIN { Finding::warning(about, found, renew) } else { Finding::good(about, found) }
}

/// Takes every certificate and keeps it to be looked at; that the server has its key must be so all the same.
#[derive(Debug)]
struct Recorder {
    chain: Mutex<Vec<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(own).chain(others).map(|certificate| certificate.clone().into_owned());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
