use super::session::Session;
use crate::mailserver::plain::plain_credentials;
use crate::mailserver::script::Point;
use crate::mailserver::wire::Line;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io;

/// Failed logins that a connection may have before it is closed.
const MAX_FAILURES: u32 = 5;

impl Session {
    /// AUTH (RFC 4954), PLAIN (RFC 4616) and LOGIN, with or without an initial response.
    pub(super) async fn auth(&mut self, arguments: &str) -> io::Result<()> {
        self.shared.journal.count(|counts| counts.auth_attempts += 1);
        if let Some(refusal) = self.auth_out_of_place() {
            return self.say(refusal);
        }
        let (mechanism, initial) = match arguments.split_once(' ') {
            Some((mechanism, initial)) => (mechanism, Some(initial.trim())),
            None => (arguments, None),
        };
        let credentials = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => self.plain(initial).await?,
            "LOGIN" => self.login(initial).await?,
            _ => return self.say("504 5.5.4 Unrecognized authentication type"),
        };
        let Some((name, password)) = credentials else {
            return self.say("501 5.5.2 Cannot decode the response");
        };
        self.step_as(Point::Auth, Some(name.clone()), move |session| session.log_in(&name, &password)).await
    }

    fn auth_out_of_place(&self) -> Option<&'static str> {
        if !self.extended {
            Some("503 5.5.1 EHLO first")
        } else if self.user.is_some() || self.sender.is_some() {
            Some("503 5.5.1 Not now")
        } else if self.shared.options.require_tls_for_auth && !self.wire.secure() {
            Some("538 5.7.11 Encryption required for requested authentication mechanism")
        } else if self.shared.options.smtp_capabilities.hides("AUTH") {
            Some("502 5.5.1 Command not implemented")
        } else {
            None
        }
    }

    fn log_in(&mut self, name: &str, password: &str) -> String {
        if let Some(account) = self.shared.store.login(name, password) {
            self.shared.journal.count(|counts| counts.logins += 1);
            self.user = Some(account);
            return "235 2.7.0 Authentication successful".into();
        }
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            return "421 4.7.0 Too many failed logins".into();
        }
        "535 5.7.8 Authentication credentials invalid".into()
    }

    async fn plain(&mut self, initial: Option<&str>) -> io::Result<Option<(String, String)>> {
        let response = match initial {
            Some(initial) => Some(initial.as_bytes().to_vec()),
            None => self.challenge("").await?,
        };
        Ok(response.as_deref().and_then(decode).and_then(|text| plain_credentials(&text)))
    }

    async fn login(&mut self, initial: Option<&str>) -> io::Result<Option<(String, String)>> {
        let name = match initial {
            Some(initial) => Some(initial.as_bytes().to_vec()),
            None => self.challenge("VXNlcm5hbWU6").await?,
        };
        let Some(name) = name.as_deref().and_then(decode) else { return Ok(None) };
        let Some(password) = self.challenge("UGFzc3dvcmQ6").await?.as_deref().and_then(decode) else { return Ok(None) };
        Ok(Some((name, password)))
    }

    async fn challenge(&mut self, text: &str) -> io::Result<Option<Vec<u8>>> {
        self.say(&format!("334 {text}"))?;
        Ok(match self.wire.line().await? {
            Line::Whole(line) => Some(line),
            Line::BareLf | Line::TooLong => None,
        })
    }
}

/// A response as text; `=` is an empty one, `*` and anything that is not Base64 of UTF-8 is none.
fn decode(response: &[u8]) -> Option<String> {
    if response == b"=" {
        return Some(String::new());
    }
    String::from_utf8(BASE64_STANDARD.decode(response).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_base64_of_text() {
        assert_eq!(decode(b"YW5u"), Some("ann".into()));
        assert_eq!(decode(b"="), Some(String::new()));
        for bad in [&b"*"[..], b"YW5u!", b"/w=="] {
            assert_eq!(decode(bad), None, "{}", bad.escape_ascii());
        }
    }
}
