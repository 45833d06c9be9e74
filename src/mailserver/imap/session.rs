use crate::mailserver::Shared;
use crate::mailserver::wire::Wire;
use std::io;
use std::sync::Arc;

/// One IMAP connection.
pub(in crate::mailserver) struct Session {
    shared: Arc<Shared>,
    wire: Wire,
}

impl Session {
    pub fn new(shared: Arc<Shared>, wire: Wire) -> Self {
        Self { shared, wire }
    }

    pub async fn run(mut self) -> io::Result<()> {
        self.wire.put(format!("* BYE {} speaks no IMAP yet\r\n", self.shared.options.hostname));
        self.wire.flush().await
    }
}
