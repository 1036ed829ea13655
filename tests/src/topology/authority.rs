//! An authority made on the spot, which signs a certificate for each server: broker, database, load balancer.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use std::fs;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// The names under which all servers of this machine are reached.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A server's certificate and its key, as PEM files.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// # Panics
    /// When the files can't be written, here and below.
    pub fn made_in(folder: &Path) -> Self {
        let folder = folder.join("tls");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "backchat on this machine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("the system has random bytes");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("the authority signs itself");
        let authority = Self { issuer, folder };
        fs::write(authority.file(), authority.issuer.pem()).expect("a file can be written");
        authority
    }

    /// The authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for a server of this machine.
    pub fn signs(&self, name: &str) -> Certificate {
        self.signs_until(name, OffsetDateTime::now_utc() + Duration::days(365))
    }

    /// The same, good until then.
    pub fn signs_until(&self, name: &str, end: OffsetDateTime) -> Certificate {
        let mut params = CertificateParams::new(HOSTS.map(str::to_owned)).expect("they are names of hosts");
        params.not_after = end;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("the system has random bytes");
        let signed = params.signed_by(&key, &self.issuer).expect("the authority signs");
        let file = |end: &str, text: String| {
            let path = self.folder.join(format!("{name}{end}"));
            fs::write(&path, text).expect("a file can be written");
            path
        };
        Certificate { certificate: file(".pem", signed.pem()), key: file("-key.pem", key.serialize_pem()) }
    }
}
