//! What went wrong in a session, as a failure that people and schedulers understand.

use super::screen::Refused;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::net::StreamStop;
use crate::providers::texts::refined;
use std::io;

/// The connection did not carry the session on.
pub(super) fn broken(stage: Stage, host: &str, error: &io::Error) -> Failure {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>());
    if let Some(refused) = refused {
        return Failure::temporary(stage, format!("{host} was not listened to any longer: {refused}."))
            .advice("The server may be broken, or not be an IMAP server.");
    }
    match StreamStop::of(error) {
        Some(StreamStop::Cancelled) => Failure::temporary(stage, format!("The session with {host} was stopped.")),
        Some(StreamStop::Idle) => late(stage, host),
        Some(StreamStop::Deadline) => {
            Failure::temporary(stage, format!("The session with {host} took longer than it may."))
        }
        Some(StreamStop::Budget) => Failure::temporary(
            stage,
            format!("{host} sent more than it was asked for, and was not listened to any longer."),
        )
        .advice("The server may be broken, or not be an IMAP server."),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                closed(stage, host)
            }
            _ => Failure::temporary(stage, format!("The connection to {host} failed: {error}.")),
        },
    }
}

pub(super) fn closed(stage: Stage, host: &str) -> Failure {
    Failure::temporary(stage, format!("{host} closed the connection."))
}

pub(super) fn late(stage: Stage, host: &str) -> Failure {
    Failure::temporary(stage, format!("{host} did not answer in time."))
}

/// The server said something that is not IMAP, or not an answer to what was asked.
pub(super) fn garbled(stage: Stage, host: &str) -> Failure {
    Failure::temporary(stage, format!("{host} ended the session with something that is not IMAP."))
        .advice("If it happens again, check that host and port belong to an IMAP server.")
}

/// The server ended the session by itself.
pub(super) fn dismissed(stage: Stage, host: &str, line: &str) -> Failure {
    refined(Failure::temporary(stage, format!("{host} ended the session.")).server(line))
}

/// The server answered a command with NO or BAD.
pub(super) fn refusal(stage: Stage, host: &str, line: &str) -> Failure {
    let failure = match stage {
        Stage::Authentication => Failure::new(
            FailureKind::Auth,
            Scope::Mailbox,
            stage,
            format!("{host} refused the user name or the password."),
        )
        .advice("Check username and password; many providers want an app password instead of the account's own."),
        Stage::Select => {
            Failure::new(FailureKind::Temporary, Scope::Mailbox, stage, format!("{host} did not open the folder."))
        }
        Stage::FolderList => {
            Failure::new(FailureKind::Temporary, Scope::Mailbox, stage, format!("{host} did not list the folders."))
        }
        Stage::Append => {
            Failure::new(FailureKind::Temporary, Scope::Mailbox, stage, format!("{host} did not file the message."))
        }
        _ => Failure::new(FailureKind::Temporary, Scope::Mailbox, stage, format!("{host} refused the request.")),
    };
    refined(failure.server(line))
}
