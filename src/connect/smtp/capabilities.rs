//! What a server said to EHLO.

use super::reply::Reply;

/// What the server offers, as of the last EHLO: what it said before TLS is forgotten.
// Each is one keyword of EHLO, there or not.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The largest message in bytes (RFC 1870); `None` if the server names no limit.
    pub size_limit: Option<u64>,
    /// SIZE is offered, with or without a limit.
    pub size: bool,
    /// Several commands may be sent at once (RFC 2920).
    pub pipelining: bool,
    /// The message may carry bytes above 127 (RFC 6152).
    pub eight_bit: bool,
    /// Addresses and headers may carry UTF-8 (RFC 6531).
    pub smtputf8: bool,
    pub start_tls: bool,
    /// The mechanisms of AUTH (RFC 4954), in capitals.
    pub auth: Vec<String>,
}

impl Capabilities {
    /// More mechanisms than this are not kept.
    const AUTH_LIMIT: usize = 20;

    /// Reads an EHLO reply; its first line is the server's name.
    pub(super) fn from_ehlo(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            // `AUTH=LOGIN` is how servers from before RFC 2554 say it.
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "SIZE" => {
                    found.size = true;
                    found.size_limit = words.next().and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
                }
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "STARTTLS" => found.start_tls = true,
                "AUTH" => {
                    for mechanism in words.map(str::to_ascii_uppercase) {
                        if found.auth.len() < Self::AUTH_LIMIT && !found.auth.contains(&mechanism) {
                            found.auth.push(mechanism);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        let lines = std::iter::once("mail.example says hello").chain(lines.iter().copied());
        Capabilities::from_ehlo(&Reply { code: 250, lines: lines.map(str::to_owned).collect() })
    }

    #[test]
    fn keywords_are_read_in_any_case_and_spelling() {
        let found = read(&[
            "size 35882577",
            "Pipelining",
            "8BITMIME",
            "SMTPUTF8",
            "STARTTLS",
            "ENHANCEDSTATUSCODES",
            "AUTH plain LOGIN",
            "AUTH=LOGIN XOAUTH2",
            "",
            "X-UNKNOWN what ever",
        ]);
        assert_eq!(found.size_limit, Some(35_882_577));
        assert!(found.size && found.pipelining && found.eight_bit && found.smtputf8 && found.start_tls);
        assert_eq!(found.auth, ["PLAIN", "LOGIN", "XOAUTH2"]);
    }

    #[test]
    fn a_size_without_a_limit_is_no_limit() {
        for line in ["SIZE", "SIZE 0", "SIZE many", "SIZE 99999999999999999999999"] {
            let found = read(&[line]);
            assert!(found.size && found.size_limit.is_none(), "{line}");
        }
    }

    #[test]
    fn the_servers_name_is_no_capability() {
        let reply = Reply { code: 250, lines: vec!["STARTTLS".into()] };
        assert_eq!(Capabilities::from_ehlo(&reply), Capabilities::default());
    }
}
