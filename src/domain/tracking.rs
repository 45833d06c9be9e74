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
        self.state == State::Delivering || self.delivered_at.is_some_and(|at| now.millis_since(at) < TOO_SOON)
    }

    /// Counts an open; `false` if it is none. Moves the state as the table allows.
    pub fn opened(&mut self, visit: &Visit<'_>, now: Timestamp) -> bool {
        if !self.track_opens || visit.is_a_machine() || self.too_soon(now) {
            return false;
        }
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
}
