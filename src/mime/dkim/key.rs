//! A private key as it signs, read from PEM, and the record that tells its public half to the world.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;

/// A key that signs for a domain.
pub struct SigningKey(Kind);

enum Kind {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Why a file holds no usable key; displays as what is wrong, to follow a file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// No `-----BEGIN … PRIVATE KEY-----` that can be read.
    NotPem,
    /// Receivers know RSA and Ed25519 only.
    OtherKind,
    /// RSA with fewer than 2048 bits, which is no longer safe, or more than 4096, which receivers do not check.
    Size,
    Damaged(String),
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str(
                "it holds no private key in PEM (-----BEGIN PRIVATE KEY-----). Make one: openssl genpkey -algorithm RSA \
                 -pkeyopt rsa_keygen_bits:2048",
            ),
            Self::OtherKind => f.write_str("its key is neither RSA nor Ed25519"),
            Self::Size => f.write_str("its RSA key must have 2048 to 4096 bits"),
            Self::Damaged(why) => write!(f, "its key cannot be used ({why})"),
        }
    }
}

impl std::error::Error for KeyProblem {}

impl SigningKey {
    /// Reads PKCS #8 (RSA or Ed25519) or PKCS #1 (RSA) in PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyProblem> {
        let rejected = |error: ring::error::KeyRejected| match error.to_string().as_str() {
            "TooSmall" | "TooLarge" => KeyProblem::Size,
            why => KeyProblem::Damaged(why.to_owned()),
        };
        match PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyProblem::NotPem)? {
            PrivateKeyDer::Pkcs1(der) => {
                Ok(Self(Kind::Rsa(Box::new(RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(rejected)?))))
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                // Keys of OpenSSL come without their public half, hence not the stricter reading.
                if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    return Ok(Self(Kind::Ed25519(Box::new(key))));
                }
                match RsaKeyPair::from_pkcs8(der) {
                    Ok(key) => Ok(Self(Kind::Rsa(Box::new(key)))),
                    Err(error) if error.to_string() == "WrongAlgorithm" => Err(KeyProblem::OtherKind),
                    Err(error) => Err(rejected(error)),
                }
            }
            _ => Err(KeyProblem::OtherKind),
        }
    }

    /// As `a=` names it.
    pub fn algorithm(&self) -> &'static str {
        match &self.0 {
            Kind::Rsa(_) => "rsa-sha256",
            Kind::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// The text of the DNS record (TXT) that lets the world check this key's signatures.
    pub fn record(&self) -> String {
        match &self.0 {
            Kind::Rsa(key) => {
                format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public_key_info(key.public().as_ref())))
            }
            Kind::Ed25519(key) => {
                format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.public_key().as_ref()))
            }
        }
    }

    /// Signs; `None` if the key does not work, which reading it should have shown.
    pub(super) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match &self.0 {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                // PKCS #1 v1.5 pads without chance; the generator is asked for by the interface alone.
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
                Some(signature)
            }
            // The digest is what is signed (RFC 8463 §3).
            Kind::Ed25519(key) => Some(key.sign(digest(&SHA256, text).as_ref()).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm())
    }
}

/// `SubjectPublicKeyInfo` of an `RSAPublicKey` (RFC 5280 §4.1.2.7, RFC 8017 appendix A.1).
fn public_key_info(key: &[u8]) -> Vec<u8> {
    /// SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }
    const RSA_ENCRYPTION: &[u8] =
        &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    // A bit string begins with the number of its unused bits.
    let bits = element(0x03, &[&[0], key].concat());
    element(0x30, &[RSA_ENCRYPTION, &bits].concat())
}

/// A DER element with its length.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![tag];
    match significant {
        [short] if *short < 0x80 => der.push(*short),
        long => {
            // Eight octets at most.
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}
