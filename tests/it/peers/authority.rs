//! A private certification authority, and certificates of it that a client must accept or must not.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use std::path::Path;

/// Names that a good certificate is valid for.
pub const NAMES: [&str; 4] = ["localhost", "mail.test", "127.0.0.1", "127.0.0.2"];

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing: issued by the authority for [`NAMES`].
    #[default]
    Good,
    /// Issued by an authority that nobody was told of.
    Untrusted,
    /// Issued by the authority, for `elsewhere.test` only.
    WrongName,
    /// Issued by the authority, valid in 2001.
    Expired,
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Certificate and private key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("Authority of the tests")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate of itself"))
    }

    /// The authority's own certificate: for `extra_ca_file`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The same for a client made by hand.
    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.pem()).expect("the authority's certificate is written");
    }

    pub fn issue(&self, certificate: Certificate) -> Issued {
        let names: Vec<String> = match certificate {
            Certificate::WrongName => vec!["elsewhere.test".to_owned()],
            _ => NAMES.iter().map(ToString::to_string).collect(),
        };
        let mut params = CertificateParams::new(names).expect("valid names");
        if certificate == Certificate::Expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let stranger = (certificate == Certificate::Untrusted).then(|| Self::named("Stranger"));
        let issuer = stranger.as_ref().unwrap_or(self);
        let certificate = params.signed_by(&key, &issuer.0).expect("a certificate");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
