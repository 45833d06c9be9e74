//! What opens and clicks say, and what only looks like one.

use super::mailing::{Mailing, State, Trigger};
use super::time::Timestamp;

/// A machine looks at a mail as soon as it is in; a person needs longer.
const TOO_SOON: i64 = 2_000;

/// Programs that fetch what a mail links to without anybody reading it. In lower case.
const MACHINES: &[&str] = &[
    "barracuda",
    "bitdefender",
    "bot",
    "cisco-sa",
    "crawler",
    "curl/",
    "facebookexternalhit",
    "fortinet",
    "go-http-client",
    "headlesschrome",
    "libwww",
    "linkpreview",
    "mimecast",
    "phantomjs",
    "preview",
    "proofpoint",
    "python-requests",
    "python-urllib",
    "safelinks",
    "scanner",
    "skypeuripreview",
    "slurp",
    "spider",
    "symantec",
    "trendmicro",
    "urlscan",
    "virustotal",
    "wget",
    "whatsapp/",
    "zscaler",
];

/// What is known of a request for a tracked link.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit<'a> {
    pub user_agent: Option<&'a str>,
    /// HEAD, or marked as a prefetch or a preview.
    pub announced: bool,
}

impl Visit<'_> {
    /// Whether a machine came, as far as it tells. Google's image proxy fetches when a person opens, and counts; Apple's
    /// privacy proxy, which calls itself nothing but `Mozilla/5.0`, fetches everything beforehand, and does not.
    pub fn is_a_machine(&self) -> bool {
        let Some(agent) = self.user_agent.map(str::trim).filter(|agent| !agent.is_empty()) else { return true };
        let agent = agent.to_ascii_lowercase();
        if agent.contains("googleimageproxy") || agent.contains("yahoomailproxy") {
            return self.announced;
        }
        self.announced || agent == "mozilla/5.0" || MACHINES.iter().any(|machine| agent.contains(machine))
    }
}

impl Mailing {
    /// Whether a visit at `now` comes too soon after the delivery to be a person's.
    fn too_soon(&self, now: Timestamp) -> bool {
        let soon_after = |at: Timestamp| now.millis_since(at) < TOO_SOON;
        match &self.doubt {
            Some(doubt) => soon_after(doubt.since),
            None => self.state == State::Delivering || self.delivered_at.is_some_and(soon_after),
        }
    }

    /// Counts an open; `false` if it is none. Moves the state as the table allows.
    pub fn opened(&mut self, visit: &Visit<'_>, now: Timestamp) -> bool {
        if !self.track_opens || visit.is_a_machine() || self.too_soon(now) {
            return false;
        }
        self.came_back(now);
        self.open_count = self.open_count.saturating_add(1);
        self.opened_at = Some(now);
        self.updated_at = now;
        self.apply(Trigger::Open, now);
        true
    }

    /// Counts a click; `false` if it is none.
    pub fn clicked(&mut self, visit: &Visit<'_>, now: Timestamp) -> bool {
        if !self.track_links || visit.is_a_machine() || self.too_soon(now) {
            return false;
        }
        self.came_back(now);
        self.click_count = self.click_count.saturating_add(1);
        self.clicked_at = Some(now);
        self.updated_at = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(agent: &str) -> Visit<'_> {
        Visit { user_agent: Some(agent), announced: false }
    }

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const GMAIL: &str = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";

    #[test]
    fn people_and_the_proxies_they_read_through_are_told_from_machines() {
        for agent in [FIREFOX, GMAIL, "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328)"] {
            assert!(!visit(agent).is_a_machine(), "{agent}");
        }
        for agent in
            ["", "Mozilla/5.0", "curl/8.1", "Slackbot-LinkExpanding 1.0", "Mozilla/5.0 (compatible; Barracuda)"]
        {
            assert!(visit(agent).is_a_machine(), "{agent}");
        }
        assert!(Visit::default().is_a_machine());
        assert!(Visit { announced: true, ..visit(FIREFOX) }.is_a_machine());
    }

    fn mailing(state: &str, delivered_at: Option<&str>) -> Mailing {
        let mut mailing = serde_json::json!({
            "id": 1, "mailbox_id": 1, "user_id": 1, "mailbox_address": "a@b.example", "created_at": "2026-01-01",
            "updated_at": "2026-01-01", "state_changed_at": "2026-01-01", "scheduled_at": null, "due": null,
            "mailing_type": "single", "message_id": "x@b.example", "recipients": [],
            "track_opens": true, "track_links": true,
        });
        mailing["state"] = state.into();
        mailing["delivered_at"] = delivered_at.into();
        serde_json::from_value(mailing).unwrap()
    }

    #[test]
    fn nobody_reads_a_mail_before_it_is_there_or_within_two_seconds() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let delivered = Some("2026-01-01T12:00:00Z");
        for (state, delivered_at, now, counts) in [
            ("delivering", None, "2026-01-01T12:00:00Z", false),
            ("delivered", delivered, "2026-01-01T12:00:01.999Z", false),
            ("delivered", delivered, "2026-01-01T12:00:02Z", true),
            // A reply to the final dot that never came: it was delivered all the same.
            ("failed", None, "2026-01-01T12:00:00Z", true),
        ] {
            let mut mailing = mailing(state, delivered_at);
            assert_eq!(mailing.opened(&visit(FIREFOX), at(now)), counts, "{state} {now}");
            assert_eq!(mailing.clicked(&visit(FIREFOX), at(now)), counts, "{state} {now}");
            assert_eq!((mailing.open_count, mailing.click_count), (u64::from(counts), u64::from(counts)));
            let state = if counts && state == "delivered" { "opened" } else { state };
            assert_eq!(mailing.state.name(), state);
        }
    }

    #[test]
    fn what_is_not_tracked_is_not_counted_and_a_reply_is_never_undone() {
        let later = Timestamp::parse("2026-01-02").unwrap();
        let mut plain = Mailing { track_opens: false, track_links: false, ..mailing("delivered", Some("2026-01-01")) };
        assert!(!plain.opened(&visit(FIREFOX), later) && !plain.clicked(&visit(FIREFOX), later));
        let mut replied = mailing("replied", Some("2026-01-01"));
        assert!(replied.opened(&visit(GMAIL), later));
        assert_eq!(replied.state, State::Replied);
    }

    #[test]
    fn the_times_are_those_of_the_latest_open_and_click() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let mut mailing = mailing("delivered", Some("2026-01-01"));
        for (number, time) in ["2026-01-02", "2026-01-03"].into_iter().enumerate() {
            assert!(mailing.opened(&visit(FIREFOX), at(time)) && mailing.clicked(&visit(FIREFOX), at(time)));
            assert_eq!((mailing.opened_at, mailing.clicked_at), (Some(at(time)), Some(at(time))));
            assert_eq!(
                (mailing.open_count, mailing.click_count, mailing.updated_at),
                (number as u64 + 1, number as u64 + 1, at(time))
            );
        }
        // What is none moves no time.
        assert!(!mailing.opened(&visit("curl/8.1"), at("2026-01-04")));
        assert!(!mailing.clicked(&visit("curl/8.1"), at("2026-01-04")));
        assert_eq!((mailing.opened_at, mailing.clicked_at), (Some(at("2026-01-03")), Some(at("2026-01-03"))));
    }
}
