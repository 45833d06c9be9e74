//! The mailbox resource, declared once.

use crate::domain::resource::{Attribute as A, Form, Preset, Relationship as R, Resource};

/// Values of `emailProvider` that choose a preset; other strings are kept.
pub const PROVIDERS: &[&str] = &[
    "exchange_online",
    "exchange_server",
    "gmail",
    "gmail_api",
    "google_oauth2",
    "intermedia",
    "office365_oauth2",
    "microsoft_hma_oauth2",
    "office_365",
    "rackspace",
];

const EXCHANGE_VERSIONS: &[&str] = &[
    "Exchange2007",
    "Exchange2007_SP1",
    "Exchange2010",
    "Exchange2010_SP1",
    "Exchange2010_SP2",
    "Exchange2013",
    "Exchange2013_SP1",
];

const COUNT: i64 = 10_000_000;
const WEEK: i64 = 604_800;

pub static RESOURCE: Resource = Resource {
    name: "mailbox",
    plural: "mailboxes",
    attributes: &[
        A::number("authId", "The OAuth grant that this mailbox signs in with."),
        A::time("createdAt", "When the mailbox was created.").read_only().listed(),
        A::text("doubtPolicy", 255, "What happens to a mailing when nobody can tell whether it left: `resend` once with the same Message-ID, or `hold` and report.")
            .form(Form::OneOf(&["resend", "hold"]))
            .preset(Preset::Text("resend")),
        A::boolean("editable", "Whether the caller may edit this mailbox.").read_only(),
        A::text("email", 255, "The address of the mailbox; unique in the organisation.").form(Form::Email).required().listed(),
        A::text("emailHash", 255, "Lower-case hexadecimal MD5 of the trimmed, lower-cased address: a look-up key, not a security measure.").read_only(),
        A::text("emailProvider", 255, "The provider, which presets hosts and ports. Recommended: exchange_online, exchange_server, gmail, gmail_api, google_oauth2, intermedia, office365_oauth2, microsoft_hma_oauth2, office_365, rackspace. Other values are kept.")
            .form(Form::Line),
        A::text("emailSignature", 65_535, "HTML appended to every mailing, above quoted text."),
        A::number("emailsInDay", "Messages, in and out, that count towards `maxEmailsPerDay` now.").read_only(),
        A::text("ewsEndpoint", 255, "The URL of Exchange Web Services.").form(Form::Url),
        A::integer("ewsSslVerifyMode", 0, 4, "How the certificate of the EWS server is verified: 0 not at all, 1, 2 and 4 always.")
            .form(Form::OneOfNumbers(&[0, 1, 2, 4])),
        A::text("exchangeVersion", 255, "The version of the Exchange server; null negotiates.").form(Form::OneOf(EXCHANGE_VERSIONS)),
        A::text("imapHost", 255, "The IMAP server's host name or address.").form(Form::Host),
        A::integer("imapPort", 1, 65_535, "The IMAP server's port; null means 993."),
        A::boolean("imapSsl", "True: implicit TLS on 993, STARTTLS required on 143. False: STARTTLS where offered.").preset(Preset::Boolean(true)),
        A::structure("lastError", "The most recent failure that concerns the mailbox: side, stage, code, text, time."),
        A::integer("maxEmailsPerDay", 0, COUNT, "Sending stops while this many messages, in and out, fall into the rolling day; null for no limit."),
        A::integer("maxMailingsPerDay", 0, COUNT, "Mailings in any 24 hours; null for no limit, 0 sends nothing.").preset(Preset::Integer(500)),
        A::integer("maxMailingsPerWeek", 0, COUNT, "Mailings in any 7 days; null for no limit, 0 sends nothing.").preset(Preset::Integer(5000)),
        A::time("nextSendAt", "When the next waiting mailing can go out at the earliest.").read_only(),
        A::time("nextSyncAt", "When the next sync is due.").read_only(),
        A::text("optOutMessage", 512, "Plain text on the page where a recipient confirms an opt-out.")
            .preset(Preset::Text("To unsubscribe, click the button below. Thanks!")),
        A::text("optOutSignature", 512, "HTML below the signature where a mailing needs an unsubscribe link; `%unsubscribe_url%` is replaced.")
            .preset(Preset::Text("If you no longer want to receive these emails, <a href=\"%unsubscribe_url%\">click here</a>.")),
        A::text("password", 65_535, "The password of the mailbox; never readable.").secret().form(Form::Line),
        A::text("prospectEmailExclusions", 65_535, "Newline-delimited address patterns; a message whose correspondents all match is not stored."),
        A::number("providerId", "The id of the effective provider.").read_only(),
        A::text("providerType", 255, "The effective provider.").read_only(),
        A::text("saveSentCopy", 255, "Whether an accepted mailing is filed in the sent folder: `auto` where the server does not do so itself, `always`, `never`.")
            .form(Form::OneOf(&["auto", "always", "never"]))
            .preset(Preset::Text("auto")),
        A::boolean("sendDisabled", "Stops sending; what is queued waits.").preset(Preset::Boolean(false)),
        A::time("sendErroredAt", "The most recent send error of the mailbox.").read_only(),
        A::integer("sendMaxRetries", 0, 100, "How often a delivery that failed for the time being is tried again.").preset(Preset::Integer(10)),
        A::text("sendMethod", 255, "How mail is sent: smtp, sendgrid, ews or gmail_api; null follows from the other values.")
            .form(Form::OneOf(&["ews", "sendgrid", "smtp", "gmail_api"])),
        A::integer("sendPeriod", 1, WEEK, "The sliding window of `sendThreshold`, in seconds.").preset(Preset::Integer(60)),
        A::time("sendPermanentErrorAt", "When sending stopped for an error that does not go away by itself; null while it works.").read_only(),
        A::boolean("sendRequiresSync", "Sending waits until the inbox has been synced recently; null means so where sync is configured and enabled."),
        A::text("sendState", 255, "ok, paused, limited, erroring, authFailed, disabled or notConfigured.").read_only(),
        A::text("sendStateReason", 1024, "Why sending is in its state, in a sentence.").read_only(),
        A::time("sendSuccessAt", "The most recent acceptance of a mailing.").read_only(),
        A::integer("sendThreshold", 1, 1_000_000, "Mailings in any `sendPeriod` seconds; null for no limit.").preset(Preset::Integer(2)),
        A::text("sendgridApiKey", 65_535, "The API key of the SendGrid account; never readable.").secret().form(Form::Line),
        A::text("sendgridWebhookKey", 65_535, "The public key that verifies SendGrid's event webhook; never readable.").secret().form(Form::Line),
        A::long_text("sendgridWebhookUrl", "Where SendGrid is to post its events.").read_only(),
        A::number("sentInDay", "Mailings sent in the rolling 24 hours.").read_only(),
        A::number("sentInWeek", "Mailings sent in the rolling 7 days.").read_only(),
        A::text("smtpHost", 255, "The SMTP server's host name or address.").form(Form::Host),
        A::text("smtpPassword", 65_535, "The password of a separate SMTP account; never readable.").secret().form(Form::Line),
        A::integer("smtpPort", 1, 65_535, "The SMTP server's port; null means 587."),
        A::boolean("smtpSsl", "True: implicit TLS on 465, STARTTLS required on 587, 25 and 2525. False: STARTTLS where offered.").preset(Preset::Boolean(true)),
        A::text("smtpUsername", 255, "The user name of a separate SMTP account.").form(Form::Line),
        A::boolean("spreadEvenly", "Spaces mailings over what a day limit leaves.").preset(Preset::Boolean(false)),
        A::integer("syncActiveFrequency", 10, WEEK, "Seconds between syncs while the owner is active.").preset(Preset::Integer(600)),
        A::boolean("syncDisabled", "Stops syncing.").preset(Preset::Boolean(false)),
        A::time("syncErroredAt", "The most recent sync error.").read_only(),
        A::time("syncFinishedAt", "When the most recent sync ended, well or not.").read_only(),
        A::text("syncFolders", 65_535, "Folders to sync beside the inbox and the sent folder, one a line: names, patterns with *, or uses such as \\Archive; ! takes out again. Null for none.")
            ,
        A::structure("syncFoldersAside", "Folders that the server does not open and that are left out for the time being: name, reason, since and when they are tried again."),
        A::text("syncMethod", 255, "How mail is synced: imap, gmail_api or ews; null follows from the other values.")
            .form(Form::OneOf(&["ews", "gmail_api", "imap"])),
        A::boolean("syncOutreachFolder", "Syncs the folder \"Outreach\" instead of the inbox; Exchange2007_SP1 only.").preset(Preset::Boolean(false)),
        A::integer("syncPassiveFrequency", 10, WEEK, "Seconds between syncs while the owner is away.").preset(Preset::Integer(1500)),
        A::time("syncPermanentErrorAt", "When syncing stopped for an error that does not go away by itself; null while it works.").read_only(),
        A::structure("syncProgress", "While older mail is fetched: which folder, how many messages are stored, and of how many; else null."),
        A::text("syncState", 255, "ok, paused, erroring, authFailed, disabled or notConfigured.").read_only(),
        A::text("syncStateReason", 1024, "Why syncing is in its state, in a sentence.").read_only(),
        A::time("syncSuccessAt", "The most recent sync that reached all wanted folders.").read_only(),
        A::time("updatedAt", "When the mailbox last changed: an edit, or a change of a state.").read_only().listed(),
        A::number("userId", "The owner.").read_only().listed(),
        A::text("username", 255, "The user name at the mail servers; null means the address.").form(Form::Line),
        A::boolean("validateSend", "Save only if a live test of sending passes.").write_only(),
        A::boolean("validateSync", "Save only if a live test of syncing passes.").write_only(),
    ],
    relationships: &[
        R::one("creator", "user", "Who created the mailbox."),
        R::linked("mailAliases", "mailAlias", "mailbox", "Further addresses of the mailbox."),
        R::linked("mailings", "mailing", "mailbox", "What was sent through the mailbox."),
        R::one("updater", "user", "Who edited the mailbox last."),
        R::one("user", "user", "The owner.").writable().filterable(),
    ],
    tolerated: &["deleteQueuedAt", "ewsCustomSearchFolder", "ewsDelegateSync", "ewsImpersonation"],
};
