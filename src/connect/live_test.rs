//! The staged live tests: does a mailbox send, does it sync, and if not, what is to blame.

use super::caps::Login;
use super::credential::Draft;
use super::imap::{ImapLimits, ImapSession};
use super::smtp::{EnvelopeOptions, Timeouts};
use super::{Connector, effective::EffectiveSettings};
use crate::domain::address::Address;
use crate::domain::failure::{Failure, FailureKind, Stage};
use crate::domain::mailbox::Side;
use crate::domain::stages::Stages;
use crate::providers::texts::refined;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a whole test may take: somebody is waiting.
const BUDGET: Duration = Duration::from_secs(30);

/// How long one step may take.
const STEP: Duration = Duration::from_secs(10);

impl Connector {
    /// Goes through a session of one side without leaving a trace: nothing is sent, no folder is changed. Returns what
    /// was passed, and the failure that ended it.
    pub async fn live_test(&self, side: Side, draft: &Draft<'_>) -> (Stages, Result<(), Failure>) {
        let mut stages = Stages::new();
        let result = match side {
            Side::Send => match tokio::time::timeout(BUDGET, self.test_send(draft, &mut stages)).await {
                Ok(result) => result,
                Err(_) => Err(over_time(&stages)),
            },
            Side::Sync => self.test_sync(draft, &mut stages).await,
        };
        if let Err(failure) = &result
            && stages.reports().last().is_none_or(|report| report.ok)
        {
            let line = failure.server.as_ref().unwrap_or(&failure.sentence);
            stages.failed(failure.stage, Duration::ZERO, line);
        }
        (stages, result)
    }

    async fn test_send(&self, draft: &Draft<'_>, stages: &mut Stages) -> Result<(), Failure> {
        let email = &draft.mailbox().settings.email;
        let (address, smtputf8) = Address::parse(email)
            .map_or_else(|_| (email.clone(), false), |address| (address.ascii(), address.needs_smtputf8()));
        let mut session = self.open_smtp_within(draft, Timeouts::all(STEP), stages).await?;
        let options = EnvelopeOptions { smtputf8, ..EnvelopeOptions::default() };
        let begun = Instant::now();
        let recipients = [address.clone()];
        let fates = session.envelope(&address, &recipients, options).await.map_err(refined)?;
        stages.passed(Stage::MailFrom, begun.elapsed(), "");
        fates.into_iter().collect::<Result<(), Failure>>().map_err(refined)?;
        stages.passed(Stage::RcptTo, Duration::ZERO, "");
        let begun = Instant::now();
        session.reset().await?;
        stages.passed(Stage::Rset, begun.elapsed(), "");
        session.quit().await;
        Ok(())
    }

    async fn test_sync(&self, draft: &Draft<'_>, stages: &mut Stages) -> Result<(), Failure> {
        let settings = EffectiveSettings::of_draft(draft).sync?;
        let secret = draft.open(&self.vault, settings.secret)?;
        let network = self.network.clone();
        let _place = self.caps.enter_anyway(&Login::of(&settings));
        let cancel = CancellationToken::new();
        // Whoever stops waiting for the test ends it.
        let _ends_the_session = cancel.clone().drop_guard();
        let limits =
            ImapLimits { connect: STEP, step: STEP, command: STEP, deadline: Some(Instant::now() + BUDGET), cancel };
        let blocking = tokio::task::spawn_blocking(move || {
            let mut stages = Stages::new();
            let result = ImapSession::open(&network, &settings, &secret, &mut stages, limits)
                .and_then(|session| look_around(session, &settings.inbox, &mut stages));
            (stages, result)
        });
        match blocking.await {
            Ok((passed, result)) => {
                *stages = passed;
                result
            }
            Err(_) => Err(Failure::temporary(Stage::Settings, "The test was interrupted. Try again.")),
        }
    }
}

/// Lists the folders and opens the inbox.
fn look_around(mut session: ImapSession, inbox: &str, stages: &mut Stages) -> Result<(), Failure> {
    let begun = Instant::now();
    let folders = session.folders()?;
    stages.passed(Stage::FolderList, begun.elapsed(), format!("{} folders", folders.len()));
    let begun = Instant::now();
    let state = session.examine(inbox)?;
    if state.uid_validity.is_none() {
        return Err(no_lasting_numbers(session.host()));
    }
    stages.passed(Stage::Select, begun.elapsed(), format!("{inbox}: {} messages", state.exists));
    session.logout();
    Ok(())
}

/// A server whose messages cannot be told apart from one session to the next.
pub fn no_lasting_numbers(host: &str) -> Failure {
    Failure::config(Stage::Select, format!("{host} gives its messages no lasting numbers (no UIDVALIDITY)."))
        .advice("Such a server cannot be synced; ask its administrator.")
}

fn over_time(stages: &Stages) -> Failure {
    let stage = stages.reports().last().map_or(Stage::Dns, |report| report.stage);
    Failure::temporary(
        stage,
        format!("The test took longer than {} s; it came as far as {}.", BUDGET.as_secs(), stage.name()),
    )
}

/// The attribute that a person has to look at after a failure of one side.
pub fn blame(failure: &Failure, side: Side) -> &'static str {
    let [host, port, ssl] = match side {
        Side::Send => ["smtpHost", "smtpPort", "smtpSsl"],
        Side::Sync => ["imapHost", "imapPort", "imapSsl"],
    };
    let advice = failure.advice.as_deref().unwrap_or_default();
    match failure.stage {
        // Failures of the settings themselves name what to set.
        Stage::Settings => {
            const NAMES: [&str; 8] = [
                "authId",
                "password",
                "smtpPassword",
                "sendMethod",
                "syncMethod",
                "smtpHost",
                "imapHost",
                "smtpUsername",
            ];
            words(advice).find_map(|word| NAMES.into_iter().find(|name| *name == word)).unwrap_or("email")
        }
        // Failures of the connection say "host" or "port", what is likelier first.
        Stage::Egress | Stage::Dns | Stage::Tcp | Stage::Tls | Stage::Greeting | Stage::Capabilities => {
            let word = words(advice).find(|word| word.starts_with("host") || word.to_lowercase().starts_with("port"));
            if word.is_some_and(|word| word.to_lowercase().starts_with("port")) { port } else { host }
        }
        Stage::StartTls => ssl,
        Stage::Authentication if words(advice).any(|word| word == ssl) => ssl,
        Stage::Authentication if failure.kind == FailureKind::Config => "username",
        Stage::Authentication => "password",
        Stage::MailFrom | Stage::RcptTo | Stage::Data | Stage::FinalDot | Stage::Rset => "email",
        Stage::FolderList | Stage::Select | Stage::Fetch | Stage::Append | Stage::Store => host,
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
#[path = "live_test_tests.rs"]
mod tests;
