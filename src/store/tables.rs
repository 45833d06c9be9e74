//! Every table of the file, in one place. All map octets to octets; `codec` says what the octets mean.

use redb::TableDefinition;

pub(super) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        $($(#[$doc])* pub(super) const $name: Table = TableDefinition::new($text);)+
        /// All of them, to be created with the file.
        pub(super) const ALL: &[Table] = &[$($name),+];
    };
}

tables! {
    /// Format, key check, and whatever there is one of.
    META = "meta";
    /// Name → the last id given out.
    COUNTERS = "counters";
    EVENTS = "events";
    USERS = "users";
    USERS_BY_EMAIL = "users.email";
    /// (user, key) → what a repeated create is answered with.
    IDEMPOTENCY = "idempotency";
    /// (moment, user, key): answers in the order in which they can be forgotten.
    IDEMPOTENCY_BY_TIME = "idempotency.at";
    TOKENS = "tokens";
    TOKENS_BY_USER = "tokens.user";
    /// SHA-256 of the token → id.
    TOKENS_BY_HASH = "tokens.hash";
    MAILBOXES = "mailboxes";
    MAILBOXES_BY_EMAIL = "mailboxes.email";
    MAILBOXES_BY_USER = "mailboxes.user";
    /// Mailbox → health.
    STATUSES = "statuses";
    /// Mailboxes whose messages are still being removed.
    DELETED_MAILBOXES = "mailboxes.deleted";
    MAILINGS = "mailings";
    MAILINGS_BY_MAILBOX = "mailings.mailbox";
    MAILINGS_BY_USER = "mailings.user";
    MAILINGS_BY_PROSPECT = "mailings.prospect";
    MAILINGS_BY_STATE = "mailings.state";
    MAILINGS_BY_MESSAGE_ID = "mailings.messageId";
    /// Mailing → what it says.
    CONTENTS = "mailings.content";
    RECIPIENTS = "recipients";
    RECIPIENTS_BY_MAILING = "recipients.mailing";
    /// (moment, recipient): those that no mailing names, in the order in which they can be forgotten.
    RECIPIENTS_LOOSE = "recipients.loose";
    ATTACHMENTS = "attachments";
    ATTACHMENTS_BY_USER = "attachments.user";
    /// (attachment, chunk) → compressed octets.
    ATTACHMENT_CHUNKS = "attachments.chunks";
    /// (attachment, mailing): who uses it.
    ATTACHMENT_USES = "attachments.uses";
    /// (moment, attachment): those that no mailing uses, in the order in which they can be forgotten.
    ATTACHMENTS_LOOSE = "attachments.loose";
    /// Attachment → since when no mailing uses it.
    ATTACHMENTS_LOOSE_SINCE = "attachments.looseSince";
    MAIL_ALIASES = "mailAliases";
    MAIL_ALIASES_BY_EMAIL = "mailAliases.email";
    MAIL_ALIASES_BY_MAILBOX = "mailAliases.mailbox";
    /// (mailbox, due, mailing): what waits, in the order in which it may go out.
    DUE = "mailings.due";
    /// (moment, mailing): when a sent folder is to be asked about a mailing, or given a copy of it.
    ERRANDS = "mailings.errands";
    /// (mailbox, mailing) → recipients: attempts under way, which count in every window of the sending limits.
    SLOTS_HELD = "slots.held";
    /// (mailbox, number) → when mail left and for how many recipients, in the order in which it left.
    SLOTS_SPENT = "slots.spent";
    /// (mailbox, moment, mailing): as slots were kept before; read once.
    SLOTS_BEFORE = "slots";
    /// (mailbox, date, message): messages of the last two days.
    TRAFFIC = "traffic";
    /// (mailbox, length of a bin, bin) → how many of them.
    TRAFFIC_COUNTS = "traffic.counts";
    MESSAGES = "messages";
    MESSAGES_BY_RECEIPT = "messages.receivedAt";
    MESSAGES_BY_MAILBOX = "messages.mailbox";
    MESSAGES_BY_MAILING = "messages.mailing";
    /// (mailbox, identity) → message: one record however many folders show it.
    MESSAGE_IDENTITIES = "messages.identity";
    /// (mailbox, folder, UIDVALIDITY, UID) → message.
    MESSAGE_PLACES = "messages.places";
    /// (message, folder, UIDVALIDITY, UID) → flags there, and the folder as people see it.
    PLACES_BY_MESSAGE = "messages.placesOf";
    /// (message, chunk) → compressed octets.
    RAW = "messages.raw";
    /// (mailbox, folder) → how far its sync has come.
    CURSORS = "cursors";
    SUPPRESSIONS = "suppressions";
    SUPPRESSIONS_BY_EMAIL = "suppressions.email";
    ORG_SETTINGS = "orgSettings";
    /// Key id → the sealed secret that public links are made with. None is ever removed.
    LINK_KEYS = "links.keys";
    /// (mailbox, number) → recipients: spent slots that were given back later, because the mail had not left.
    SLOTS_RETURNED = "slots.returned";
    /// All messages by the time of their receipt.
    MESSAGES_BY_TIME = "messages.time";
    /// Segment → how many messages it has words of.
    SEARCH_SEGMENTS = "search.segments";
    /// (segment, word, message) → a block of words from that one on, with their messages.
    SEARCH_BLOCKS = "search.blocks";
    THREADS = "threads";
    THREADS_BY_MAILBOX_TIME = "threads.lastMessageAt";
    THREADS_BY_TIME = "threads.time";
    /// (mailbox, hash of what ties messages together) → thread.
    THREAD_MARKS = "threads.marks";
    MESSAGES_BY_THREAD = "messages.thread";
}
