//! The credential of one log-in, and what must not become of it.

use crate::domain::failure::{Failure, Stage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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

    /// A refusal is stored and shown: one that repeats the credential loses its text.
    pub fn discreet(&self, mut failure: Failure) -> Failure {
        let encoded = Zeroizing::new(STANDARD.encode(self.plain().as_bytes()));
        let password = self.password.expose_secret();
        let repeats = |line: &String| (!password.is_empty() && line.contains(password)) || line.contains(&*encoded);
        if failure.server.as_ref().is_some_and(repeats) {
            failure.server = Some("(not shown: the server repeated the credential)".into());
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_repeats_the_credential_is_not_kept() {
        let password = SecretString::from("pass word");
        let credential = Credential { username: "ann", password: &password };
        let encoded = STANDARD.encode("\0ann\0pass word");
        for line in ["LOGIN ann \"pass word\" failed".to_owned(), format!("bad {encoded}")] {
            let failure = credential.discreet(Failure::temporary(Stage::Authentication, "No.").server(&line));
            assert!(failure.server.unwrap().starts_with("(not shown"));
        }
    }
}
