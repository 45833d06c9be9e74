use super::header;
use super::parse::Fault;
use super::session::Session;
use crate::mailserver::folder::StoredMessage;

/// What Gmail adds to IMAP (X-GM-EXT-1), as far as it tells which messages are one, and which belong together.
impl Session {
    /// Refuses Gmail's items where the server is none.
    pub(super) fn speaks_of_gmail(&self) -> Result<(), Fault> {
        if self.shared.options.offers("X-GM-EXT-1") { Ok(()) } else { Err(Fault::Bad("Unknown item")) }
    }
}

/// X-GM-THRID: the same for messages whose References begin alike, and for the message that they begin with. Made of the
/// identifier and not looked up, so it is not the X-GM-MSGID of the first message, as it would be at Gmail.
pub(super) fn thread(message: &StoredMessage) -> u64 {
    let head = header::split(&message.raw).0;
    let first = |wanted: &str| {
        let mut named = header::fields(head).filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        named.find_map(|(_, field)| identifier(field))
    };
    let root = first("References").or_else(|| first("In-Reply-To")).or_else(|| first("Message-ID"));
    // A bit that is always set keeps it beyond what a float can hold, as Gmail's are.
    root.map_or(message.number, |root| (hash(root) >> 2) | (1 << 60))
}

/// What stands between the first brackets.
fn identifier(field: &[u8]) -> Option<&[u8]> {
    let from = field.iter().position(|&byte| byte == b'<')? + 1;
    let length = field[from..].iter().position(|&byte| byte == b'>')?;
    Some(&field[from..from + length]).filter(|identifier| !identifier.is_empty())
}

/// FNV-1a: the same in every run.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
