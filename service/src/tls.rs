//! TLS towards a server: whom we believe, which may be an authority of one's own, as brokers and databases inside a cluster have.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// What a connection needs that believes the authorities in a file of PEM certificates, and nobody else. The file
/// is read at each call.
///
/// # Errors
/// A sentence that names the file and what is wrong with it.
pub fn trusting(file: &Path) -> Result<ClientConfig, String> {
    let authorities = authorities(file)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(file, &error))?;
    Ok(config.with_root_certificates(authorities).with_no_client_auth())
}

/// The authorities in a file of PEM certificates.
///
/// # Errors
/// As [`trusting`].
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| fault(file, &error))?;
    let mut authorities = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fault(file, &error))?;
        authorities.add(certificate).map_err(|error| fault(file, &error))?;
    }
    if authorities.is_empty() {
        return Err(fault(file, &"there is no PEM certificate in it"));
    }
    Ok(authorities)
}

fn fault(file: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{} can't be used as authorities: {why}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for content in
            [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
        {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let fault = trusting(&file).unwrap_err();
            assert!(fault.contains("ca.pem can't be used as authorities: "), "{fault}");
        }
    }
}
