//! The rules as data. Change a row here only together with the map in `src/lib.rs`.

/// A room, and the rooms that it may use. `main` is the binary; the others are folders or files of `src/`.
///
/// `mailserver` is below everybody, yet only the demo may use it: no engine may know that it talks to a double.
pub const HOUSE: &[(&str, &str)] = &[
    ("domain", ""),
    ("runtime", "domain"),
    ("config", "domain runtime"),
    ("jsonapi", "domain runtime config"),
    ("mime", "domain runtime config"),
    ("net", "domain runtime config"),
    ("vault", "domain runtime config"),
    ("mailserver", "domain runtime config"),
    ("store", "domain runtime config vault"),
    ("providers", "domain runtime config net mime"),
    ("connect", "domain runtime config vault net mime store providers"),
    ("send", "domain runtime config vault net mime store providers connect"),
    ("sync", "domain runtime config vault net mime store providers connect"),
    ("hooks", "domain runtime config vault net mime store providers connect jsonapi"),
    ("upkeep", "domain runtime config vault net mime store providers connect"),
    ("api", "domain runtime config vault net mime store providers connect jsonapi send sync hooks upkeep"),
    ("public", "domain runtime config vault net mime store providers connect jsonapi send sync hooks upkeep"),
    ("ui", "domain runtime config vault net mime store providers connect jsonapi send sync hooks upkeep"),
    ("ops", "domain runtime config vault net mime store providers connect jsonapi send sync hooks upkeep"),
    (
        "app",
        "domain runtime config vault net mime store providers connect jsonapi send sync hooks upkeep api public ui ops",
    ),
    (
        "demo",
        "domain runtime config vault net mime store providers connect jsonapi send sync hooks upkeep api public ui ops \
         mailserver app",
    ),
    (
        "cli",
        "domain runtime config vault net mime store providers connect jsonapi send sync hooks upkeep api public ui ops \
         app demo",
    ),
    ("main", "cli"),
];

/// What to look for in the code.
pub enum Sign {
    /// A path that starts with this crate's name.
    Crate(&'static str),
    /// Names joined by `::`, wherever they stand.
    Path(&'static str),
    /// A macro, called.
    Macro(&'static str),
}

pub struct Confined {
    pub signs: &'static [Sign],
    /// Paths under `src/` start with one of these; empty means nowhere.
    pub homes: &'static [&'static str],
    /// Of how many files each home may consist.
    pub files_per_home: usize,
    pub remedy: &'static str,
}

pub const CONFINED: &[Confined] = &[
    Confined {
        signs: &[Sign::Crate("redb")],
        homes: &["store/"],
        files_per_home: usize::MAX,
        remedy: "redb's types stop in store/: put the query into a file there and call that",
    },
    Confined {
        signs: &[Sign::Crate("lettre")],
        homes: &["connect/smtp", "send/", "mime/compose"],
        files_per_home: usize::MAX,
        remedy: "lettre stays in connect/smtp, send/ and mime/compose: pass an own type across",
    },
    Confined {
        signs: &[Sign::Crate("imap")],
        homes: &["connect/", "sync/"],
        files_per_home: 1,
        remedy: "the imap crate stays in one file of connect/ and one of sync/: wrap the call there",
    },
    Confined {
        signs: &[
            Sign::Path("SystemTime"),
            Sign::Path("Utc::now"),
            Sign::Path("Local::now"),
            Sign::Path("Timestamp::now"),
            Sign::Path("Zoned::now"),
        ],
        homes: &["runtime/"],
        files_per_home: usize::MAX,
        remedy: "the wall clock is read only in runtime/: take a `Clock` or a `Timestamp` as an argument",
    },
    Confined {
        signs: &[
            Sign::Path("TcpStream::connect"),
            Sign::Path("TcpStream::connect_timeout"),
            Sign::Path("TcpSocket"),
            Sign::Path("UdpSocket"),
            Sign::Path("lookup_host"),
            Sign::Path("ToSocketAddrs"),
            Sign::Crate("reqwest"),
        ],
        homes: &["net/"],
        files_per_home: usize::MAX,
        remedy: "only net/ opens sockets and looks names up, so that one egress rule guards all: use `net::Network`",
    },
    Confined {
        signs: &[Sign::Crate("actix_web")],
        homes: &["api/", "api.rs", "public/", "ui/", "ui.rs", "app.rs", "app/", "ops/", "jsonapi/", "demo/", "cli/"],
        files_per_home: usize::MAX,
        remedy: "engines and the floors below know no web server: return an own type and let api/ answer with it",
    },
    Confined {
        signs: &[Sign::Path("unsafe")],
        homes: &[],
        files_per_home: 0,
        remedy: "there is no unsafe code in this house: find a safe crate or another way",
    },
    Confined {
        signs: &[Sign::Macro("todo"), Sign::Macro("unimplemented")],
        homes: &[],
        files_per_home: 0,
        remedy: "what is not built yet answers with a failure that says so, it does not panic",
    },
];

/// Names that say nothing about what a file holds.
pub const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "type", "types"];

/// The longest file, in lines. The aim is 100 to 300.
pub const LONGEST: usize = 600;
