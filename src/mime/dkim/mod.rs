//! DKIM signatures (RFC 6376): what a message says and who it is from, signed for the domain of its author.
//!
//! Both algorithms that receivers know: rsa-sha256 and ed25519-sha256 (RFC 8463), header and body in relaxed form, the
//! whole body always (`l=` is never written). The same message and key always give the same signature, so that a message
//! that is sent again stays the same. Fields that change what a reader believes are signed once more often than they
//! occur: nobody can add another. A key is in memory only in the form that signs, and prints as its algorithm.

mod key;
mod relaxed;
mod sign;

pub use key::{KeyProblem, SigningKey};
pub use sign::{Signer, sign};
