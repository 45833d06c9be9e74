//! The providers that are known by name: servers, log-in, limits. Written from the providers' own pages.

use crate::domain::address::Address;
use crate::domain::time::Timestamp;

/// A server of a provider. Its TLS follows from the port: implicit on 465 and 993, STARTTLS on 587 and 143.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: &'static str,
    pub port: u16,
    pub login: Login,
}

/// What a provider takes as the user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The whole address.
    Address,
    /// What stands before the `@`.
    LocalPart,
}

/// What one mailbox may send, as far as the provider says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages in 24 hours.
    pub messages_per_day: Option<u64>,
    /// Recipients in 24 hours.
    pub recipients_per_day: Option<u64>,
    /// Recipients of one message.
    pub recipients_per_message: Option<u64>,
    /// The day is a calendar day of the provider's own time zone, not any 24 hours.
    pub calendar_day: bool,
}

/// The day of a provider that counts calendar days of the US east coast: its midnight is
/// at 04:00 UTC in summer and at 05:00 UTC in winter. The hour between belongs to both days, so that the answer is right
/// whatever the season; that costs at most an hour of waiting. From the first moment, to before the second.
pub fn calendar_day(now: Timestamp) -> (Timestamp, Timestamp) {
    const HOUR: i64 = 3_600_000;
    // Days that begin at 05:00 UTC; the summer's midnight lies an hour before.
    let winter = (now.millis() - 5 * HOUR).div_euclid(24 * HOUR) * 24 * HOUR + 5 * HOUR;
    (Timestamp::from_millis(winter - HOUR), Timestamp::from_millis(winter + 24 * HOUR))
}

/// One provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// `providerId`. Never given to another provider.
    pub id: u64,
    /// `providerType`.
    pub name: &'static str,
    /// The provider's name for people.
    pub title: &'static str,
    /// Values of `emailProvider` that mean this provider.
    pub providers: &'static [&'static str],
    /// Domains whose addresses live here.
    pub domains: &'static [&'static str],
    /// `None` where every site has its own.
    pub imap: Option<Server>,
    pub smtp: Option<Server>,
    pub limits: Limits,
    /// The provider files what it accepts over SMTP in the sent folder by itself.
    pub files_sent_copies: bool,
}

/// `providerId` and `providerType` of a mailbox whose provider is none of the table's.
pub const OTHER: (u64, &str) = (0, "other");

const NOTHING_KNOWN: Limits =
    Limits { messages_per_day: None, recipients_per_day: None, recipients_per_message: None, calendar_day: false };

const fn server(host: &'static str, port: u16) -> Server {
    Server { host, port, login: Login::Address }
}

const fn preset(id: u64, name: &'static str, title: &'static str) -> Preset {
    Preset {
        id,
        name,
        title,
        providers: &[],
        domains: &[],
        imap: None,
        smtp: None,
        limits: NOTHING_KNOWN,
        files_sent_copies: false,
    }
}

/// Every provider that is known.
pub static PRESETS: &[Preset] = &[
    // support.google.com/a/answer/166852: 500 messages in 24 hours for a personal account, 2,000 in Workspace; which of
    // the two an account is cannot be told from its settings, so the smaller one counts.
    Preset {
        providers: &["gmail", "gmail_api", "google_oauth2"],
        domains: &["gmail.com", "googlemail.com"],
        imap: Some(server("imap.gmail.com", 993)),
        smtp: Some(server("smtp.gmail.com", 465)),
        limits: Limits { messages_per_day: Some(500), recipients_per_message: Some(100), ..NOTHING_KNOWN },
        files_sent_copies: true,
        ..preset(1, "gmail", "Gmail")
    },
    Preset {
        providers: &["office_365", "office365_oauth2", "exchange_online"],
        domains: &["onmicrosoft.com"],
        imap: Some(server("outlook.office365.com", 993)),
        smtp: Some(server("smtp.office365.com", 587)),
        limits: Limits { recipients_per_day: Some(10_000), recipients_per_message: Some(500), ..NOTHING_KNOWN },
        files_sent_copies: true,
        ..preset(2, "office_365", "Microsoft 365")
    },
    Preset {
        domains: &["outlook.com", "hotmail.com", "live.com", "msn.com"],
        imap: Some(server("outlook.office365.com", 993)),
        smtp: Some(server("smtp-mail.outlook.com", 587)),
        limits: Limits { messages_per_day: Some(300), recipients_per_message: Some(500), ..NOTHING_KNOWN },
        files_sent_copies: true,
        ..preset(3, "outlook", "Outlook.com")
    },
    Preset {
        providers: &["exchange_server", "microsoft_hma_oauth2"],
        ..preset(4, "exchange_server", "Exchange Server")
    },
    // postmaster.emailsrvr.com: 10,000 recipients in a calendar day of the US east coast.
    Preset {
        providers: &["rackspace"],
        domains: &["emailsrvr.com"],
        imap: Some(server("secure.emailsrvr.com", 993)),
        smtp: Some(server("secure.emailsrvr.com", 465)),
        limits: Limits { recipients_per_day: Some(10_000), calendar_day: true, ..NOTHING_KNOWN },
        ..preset(5, "rackspace", "Rackspace Email")
    },
    // kb.intermedia.net/article/421: hosts differ from customer to customer.
    Preset {
        providers: &["intermedia"],
        limits: Limits { recipients_per_message: Some(50), ..NOTHING_KNOWN },
        ..preset(6, "intermedia", "Intermedia")
    },
    // help.yahoo.com SLN17518.
    Preset {
        providers: &["yahoo"],
        domains: &["yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "ymail.com", "rocketmail.com"],
        imap: Some(server("imap.mail.yahoo.com", 993)),
        smtp: Some(server("smtp.mail.yahoo.com", 465)),
        limits: Limits { messages_per_day: Some(500), recipients_per_message: Some(100), ..NOTHING_KNOWN },
        ..preset(7, "yahoo", "Yahoo Mail")
    },
    Preset {
        providers: &["aol"],
        domains: &["aol.com", "verizon.net"],
        imap: Some(server("imap.aol.com", 993)),
        smtp: Some(server("smtp.aol.com", 465)),
        ..preset(8, "aol", "AOL Mail")
    },
    // support.apple.com/102198 and 102525: the user name for IMAP is the part before the @, for SMTP the whole address.
    Preset {
        providers: &["icloud"],
        domains: &["icloud.com", "me.com", "mac.com"],
        imap: Some(Server { host: "imap.mail.me.com", port: 993, login: Login::LocalPart }),
        smtp: Some(server("smtp.mail.me.com", 587)),
        limits: Limits {
            messages_per_day: Some(1_000),
            recipients_per_day: Some(1_000),
            recipients_per_message: Some(500),
            calendar_day: false,
        },
        ..preset(9, "icloud", "iCloud Mail")
    },
    Preset {
        providers: &["fastmail"],
        domains: &["fastmail.com", "fastmail.fm"],
        imap: Some(server("imap.fastmail.com", 993)),
        smtp: Some(server("smtp.fastmail.com", 465)),
        ..preset(10, "fastmail", "Fastmail")
    },
    Preset {
        providers: &["zoho"],
        domains: &["zoho.com", "zohomail.com"],
        imap: Some(server("imap.zoho.com", 993)),
        smtp: Some(server("smtp.zoho.com", 465)),
        ..preset(11, "zoho", "Zoho Mail")
    },
    Preset {
        domains: &["zoho.eu", "zohomail.eu"],
        imap: Some(server("imap.zoho.eu", 993)),
        smtp: Some(server("smtp.zoho.eu", 465)),
        ..preset(12, "zoho_eu", "Zoho Mail (Europe)")
    },
    Preset {
        providers: &["gmx"],
        domains: &["gmx.net", "gmx.de", "gmx.at", "gmx.ch"],
        imap: Some(server("imap.gmx.net", 993)),
        smtp: Some(server("mail.gmx.net", 465)),
        ..preset(13, "gmx", "GMX")
    },
    Preset {
        domains: &["gmx.com"],
        imap: Some(server("imap.gmx.com", 993)),
        smtp: Some(server("mail.gmx.com", 465)),
        ..preset(14, "gmx_com", "GMX.com")
    },
    Preset {
        providers: &["web.de"],
        domains: &["web.de"],
        imap: Some(server("imap.web.de", 993)),
        smtp: Some(server("smtp.web.de", 465)),
        ..preset(15, "web_de", "WEB.DE")
    },
    Preset {
        providers: &["yandex"],
        domains: &["yandex.com", "yandex.ru", "ya.ru"],
        imap: Some(server("imap.yandex.com", 993)),
        smtp: Some(server("smtp.yandex.com", 465)),
        ..preset(16, "yandex", "Yandex Mail")
    },
    Preset {
        providers: &["godaddy"],
        domains: &["secureserver.net"],
        imap: Some(server("imap.secureserver.net", 993)),
        smtp: Some(server("smtpout.secureserver.net", 465)),
        ..preset(17, "godaddy", "GoDaddy Workspace Email")
    },
    Preset {
        providers: &["ovh"],
        domains: &["ovh.net"],
        imap: Some(server("ssl0.ovh.net", 993)),
        smtp: Some(server("ssl0.ovh.net", 465)),
        ..preset(18, "ovh", "OVH")
    },
    Preset {
        providers: &["gandi"],
        domains: &["gandi.net"],
        imap: Some(server("mail.gandi.net", 993)),
        smtp: Some(server("mail.gandi.net", 465)),
        ..preset(19, "gandi", "Gandi")
    },
    Preset {
        providers: &["posteo"],
        domains: &["posteo.de", "posteo.net"],
        imap: Some(server("posteo.de", 993)),
        smtp: Some(server("posteo.de", 465)),
        ..preset(20, "posteo", "Posteo")
    },
    Preset {
        providers: &["ionos"],
        domains: &["online.de", "onlinehome.de"],
        imap: Some(server("imap.1und1.de", 993)),
        smtp: Some(server("smtp.1und1.de", 465)),
        ..preset(21, "ionos", "IONOS")
    },
];

/// The provider that a value of `emailProvider` means; letters' case does not matter.
pub fn by_provider(provider: &str) -> Option<&'static Preset> {
    find(provider, |preset| preset.providers)
}

/// The provider of the addresses of a domain. Subdomains count where only the parent is listed (`x.onmicrosoft.com`).
pub fn by_domain(domain: &str) -> Option<&'static Preset> {
    let mut rest = domain.trim_end_matches('.');
    loop {
        if let Some(preset) = find(rest, |preset| preset.domains) {
            return Some(preset);
        }
        rest = rest.split_once('.')?.1;
    }
}

/// The provider of an address; `None` for one that has no domain.
pub fn by_address(address: &str) -> Option<&'static Preset> {
    by_domain(Address::parse(address).ok()?.domain_ascii())
}

/// The provider that a server belongs to.
pub fn by_host(host: &str) -> Option<&'static Preset> {
    let host = host.trim_end_matches('.');
    PRESETS.iter().find(|preset| {
        [preset.imap, preset.smtp].into_iter().flatten().any(|server| server.host.eq_ignore_ascii_case(host))
    })
}

fn find(word: &str, list: impl Fn(&Preset) -> &'static [&'static str]) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| list(preset).iter().any(|known| known.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connection::TlsMode;
    use crate::domain::mailbox::PROVIDERS;
    use std::collections::BTreeSet;

    #[test]
    fn every_recommended_provider_has_a_preset() {
        for provider in PROVIDERS {
            assert!(by_provider(provider).is_some(), "{provider}");
        }
    }

    #[test]
    fn ids_names_providers_and_domains_are_each_given_once() {
        let distinct = |words: Vec<String>| {
            let count = words.len();
            assert_eq!(words.into_iter().collect::<BTreeSet<_>>().len(), count);
        };
        distinct(PRESETS.iter().map(|preset| preset.id.to_string()).collect());
        distinct(PRESETS.iter().map(|preset| preset.name.to_owned()).collect());
        distinct(PRESETS.iter().flat_map(|preset| preset.providers).map(|word| (*word).to_owned()).collect());
        distinct(PRESETS.iter().flat_map(|preset| preset.domains).map(|word| (*word).to_owned()).collect());
        assert!(PRESETS.iter().all(|preset| preset.id != OTHER.0));
    }

    #[test]
    fn every_server_of_a_preset_is_reached_over_required_tls() {
        for server in PRESETS.iter().flat_map(|preset| [preset.imap, preset.smtp]).flatten() {
            let tls = TlsMode::for_port(true, server.port);
            assert!(matches!(tls, TlsMode::Implicit | TlsMode::StartTls), "{}", server.host);
        }
    }

    #[test]
    fn providers_are_found_by_domain_address_and_host_in_any_case() {
        assert_eq!(by_domain("GMAIL.com.").unwrap().name, "gmail");
        assert_eq!(by_domain("contoso.onmicrosoft.com").unwrap().name, "office_365");
        assert_eq!(by_address("Ann@Icloud.com").unwrap().name, "icloud");
        assert_eq!(by_host("SMTP.Office365.com.").unwrap().name, "office_365");
        for nobody in ["", "com", "notgmail.com", "gmail.com.example"] {
            assert_eq!(by_domain(nobody), None, "{nobody}");
        }
        assert_eq!(by_address("no address"), None);
        assert_eq!(by_provider("something else"), None);
    }
}
