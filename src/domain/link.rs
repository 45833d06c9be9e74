//! Links that a mail carries to its recipients: signed and sealed, complete in themselves.
//!
//! A token is version (1 octet), key id (4), nonce (24), ciphertext, tag (16), in base64url. The nonce is HMAC-SHA256
//! of purpose and content, so one link always reads the same (every attempt composes the same message), two links never
//! share a nonce, and a token stands on two legs: the tag of XChaCha20-Poly1305 and 192 bits of HMAC. Keys are made of
//! one secret per key id and differ by purpose. Nothing expires: an opt-out must work years later, when the mailing and
//! the mailbox are long gone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use ring::hmac;
use std::fmt;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;
const HEADER: usize = 1 + 4 + NONCE;
/// Two ids.
const IDS: usize = 16;

/// The longest token that is looked at, in characters.
pub const TOKEN_LIMIT: usize = 4096;
/// The longest target of a tracked link, in octets: its token still fits the URLs that mail programs open.
pub const TARGET_LIMIT: usize = 1400;

/// What a link does. A token for one purpose is nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Unsubscribe,
    Open,
    Click,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Unsubscribe => "unsubscribe",
            Self::Open => "open",
            Self::Click => "click",
        }
    }
}

/// What a token says. `detail` is the recipient's address of an opt-out, the target of a click, and empty for an open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub purpose: Purpose,
    pub mailbox: u64,
    pub mailing: u64,
    pub detail: String,
}

/// The secret under which links are made; kept for ever, as its links are.
#[derive(Clone)]
pub struct LinkKey {
    pub id: u32,
    secret: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKey({})", self.id)
    }
}

impl LinkKey {
    pub fn new(id: u32, secret: [u8; 32]) -> Self {
        Self { id, secret: Zeroizing::new(secret) }
    }

    /// The secret as it is sealed into the store.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.secret))
    }

    /// Reads what [`LinkKey::to_text`] wrote; `None` for anything else.
    pub fn from_text(id: u32, text: &str) -> Option<Self> {
        let octets = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self::new(id, octets.as_slice().try_into().ok()?))
    }

    /// The token of a link: the same one for the same link and key, safe in a URL, telling a reader nothing.
    pub fn token(&self, link: &Link) -> String {
        let mut token = Vec::with_capacity(HEADER + IDS + link.detail.len() + TAG);
        token.push(VERSION);
        token.extend_from_slice(&self.id.to_be_bytes());
        token.extend_from_slice(&[0; NONCE]);
        token.extend_from_slice(&link.mailbox.to_be_bytes());
        token.extend_from_slice(&link.mailing.to_be_bytes());
        token.extend_from_slice(link.detail.as_bytes());
        let nonce = self.nonce(link.purpose, &token[HEADER..]);
        token[HEADER - NONCE..HEADER].copy_from_slice(&nonce);
        let associated = self.associated(link.purpose);
        let tag = self
            .cipher(link.purpose)
            .encrypt_inout_detached(&XNonce::from(nonce), &associated, (&mut token[HEADER..]).into())
            .expect("a link is shorter than the cipher's limit of 256 GiB");
        token.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(token)
    }

    fn open(&self, purpose: Purpose, nonce: [u8; NONCE], body: &[u8], tag: [u8; TAG]) -> Option<Link> {
        let mut plain = body.to_vec();
        self.cipher(purpose)
            .decrypt_inout_detached(
                &XNonce::from(nonce),
                &self.associated(purpose),
                plain.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .ok()?;
        // The second leg. Whoever gets here without the key has broken the first, so the time it takes tells nothing.
        if self.nonce(purpose, &plain) != nonce {
            return None;
        }
        let (mailbox, rest) = plain.split_first_chunk::<8>()?;
        let (mailing, detail) = rest.split_first_chunk::<8>()?;
        Some(Link {
            purpose,
            mailbox: u64::from_be_bytes(*mailbox),
            mailing: u64::from_be_bytes(*mailing),
            detail: std::str::from_utf8(detail).ok()?.to_owned(),
        })
    }

    fn cipher(&self, purpose: Purpose) -> XChaCha20Poly1305 {
        let key = self.derived("seal", purpose);
        XChaCha20Poly1305::new((&*key).into())
    }

    fn nonce(&self, purpose: Purpose, plain: &[u8]) -> [u8; NONCE] {
        let key = self.derived("sign", purpose);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), plain);
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&tag.as_ref()[..NONCE]);
        nonce
    }

    /// A key for one use and one purpose; HMAC as a key derivation function (NIST SP 800-108).
    fn derived(&self, usage: &str, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        let label = format!("postroom/link/1/{usage}/{}", purpose.name());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_slice()), label.as_bytes());
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(tag.as_ref());
        key
    }

    fn associated(&self, purpose: Purpose) -> Vec<u8> {
        [&[VERSION], self.id.to_be_bytes().as_slice(), purpose.name().as_bytes()].concat()
    }
}

/// Every key that links were ever made with.
#[derive(Clone, Debug, Default)]
pub struct LinkKeys(pub Vec<LinkKey>);

impl LinkKeys {
    /// The link of a token; `None` for everything that we did not make for this purpose.
    pub fn open(&self, purpose: Purpose, token: &str) -> Option<Link> {
        if token.len() > TOKEN_LIMIT {
            return None;
        }
        let octets = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = octets.split_first()?;
        let (id, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (body, tag) = rest.split_last_chunk::<TAG>()?;
        if *version != VERSION || body.len() < IDS {
            return None;
        }
        let id = u32::from_be_bytes(*id);
        self.0.iter().find(|key| key.id == id)?.open(purpose, *nonce, body, *tag)
    }

    /// The key with an id.
    pub fn with_id(&self, id: u32) -> Option<&LinkKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

/// The target of a link in a form that a redirect can carry: http or https, a host, no credentials, ASCII, bounded.
/// `None` for everything else: relative and script URLs, line breaks, backslashes in place of slashes.
pub fn target(text: &str) -> Option<String> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let start = text.get(..8).or_else(|| text.get(..7))?.to_ascii_lowercase();
    // The URL parser mends much that is broken; what needs mending is left alone.
    if !(start.starts_with("http://") || start == "https://")
        || text.chars().any(|character| character.is_control() || character == '\\')
    {
        return None;
    }
    let url = url::Url::parse(text).ok()?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.host_str().is_some_and(|host| !host.is_empty());
    let normal: String = url.into();
    (plain && normal.len() <= TARGET_LIMIT && normal.bytes().all(|octet| octet.is_ascii_graphic())).then_some(normal)
}

/// Whether a URL leaves this machine without TLS.
pub fn is_readable_on_the_way(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => std::net::IpAddr::from(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => std::net::IpAddr::from(address).is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !here
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(id: u32) -> LinkKey {
        LinkKey::new(id, [id.to_be_bytes()[3]; 32])
    }

    fn link(detail: &str) -> Link {
        Link { purpose: Purpose::Unsubscribe, mailbox: 3, mailing: 7, detail: detail.to_owned() }
    }

    const PURPOSES: [Purpose; 3] = [Purpose::Unsubscribe, Purpose::Open, Purpose::Click];

    #[test]
    fn a_token_is_nothing_under_another_purpose_or_another_key() {
        let token = key(1).token(&link("ann@example.org"));
        let keys = LinkKeys(vec![key(1)]);
        assert_eq!(keys.open(Purpose::Unsubscribe, &token).unwrap().detail, "ann@example.org");
        assert_eq!(keys.open(Purpose::Open, &token), None);
        assert_eq!(keys.open(Purpose::Click, &token), None);
        assert_eq!(LinkKeys(vec![LinkKey::new(1, [9; 32])]).open(Purpose::Unsubscribe, &token), None);
        assert_eq!(LinkKeys(vec![LinkKey::new(2, [1; 32])]).open(Purpose::Unsubscribe, &token), None);
    }

    #[test]
    fn old_keys_open_old_links_beside_new_ones() {
        let (old, new) = (key(1).token(&link("a@b.example")), key(2).token(&link("a@b.example")));
        let both = LinkKeys(vec![key(1), key(2)]);
        assert!(old != new && both.open(Purpose::Unsubscribe, &old) == both.open(Purpose::Unsubscribe, &new));
    }

    #[test]
    fn a_token_shows_nothing_of_the_address_and_has_url_safe_letters_only() {
        let token = key(1).token(&link("ann@example.org"));
        assert!(token.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_'));
        let octets = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert!(!octets.windows(3).any(|window| window == b"ann"));
        assert_eq!(format!("{:?}", key(1)), "LinkKey(1)");
    }

    #[test]
    fn a_token_of_the_first_release_still_opens() {
        // Written down once: whoever changes the format adds a version and leaves this test as it is.
        let token = "AQAAAAHzDBNNgsbgNWlovfXBbXOU9pwSjrW0Y-aG7ykKAtXQpKemDitnd9WHCJpIPmEhth2OxlKEVUQb-016aZZU0Kx2Fo8w";
        assert_eq!(LinkKeys(vec![key(1)]).open(Purpose::Unsubscribe, token), Some(link("a@b.example")));
    }

    #[test]
    fn a_target_is_a_plain_web_address_or_nothing() {
        assert_eq!(target("https://example.org/a?b=c#d").as_deref(), Some("https://example.org/a?b=c#d"));
        assert_eq!(target(" HTTP://Exämple.org/ü b ").as_deref(), Some("http://xn--exmple-cua.org/%C3%BC%20b"));
        for bad in [
            "",
            "//evil.example",
            "/path",
            "\\\\evil.example",
            "https:\\\\evil.example",
            "https:evil.example",
            "https:///",
            "javascript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
            "mailto:a@b.example",
            "https://user:secret@example.org",
            "https://example.org/\r\nSet-Cookie: a=b",
            "http://example.org\\@evil.example",
            "ftp://example.org",
            "%unsubscribe_url%",
        ] {
            assert_eq!(target(bad), None, "{bad:?}");
        }
        assert_eq!(target(&format!("https://example.org/{}", "a".repeat(TARGET_LIMIT))), None);
    }

    proptest! {
        #[test]
        fn every_link_reads_back_and_reads_the_same_each_time(
            purpose in 0..3_usize, mailbox: u64, mailing: u64, detail in ".{0,300}", secret: [u8; 32],
        ) {
            let link = Link { purpose: PURPOSES[purpose], mailbox, mailing, detail };
            let key = LinkKey::new(5, secret);
            let token = key.token(&link);
            prop_assert_eq!(&token, &key.token(&link));
            let again = LinkKey::from_text(5, &key.to_text()).unwrap();
            prop_assert_eq!(LinkKeys(vec![again]).open(link.purpose, &token), Some(link));
        }

        #[test]
        fn one_changed_letter_makes_it_nothing(detail in "[a-z]{1,20}@[a-z]{1,20}\\.example", at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
            let token = key(1).token(&link(&detail));
            let at = at.index(token.len());
            let forged = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assume!(forged != token);
            let keys = LinkKeys(vec![key(1)]);
            for purpose in PURPOSES {
                prop_assert_eq!(keys.open(purpose, &forged), None);
            }
        }

        #[test]
        fn what_nobody_made_opens_nothing_and_never_panics(token in ".{0,200}", octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let keys = LinkKeys(vec![key(0), key(1)]);
            prop_assert_eq!(keys.open(Purpose::Click, &token), None);
            prop_assert_eq!(keys.open(Purpose::Click, &URL_SAFE_NO_PAD.encode([vec![VERSION, 0, 0, 0, 1], octets].concat())), None);
        }

        #[test]
        fn a_target_never_leads_a_header_astray(text in "(http|https|HTTP)?[:/\\\\]{0,4}.{0,60}") {
            if let Some(target) = target(&text) {
                prop_assert!(target.starts_with("http://") || target.starts_with("https://"));
                prop_assert!(target.bytes().all(|octet| octet.is_ascii_graphic()));
            }
        }
    }

    #[test]
    fn only_what_stays_on_this_machine_is_not_read_without_tls() {
        for url in ["http://127.0.0.1:8025", "http://localhost", "http://[::1]:1/", "https://mail.example.org"] {
            assert!(!is_readable_on_the_way(url), "{url}");
        }
        for url in ["http://mail.example.org", "http://192.168.1.2:8025", "http://localhost.example.org"] {
            assert!(is_readable_on_the_way(url), "{url}");
        }
    }
}
