//! The credential of one log-in, and what must not become of it.

use crate::connect::discretion::Discretion;
use crate::domain::failure::{Failure, Stage};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// A user name and its password, for the time of the log-in.
pub(super) struct Credential<'a> {
    pub username: &'a str,
    pub password: &'a SecretString,
}

impl Credential<'_> {
    /// The crate quotes both and forbids line ends only; anything else that is no text has no business there either.
    pub fn check(&self) -> Result<(), Failure> {
        let has_control = |text: &str| text.chars().any(char::is_control);
        if has_control(self.username) || has_control(self.password.expose_secret()) {
            return Err(Failure::config(
                Stage::Authentication,
                "The user name or the password contains a line break or another control character.",
            )
            .advice("Enter both again."));
        }
        Ok(())
    }

    pub fn is_ascii(&self) -> bool {
        self.username.is_ascii() && self.password.expose_secret().is_ascii()
    }

    /// The answer to AUTHENTICATE PLAIN (RFC 4616).
    pub fn plain(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("\0{}\0{}", self.username, self.password.expose_secret()))
    }

    /// What must not be shown of what the server says, in this session.
    pub fn discretion(&self) -> Discretion {
        Discretion::about(self.username, self.password.expose_secret())
    }
}
