//! The mailing resource, declared once.

use crate::domain::resource::{Attribute as A, Form, Preset, Relationship as R, Resource};

/// Every state of a mailing, as the wire names them.
pub const STATES: &[&str] = &[
    "bounced",
    "delivered",
    "delivering",
    "drafted",
    "failed",
    "opened",
    "placeholder",
    "queued",
    "replied",
    "scheduled",
];

/// How many recipients a mailing may have, over all three kinds.
pub const RECIPIENTS: usize = 500;

/// What only a CRM itself can say of a mailing.
const NONE_HERE: &str = "Always null here; a CRM fills it in.";

pub static RESOURCE: Resource = Resource {
    name: "mailing",
    plural: "mailings",
    attributes: &[
        A::structure(
            "attempts",
            "What was tried: time, stage, code, enhanced code, the server's text; the most recent 20.",
        ),
        A::texts("bcc", RECIPIENTS, 998, "Blind copies: addresses, or `Name <address>`. Never on the wire."),
        A::long_text("bodyHtml", "The HTML body."),
        A::long_text("bodyText", "The text body; derived from the HTML where absent."),
        A::time("bouncedAt", "When a bounce report came.").read_only().listed(),
        A::texts("cc", RECIPIENTS, 998, "Copies: addresses, or `Name <address>`."),
        A::number("clickCount", "Clicks on tracked links.").read_only(),
        A::time("clickedAt", "The most recent click.").read_only().listed(),
        A::time("createdAt", "When the mailing was created.").read_only().listed(),
        A::text("delayReason", 1024, "Why the mailing waits, in a sentence.").read_only(),
        A::time("nextAttemptAt", "When it is tried next, at the earliest; null while nobody can know.").read_only(),
        A::time("deliveredAt", "When the first recipient was accepted.").read_only().listed(),
        A::long_text("errorBacktrace", "Always null here.").read_only(),
        A::text("errorReason", 255, "Why the mailing failed, in a sentence.").read_only(),
        A::text("fromAlias", 255, "The alias of the mailbox that it is sent from, in From and in the envelope.")
            .form(Form::Email),
        A::time("followUpTaskScheduledAt", "Kept as given."),
        A::text("followUpTaskType", 255, "Kept as given."),
        A::object("headers", "Further header fields by name, as far as they are allowed: X-…, List-Id and the like."),
        A::reference("inReplyTo", "What it answers: a Message-ID, or a message or mailing as {\"type\", \"id\"}.")
            .form(Form::Line),
        A::boolean(
            "includeUnsubscribeLink",
            "Whether it tells its one recipient how to opt out, as mailings of type sequence and campaign always do.",
        )
        .preset(Preset::Boolean(false)),
        A::long_text("mailboxAddress", "The address of the mailbox when the mailing was created.").read_only(),
        A::text("mailingType", 255, "sequence, single or campaign.")
            .form(Form::OneOf(&["sequence", "single", "campaign"]))
            .listed()
            .preset(Preset::Text("single")),
        A::time("markedAsSpamAt", "When a complaint came.").read_only(),
        A::text("messageId", 255, "The Message-ID, with angle brackets; it never changes.").read_only().listed(),
        A::text("notifyThreadCondition", 255, "Always null here.").read_only(),
        A::time("notifyThreadScheduledAt", "Always null here.").read_only().listed(),
        A::text("notifyThreadStatus", 255, "Always null here.").read_only().listed(),
        A::number("openCount", "Opens of the mailing.").read_only(),
        A::time("openedAt", "The most recent open.").read_only().listed(),
        A::boolean("overrideSafetySettings", "Always false here.").read_only(),
        A::structure(
            "recipientOutcomes",
            "Each recipient with kind, address, state (waiting, accepted, failed), time and the server's answer.",
        ),
        A::structure("references", "The Message-IDs of the thread above this mailing."),
        A::time("repliedAt", "When a reply came.").read_only().listed(),
        A::text("replyTo", 998, "Where replies go: an address, or `Name <address>`.").form(Form::Line),
        A::time("retryAt", "When the next try is due after a failure.").read_only().listed(),
        A::number("retryCount", "Tries after the first.").read_only(),
        A::number("retryInterval", "Seconds between the last failure and the next try.").read_only(),
        A::time("scheduledAt", "Not before this time; null is at once.").listed(),
        A::number("size", "The size of the composed message in octets.").read_only(),
        A::text(
            "state",
            255,
            "drafted, placeholder, scheduled, queued, delivering, delivered, opened, replied, bounced or failed.",
        )
        .form(Form::OneOf(STATES))
        .listed(),
        A::time("stateChangedAt", "When the state last changed.").read_only().listed(),
        A::long_text("subject", "The subject; one line.").form(Form::Line),
        A::texts("to", RECIPIENTS, 998, "Recipients: addresses, or `Name <address>`."),
        A::boolean("trackLinks", "Whether links are tracked.").preset(Preset::Boolean(false)),
        A::boolean("trackOpens", "Whether opens are tracked.").preset(Preset::Boolean(false)),
        A::time("unsubscribedAt", "When a recipient opted out through this mailing.").read_only().listed(),
        A::time("updatedAt", "When the mailing last changed.").read_only().listed(),
        A::object(
            "variables",
            "Fills in {{name}} in subject, bodyHtml and bodyText; without it these stay as they are.",
        ),
    ],
    relationships: &[
        R::many("attachments", "attachment", "mailing", "Files that go with it, uploaded before.")
            .writable()
            .filterable(),
        R::one("bccEntitiesId", "entity", NONE_HERE).filterable(),
        R::one("calendar", "calendar", NONE_HERE).filterable(),
        R::one("ccEntitiesId", "entity", NONE_HERE).filterable(),
        R::one("followUpSequence", "sequence", "Kept for a CRM.").writable().filterable(),
        R::one("mailbox", "mailbox", "The mailbox that sends it.").writable().filterable(),
        R::one("opportunity", "opportunity", NONE_HERE).filterable(),
        R::one("prospect", "prospect", "Kept for a CRM.").writable().filterable(),
        R::one("prospectsIds", "prospect", NONE_HERE).filterable(),
        R::many("recipients", "recipient", "mailing", "Everybody in to, cc and bcc.").writable(),
        R::one("schedule", "schedule", "Kept for a CRM.").writable().filterable(),
        R::one("sequence", "sequence", NONE_HERE).filterable(),
        R::one("sequenceState", "sequenceState", NONE_HERE).filterable(),
        R::one("sequenceStep", "sequenceStep", NONE_HERE).filterable(),
        R::one("task", "task", "Kept for a CRM.").writable().filterable(),
        R::empty("tasks", "task", "Always empty here."),
        R::one("template", "template", "Kept for a CRM.").writable().filterable(),
        R::one("toEntitiesId", "entity", NONE_HERE).filterable(),
        R::one("user", "user", "Who created it.").filterable(),
    ],
    tolerated: &[],
};
