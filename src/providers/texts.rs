//! What providers really mean by their refusals: a better kind and an advice for what the codes alone do not say.

use super::hint::wait_asked_for;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};

/// One way to say something.
struct Known {
    /// Lower-case texts; one of them stands in the server's line.
    texts: &'static [&'static str],
    kind: FailureKind,
    advice: &'static str,
}

impl Known {
    /// What is said of a log-in means nothing in the mouth of a server that refuses a recipient.
    fn may_apply_at(&self, stage: Stage) -> bool {
        self.kind != FailureKind::Auth || stage <= Stage::MailFrom
    }
}

/// Makes a failure more exact where the server's line is one that is known. A failure in doubt stays in doubt, and so
/// does what a server did not say.
#[must_use]
pub fn refined(mut failure: Failure) -> Failure {
    let Some(line) = &failure.server else { return failure };
    if failure.kind == FailureKind::Doubt {
        return failure;
    }
    if failure.kind == FailureKind::Temporary && failure.retry_after.is_none() {
        failure.retry_after = wait_asked_for(line).map(|wait| wait.as_secs());
    }
    let line = line.to_lowercase();
    let known = KNOWN
        .iter()
        .find(|known| known.may_apply_at(failure.stage) && known.texts.iter().any(|text| says(&line, text)));
    if let Some(known) = known {
        failure.kind = known.kind;
        failure.advice = Some(known.advice.to_owned());
        if known.kind != FailureKind::Temporary {
            failure.scope = Scope::Mailbox;
        }
    }
    failure
}

/// Whether a line has a text in it. A code is one only where no further digits belong to it: rejections quote addresses
/// such as 85.4.5.9.
fn says(line: &str, text: &str) -> bool {
    let (begins, ends) = (text.starts_with(|c: char| c.is_ascii_digit()), text.ends_with(|c: char| c.is_ascii_digit()));
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let mut after = line[at + text.len()..].chars();
        let next = after.next();
        let goes_on = next.is_some_and(|next| next.is_ascii_digit())
            || (next == Some('.') && after.next().is_some_and(|digit| digit.is_ascii_digit()));
        let came_from = before.is_some_and(|before| before.is_ascii_digit() || before == '.');
        !((begins && came_from) || (ends && goes_on))
    })
}

/// Whether a server refused because it has too much to do, with our connections or others': one less may help.
pub fn wants_fewer_connections(failure: &Failure) -> bool {
    failure.kind == FailureKind::Temporary && matches!(failure.advice.as_deref(), Some(TOO_MANY | BUSY))
}

const MICROSOFT_BASIC: &str = "Microsoft has switched log-ins by password off for this mailbox or its organisation. An administrator can allow SMTP AUTH for the mailbox as long as Microsoft still offers it; otherwise sign in with an OAuth grant.";
const GOOGLE_APP_PASSWORD: &str = "Google accepts no ordinary password here: switch 2-Step Verification on, create an app password at myaccount.google.com/apppasswords, and use that.";
const YAHOO_APP_PASSWORD: &str =
    "Yahoo and AOL accept only app passwords here: create one in the account's security settings and use that.";
const APPLE_APP_PASSWORD: &str =
    "iCloud accepts only app-specific passwords here: create one at account.apple.com and use that.";
const APP_PASSWORD: &str =
    "The provider accepts only app passwords here: create one in the account's security settings and use that.";
const SWITCHED_OFF: &str = "The provider has switched this protocol off for the account: switch IMAP access on in its mail settings, then try again.";
const DAY_LIMIT: &str = "The provider's own sending limit is reached; it lifts by itself, usually within 24 hours. Lower maxMailingsPerDay.";
const HOUR_LIMIT: &str = "The provider's limit per hour is reached; it lifts by itself within an hour or two. Set sendThreshold and sendPeriod below it.";
const TOO_MANY: &str =
    "Too many connections or log-ins in a short time; other mail programs of the same account count as well.";

const BUSY: &str = "The server has a problem of its own, or too much to do; it is tried again.";

/// The first that matches wins, so the more telling texts stand first. Where no page is named, the texts are what the
/// providers' servers answered, as quoted in their own help pages or in public trouble reports.
const KNOWN: &[Known] = &[
    // Microsoft 365.
    auth(
        &["5.7.139", "5.7.30 ", "basic authentication is disabled", "basic authentication is not supported"],
        MICROSOFT_BASIC,
    ),
    auth(&["smtpclientauthentication is disabled", "basicauthblocked"], MICROSOFT_BASIC),
    auth(&["client was not authenticated to send"], "The server wants a log-in: set username and password."),
    quota(&["5.7.233", "5.1.90", "submissionquotaexceeded"], DAY_LIMIT),
    temporary(&["concurrent connections limit exceeded"], TOO_MANY),
    config(
        &["sendasdenied", "5.7.60"],
        "The account may not send as this address: use the account's own address, or have its administrator allow it.",
    ),
    // Google.
    auth(&["application-specific password required", "invalidsecondfactor"], GOOGLE_APP_PASSWORD),
    auth(
        &["log in via your web browser", "web login required", "webloginrequired"],
        "Google wants to see a person first: sign in once with a web browser, then try again.",
    ),
    auth(&["username and password not accepted"], GOOGLE_APP_PASSWORD),
    config(&["not enabled for imap use", "imap access is disabled"], SWITCHED_OFF),
    quota(&["daily user sending quota", "daily user sending limit", "daily sending quota", "5.4.5"], DAY_LIMIT),
    temporary(
        &["exceeded command or bandwidth limits"],
        "The provider's transfer limit is reached; it lifts by itself, usually within 24 hours.",
    ),
    temporary(&["too many simultaneous connections", "too many login attempts"], TOO_MANY),
    // Yahoo and AOL.
    auth(&["#authenticationfailure", "#mail-signon", "please generate an app password"], YAHOO_APP_PASSWORD),
    quota(&["exceeded your daily sending limit", "[sl01]"], DAY_LIMIT),
    // Amazon SES (docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html): 454 for both.
    quota(&["daily message quota exceeded"], DAY_LIMIT),
    temporary(
        &["maximum sending rate exceeded"],
        "The provider takes fewer mailings per second; set sendThreshold and sendPeriod to what the account may send.",
    ),
    // cPanel's Exim (forums.cpanel.net/threads/697029, docs.cpanel.net "Max hourly emails"): 550 for a limit of the domain.
    quota(&["exceeded the max emails per hour", "exceeded the max defers and failures per hour"], HOUR_LIMIT),
    // iCloud.
    auth(&["app-specific password"], APPLE_APP_PASSWORD),
    // Any server.
    auth(&["app password", "application password"], APP_PASSWORD),
    config(&["you are yet to enable imap", "enable imap", "imap is disabled"], SWITCHED_OFF),
    quota(&["daily sending limit", "daily message limit", "hourly sending limit", "sending quota exceeded"], DAY_LIMIT),
    // IMAP response codes (RFC 5530).
    auth(
        &["[authenticationfailed]", "[authorizationfailed]", "[expired]"],
        "Check the user name and the password; many providers want an app password instead of the account's own.",
    ),
    config(&["[privacyrequired]"], "The server takes log-ins over TLS only: set imapSsl to true."),
    config(&["[contactadmin]"], "Ask the mail server's administrator."),
    // Dovecot (mail_max_userip_connections), Courier (MAXPERIP), Cyrus and others, with or without a code.
    temporary(
        &[
            "[limit]",
            "maximum number of connections",
            "maximum connection limit",
            "too many connections",
            "too many open connections",
        ],
        TOO_MANY,
    ),
    temporary(&["[unavailable]", "[inuse]"], BUSY),
    temporary(&["[serverbug]"], "The server has a problem of its own; it is tried again."),
];

const fn auth(texts: &'static [&'static str], advice: &'static str) -> Known {
    Known { texts, kind: FailureKind::Auth, advice }
}

const fn quota(texts: &'static [&'static str], advice: &'static str) -> Known {
    Known { texts, kind: FailureKind::Quota, advice }
}

const fn config(texts: &'static [&'static str], advice: &'static str) -> Known {
    Known { texts, kind: FailureKind::Config, advice }
}

const fn temporary(texts: &'static [&'static str], advice: &'static str) -> Known {
    Known { texts, kind: FailureKind::Temporary, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refine(stage: Stage, kind: FailureKind, line: &str) -> Failure {
        refined(Failure::new(kind, Scope::Host, stage, "The server refused.").server(line))
    }

    #[test]
    fn known_texts_get_their_kind_and_an_advice_of_their_own() {
        use FailureKind::{Auth, Config, Permanent, Quota, Temporary};
        use Stage::{Authentication, FinalDot, MailFrom, RcptTo, Select};
        for (stage, before, line, kind, advice) in [
            (
                Authentication,
                Permanent,
                "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                Auth,
                "Microsoft",
            ),
            (
                Authentication,
                Permanent,
                "5.7.30 Basic authentication is not supported for Client Submission.",
                Auth,
                "Microsoft",
            ),
            (
                Authentication,
                Auth,
                "5.7.8 Username and Password not accepted. For more information, go to",
                Auth,
                "apppasswords",
            ),
            (
                Authentication,
                Auth,
                "5.7.9 Application-specific password required. For more information, go to",
                Auth,
                "apppasswords",
            ),
            (
                Authentication,
                Temporary,
                "[ALERT] Application-specific password required: https://support.google.com/",
                Auth,
                "apppasswords",
            ),
            (Authentication, Temporary, "[WEBALERT] Web login required.", Auth, "web browser"),
            (
                Authentication,
                Auth,
                "[ALERT] Your account is not enabled for IMAP use. Please visit",
                Config,
                "IMAP access",
            ),
            (Authentication, Auth, "5.7.0 (#AUTH005) Too many bad auth attempts. #MAIL-SIGNON", Auth, "Yahoo"),
            (Authentication, Auth, "[AUTHENTICATIONFAILED] LOGIN Invalid credentials", Auth, "user name"),
            (Authentication, Temporary, "[UNAVAILABLE] Temporary authentication failure.", Temporary, "its own"),
            (Authentication, Permanent, "[LIMIT] Too many sessions", Temporary, "other mail programs"),
            (Authentication, Auth, "[PRIVACYREQUIRED] Plaintext authentication disallowed", Config, "imapSsl"),
            (MailFrom, Permanent, "5.4.5 Daily user sending limit exceeded.", Quota, "maxMailingsPerDay"),
            (FinalDot, Temporary, "Throttling failure: Daily message quota exceeded.", Quota, "maxMailingsPerDay"),
            (FinalDot, Temporary, "Throttling failure: Maximum sending rate exceeded.", Temporary, "sendThreshold"),
            (
                FinalDot,
                Permanent,
                "Domain example.com has exceeded the max emails per hour (3/2 (150%)) allowed. Message discarded.",
                Quota,
                "sendThreshold",
            ),
            (FinalDot, Permanent, "5.4.5 Daily user sending quota exceeded.", Quota, "maxMailingsPerDay"),
            (
                RcptTo,
                Permanent,
                "5.7.233 Your tenant has exceeded its external recipient rate limit",
                Quota,
                "24 hours",
            ),
            (
                FinalDot,
                Permanent,
                "5.2.252 SendAsDenied; ann@example.com not allowed to send as bob@example.com",
                Config,
                "may not send as",
            ),
            (
                Select,
                Temporary,
                "[OVERQUOTA] Account exceeded command or bandwidth limits.",
                Temporary,
                "transfer limit",
            ),
        ] {
            let failure = refine(stage, before, line);
            assert_eq!(failure.kind, kind, "{line}");
            assert!(failure.advice.as_deref().is_some_and(|text| text.contains(advice)), "{line}: {failure:?}");
        }
    }

    #[test]
    fn a_server_that_has_too_much_to_do_is_told_apart_from_one_that_refuses() {
        for line in [
            "[LIMIT] Rate limit hit",
            "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
            "[ALERT] Too many simultaneous connections. (Failure)",
            "Too many connections from your IP",
            "[UNAVAILABLE] Temporary authentication failure.",
            "[INUSE] Mailbox in use",
        ] {
            assert!(wants_fewer_connections(&refine(Stage::Authentication, FailureKind::Auth, line)), "{line}");
        }
        for line in ["[SERVERBUG] This should not happen", "[AUTHENTICATIONFAILED] no", "no"] {
            assert!(!wants_fewer_connections(&refine(Stage::Authentication, FailureKind::Auth, line)), "{line}");
        }
    }

    #[test]
    fn unknown_texts_doubt_and_recipients_are_left_alone() {
        for (stage, kind, line) in [
            (Stage::Authentication, FailureKind::Auth, "5.7.8 no"),
            (Stage::FinalDot, FailureKind::Doubt, "5.4.5 Daily user sending quota exceeded."),
            (Stage::RcptTo, FailureKind::Permanent, "5.1.1 the user app password does not exist"),
        ] {
            let failure = refine(stage, kind, line);
            assert_eq!((failure.kind, failure.scope, failure.advice), (kind, Scope::Host, None), "{line}");
        }
        let silent = Failure::temporary(Stage::Tcp, "Nobody answered.");
        assert_eq!(refined(silent.clone()), silent);
    }

    #[test]
    fn an_address_in_a_rejection_is_no_code() {
        assert!(says("550 5.4.5 daily sending quota", "5.4.5") && says("see 5.4.5.", "5.4.5"));
        for line in ["554 85.4.5.9 is blocked", "554 [5.4.5.9] is blocked", "554 1.5.4.5 is blocked", "554 5.4.51"] {
            assert!(!says(line, "5.4.5"), "{line}");
        }
    }
}
