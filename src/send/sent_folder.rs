//! The sent folder of one mailbox, for as long as there is something to ask it: a session that is opened when it is
//! first needed, on threads that may block.

use super::Parts;
use crate::connect::caps::Permit;
use crate::connect::credential::Draft;
use crate::connect::imap::{ImapLimits, ImapSession, sent_folder};
use crate::domain::failure::{Failure, FailureKind, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::stages::Stages;
use std::time::{Duration, Instant};

/// How long one visit may take, over all its errands.
const VISIT: Duration = Duration::from_mins(5);

/// How long a visit waits for a place among the connections of its mailbox's server.
const CROWDED: Duration = Duration::from_secs(30);

/// Whether a failure says that there is no sent folder, and not only that it cannot be reached at the moment: a
/// certificate that ran out or a name that is not found may be put right within the hour.
pub(super) fn is_nowhere(failure: &Failure) -> bool {
    failure.kind == FailureKind::Config && matches!(failure.stage, Stage::Settings | Stage::FolderList | Stage::Fetch)
}

pub(super) struct SentFolder {
    mailbox: Option<Mailbox>,
    state: State,
}

enum State {
    NotYet,
    Open(Box<Opened>),
    /// One failure is enough for a visit: a server in trouble is not asked again for every errand.
    Failed(Failure),
}

struct Opened {
    session: ImapSession,
    folder: String,
    _place: Permit,
}

impl SentFolder {
    /// `None`: the mailbox is gone.
    pub fn of(mailbox: Option<Mailbox>) -> Self {
        Self { mailbox, state: State::NotYet }
    }

    pub fn mailbox(&self) -> Option<&Mailbox> {
        self.mailbox.as_ref()
    }

    /// Whether the folder has the message with this Message-ID.
    pub async fn has(&mut self, parts: &Parts, message_id: &str) -> Result<bool, Failure> {
        let message_id = message_id.to_owned();
        self.run(parts, move |opened| opened.session.has_message(&message_id)).await
    }

    /// Files a message. Unless the server plainly refused, it may be there even if this fails.
    pub async fn append(&mut self, parts: &Parts, message: Vec<u8>) -> Result<(), Failure> {
        self.run(parts, move |opened| opened.session.append(&opened.folder, &message)).await
    }

    pub async fn close(self) {
        if let State::Open(opened) = self.state {
            // Nothing depends on the answer.
            let _ = tokio::task::spawn_blocking(move || opened.session.logout()).await;
        }
    }

    async fn run<T: Send + 'static>(
        &mut self,
        parts: &Parts,
        command: impl FnOnce(&mut Opened) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let opened = match std::mem::replace(&mut self.state, State::NotYet) {
            State::Open(opened) => Ok(opened),
            State::NotYet => self.open(parts).await,
            State::Failed(failure) => Err(failure),
        };
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                self.state = State::Failed(failure.clone());
                return Err(failure);
            }
        };
        let ran = parts.tasks.spawn_blocking(move || {
            let result = command(&mut opened);
            (opened, result)
        });
        match ran.await {
            Ok((opened, result)) => {
                self.state = match &result {
                    Err(failure) if !opened.session.is_usable() => State::Failed(failure.clone()),
                    _ => State::Open(opened),
                };
                result
            }
            Err(error) => {
                let failure = Failure::temporary(Stage::Fetch, format!("The sent folder could not be asked: {error}."));
                self.state = State::Failed(failure.clone());
                Err(failure)
            }
        }
    }

    async fn open(&self, parts: &Parts) -> Result<Box<Opened>, Failure> {
        let Some(mailbox) = self.mailbox.clone() else {
            return Err(Failure::config(Stage::Settings, "The mailbox was deleted."));
        };
        let connector = parts.connector.clone();
        let login = connector.login(&mailbox)?;
        let now = parts.store.moment().steady;
        let Some(place) = connector.caps().enter_within(&login, now, CROWDED).await else {
            return Err(Failure::temporary(
                Stage::Settings,
                format!("All connections that {} may have are in use.", login.host.0),
            ));
        };
        let limits = ImapLimits {
            command: Duration::from_mins(1),
            deadline: Some(Instant::now() + VISIT),
            cancel: parts.tasks.stopping(),
            ..ImapLimits::default()
        };
        let opening = parts.tasks.spawn_blocking(move || {
            let (mut session, inbox) = connector.open_imap(&Draft::stored(&mailbox), &mut Stages::new(), limits)?;
            let folders = session.folders()?;
            let Some(folder) = sent_folder(&inbox, &folders).map(|folder| folder.name.clone()) else {
                session.logout();
                return Err(Failure::config(Stage::FolderList, "The mailbox has no sent folder."));
            };
            session.examine(&folder)?;
            Ok(Box::new(Opened { session, folder, _place: place }))
        });
        opening.await.unwrap_or_else(|error| {
            Err(Failure::temporary(Stage::FolderList, format!("The sent folder could not be opened: {error}.")))
        })
    }
}
