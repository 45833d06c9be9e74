//! The IMAP side: IMAP4rev1 (RFC 3501).

mod session;

pub(super) use session::Session;
