/// The longest address that MAIL and RCPT take (RFC 5321 section 4.5.3.1.3, with room to spare).
const MAX_ADDRESS: usize = 512;

/// What a client asks for, arguments still as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Hello {
        extended: bool,
        name: &'a str,
    },
    StartTls,
    Auth(&'a str),
    Mail(&'a str),
    Rcpt(&'a str),
    Data,
    Reset,
    Noop,
    Verify,
    Quit,
    /// A known verb with an argument that it does not take, or without one that it needs.
    BadArguments,
    Unknown,
}

impl<'a> Command<'a> {
    pub fn parse(line: &'a str) -> Self {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_end_matches(' ');
        let bare = |command| if rest.is_empty() { command } else { Self::BadArguments };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" | "AUTH" if rest.is_empty() => Self::BadArguments,
            "EHLO" => Self::Hello { extended: true, name: rest },
            "HELO" => Self::Hello { extended: false, name: rest },
            "STARTTLS" => bare(Self::StartTls),
            "AUTH" => Self::Auth(rest),
            "MAIL" => after(rest, "FROM:").map_or(Self::BadArguments, Self::Mail),
            "RCPT" => after(rest, "TO:").map_or(Self::BadArguments, Self::Rcpt),
            "DATA" => bare(Self::Data),
            "RSET" => bare(Self::Reset),
            "NOOP" => Self::Noop,
            "VRFY" => Self::Verify,
            "QUIT" => bare(Self::Quit),
            _ => Self::Unknown,
        }
    }
}

fn after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(label.len())?;
    head.eq_ignore_ascii_case(label).then_some(rest)
}

/// An address in angle brackets and the parameters behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    /// Without the brackets; empty for `<>`.
    pub address: &'a str,
    /// Keyword in capitals, and value.
    pub parameters: Vec<(String, Option<&'a str>)>,
}

impl<'a> Path<'a> {
    pub fn asks_for(&self, keyword: &str) -> bool {
        self.parameters.iter().any(|(given, _)| given == keyword)
    }

    /// `None` if it is not `<address>` or `<>` followed by parameters.
    pub fn parse(text: &'a str) -> Option<Self> {
        let inside = text.trim_start_matches(' ').strip_prefix('<')?;
        let end = closing(inside)?;
        let (address, rest) = (&inside[..end], &inside[end + 1..]);
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        let valid = address.len() <= MAX_ADDRESS
            && !address.bytes().any(|byte| byte < 0x20 || byte == 0x7f)
            && (address.is_empty() || address.rsplit_once('@').is_some_and(|(l, d)| !l.is_empty() && !d.is_empty()));
        let parameters = rest
            .split_ascii_whitespace()
            .map(|parameter| match parameter.split_once('=') {
                Some((keyword, value)) => (keyword.to_ascii_uppercase(), Some(value)),
                None => (parameter.to_ascii_uppercase(), None),
            })
            .collect();
        valid.then_some(Self { address, parameters })
    }
}

/// Where the closing bracket stands: not inside a quoted local part.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            b'<' | b' ' if !quoted => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_without_regard_to_case() {
        assert_eq!(Command::parse("ehlo me"), Command::Hello { extended: true, name: "me" });
        assert_eq!(Command::parse("MAIL From:<a@b> SIZE=1"), Command::Mail("<a@b> SIZE=1"));
        assert_eq!(Command::parse("rcpt to: <a@b>"), Command::Rcpt(" <a@b>"));
        assert_eq!(Command::parse("DATA "), Command::Data);
        assert_eq!(Command::parse("DATA now"), Command::BadArguments);
        assert_eq!(Command::parse("MAIL TO:<a@b>"), Command::BadArguments);
        assert_eq!(Command::parse("MAIL FR\u{e9}"), Command::BadArguments);
        assert_eq!(Command::parse(""), Command::Unknown);
    }

    #[test]
    fn a_path_is_an_address_in_brackets_with_parameters() {
        let path = Path::parse("<a@b> size=12 SMTPUTF8").unwrap();
        assert_eq!(path.address, "a@b");
        assert_eq!(path.parameters, [("SIZE".into(), Some("12")), ("SMTPUTF8".into(), None)]);
        assert_eq!(Path::parse("<>").unwrap().address, "");
        assert_eq!(Path::parse("<\"a >\\\" b\"@c>").unwrap().address, "\"a >\\\" b\"@c");
        for bad in ["a@b", "<a@b", "<a@b>SIZE=1", "<a b@c>", "<a>", "<@b>", "<a@>", "<a\t@b>", "<<a@b>>", ""] {
            assert_eq!(Path::parse(bad), None, "{bad}");
        }
    }
}
