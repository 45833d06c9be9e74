//! Whom TLS trusts: the system's store, an extra file of the operator, compiled-in roots where the system has none.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The certification authorities (or single certificates) that a server's certificate must lead to.
#[derive(Clone, Debug)]
pub struct Trust(RootCertStore);

/// Why the certificates of the configuration could not be used. Each variant prints as a sentence.
#[derive(Debug)]
pub enum TrustError {
    Unreadable { path: PathBuf, reason: String },
    Invalid { path: PathBuf, reason: String },
    Empty { path: PathBuf },
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => {
                write!(f, "The certificate file {} cannot be read: {reason}.", path.display())
            }
            Self::Invalid { path, reason } => {
                write!(f, "The certificate file {} is not valid PEM with certificates: {reason}.", path.display())
            }
            Self::Empty { path } => {
                write!(f, "The certificate file {} holds no certificate (-----BEGIN CERTIFICATE-----).", path.display())
            }
        }
    }
}

impl std::error::Error for TrustError {}

impl Trust {
    /// The largest PEM file that is read, in bytes; the whole web's authorities take about 250 kB.
    const FILE_LIMIT: u64 = 4 << 20;

    /// The system's store, or the compiled-in roots if that is empty, and the certificates of `extra_ca_file`.
    pub fn system(extra_ca_file: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(%error, "part of the system's certificate store could not be read");
        }
        // One odd certificate in the system's store must not take all the others with it.
        let (added, ignored) = roots.add_parsable_certificates(native.certs);
        tracing::debug!(added, ignored, "system certificates loaded");
        if roots.is_empty() {
            tracing::info!("the system has no certificate store; the compiled-in roots are used");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let mut trust = Self(roots);
        if let Some(path) = extra_ca_file {
            trust.add_file(path)?;
        }
        Ok(trust)
    }

    /// Only the certificates of one file: for a server of our own, and for tests.
    pub fn only(ca_file: &Path) -> Result<Self, TrustError> {
        let mut trust = Self::nobody();
        trust.add_file(ca_file)?;
        Ok(trust)
    }

    /// Trusts no certificate at all.
    pub fn nobody() -> Self {
        Self(RootCertStore::empty())
    }

    /// Every certificate of the file must be usable: the operator meant each of them.
    fn add_file(&mut self, path: &Path) -> Result<(), TrustError> {
        let unreadable = |reason: String| TrustError::Unreadable { path: path.to_owned(), reason };
        let invalid = |reason: String| TrustError::Invalid { path: path.to_owned(), reason };
        let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if length > Self::FILE_LIMIT {
            return Err(unreadable("it is larger than 4 MiB".into()));
        }
        let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
            self.0.add(certificate).map_err(|error| invalid(error.to_string()))?;
            found += 1;
        }
        if found == 0 { Err(TrustError::Empty { path: path.to_owned() }) } else { Ok(()) }
    }

    /// A client that verifies against these roots, TLS 1.2 and 1.3, with ring.
    pub(super) fn client(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            // The provider and the versions are both compiled in: this cannot depend on anything from outside.
            .expect("ring supports TLS 1.2 and 1.3")
            .with_root_certificates(self.0.clone())
            .with_no_client_auth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_certificate_file_that_cannot_be_used_says_why() {
        let missing = Trust::only(Path::new("/nonexistent/ca.pem")).unwrap_err();
        assert!(missing.to_string().starts_with("The certificate file /nonexistent/ca.pem cannot be read: "));
        for (content, part) in [
            ("", "holds no certificate"),
            ("hello\n", "holds no certificate"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not valid PEM with certificates"),
            ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "not valid PEM with certificates"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "not valid PEM with certificates"),
        ] {
            let error = Trust::system(Some(file(content).path())).unwrap_err().to_string();
            assert!(error.contains(part), "{content:?}: {error}");
        }
    }

    #[test]
    fn a_file_with_a_certificate_is_trusted() {
        let issued = rcgen::generate_simple_self_signed(vec!["mail.example".into()]).unwrap();
        assert!(Trust::only(file(&issued.cert.pem()).path()).is_ok());
    }
}
