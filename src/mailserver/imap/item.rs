use super::header;
use super::parse::{Cursor, Fault};
use std::borrow::Cow;

/// Items that one FETCH may ask for.
const MAX_ITEMS: usize = 64;

/// Something to know about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    /// RFC 7162.
    ModSequence,
    /// X-GM-MSGID and X-GM-THRID.
    GmailMessage,
    GmailThread,
    Section {
        /// As the response names it: `BODY[HEADER]<0>`.
        label: String,
        section: Section,
        /// Reading it does not set `\Seen`.
        peek: bool,
        /// Origin and length.
        partial: Option<(u32, u32)>,
    },
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    All,
    Header,
    Text,
    /// Of the header the fields with these names, or with all other names.
    Fields {
        names: Vec<String>,
        others: bool,
    },
}

impl Item {
    /// Reads one item or a list of them.
    pub fn list(cursor: &mut Cursor<'_>) -> Result<Vec<Self>, Fault> {
        let listed = cursor.take("(");
        let mut items = Vec::new();
        loop {
            Self::read(cursor, &mut items)?;
            if items.len() > MAX_ITEMS {
                return Err(Fault::Bad("Too many items"));
            }
            if !listed {
                return Ok(items);
            }
            if cursor.take(")") {
                return Ok(items);
            }
            cursor.space()?;
        }
    }

    fn read(cursor: &mut Cursor<'_>, items: &mut Vec<Self>) -> Result<(), Fault> {
        let name = cursor.run(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))?.to_ascii_uppercase();
        let whole = |section, peek| Self::Section { label: name.clone(), section, peek, partial: None };
        match name.as_str() {
            "UID" => items.push(Self::Uid),
            "FLAGS" => items.push(Self::Flags),
            "INTERNALDATE" => items.push(Self::InternalDate),
            "RFC822.SIZE" => items.push(Self::Size),
            "X-GM-MSGID" => items.push(Self::GmailMessage),
            "X-GM-THRID" => items.push(Self::GmailThread),
            "MODSEQ" => items.push(Self::ModSequence),
            "FAST" => items.extend([Self::Flags, Self::InternalDate, Self::Size]),
            "RFC822" => items.push(whole(Section::All, false)),
            "RFC822.HEADER" => items.push(whole(Section::Header, true)),
            "RFC822.TEXT" => items.push(whole(Section::Text, false)),
            "BODY" | "BODY.PEEK" if cursor.peek() == Some(b'[') => {
                items.push(Self::section(cursor, name == "BODY.PEEK")?);
            }
            _ => return Err(Fault::Bad("Unknown item")),
        }
        Ok(())
    }

    fn section(cursor: &mut Cursor<'_>, peek: bool) -> Result<Self, Fault> {
        cursor.expect("[")?;
        let (section, mut label) = if cursor.peek() == Some(b']') {
            (Section::All, String::new())
        } else {
            let word = cursor.run(|byte| byte.is_ascii_alphanumeric() || byte == b'.')?.to_ascii_uppercase();
            match word.as_str() {
                "HEADER" => (Section::Header, word),
                "TEXT" => (Section::Text, word),
                "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => {
                    let names = field_names(cursor)?;
                    let label = format!("{word} ({})", names.join(" "));
                    (Section::Fields { names, others: word.ends_with("NOT") }, label)
                }
                _ => return Err(Fault::Bad("Unknown section; MIME parts are not served")),
            }
        };
        cursor.expect("]")?;
        label = format!("BODY[{label}]");
        let mut partial = None;
        if cursor.take("<") {
            let origin = cursor.number()?;
            cursor.expect(".")?;
            let length = cursor.number()?;
            cursor.expect(">")?;
            if length == 0 {
                return Err(Fault::Bad("A part of no length"));
            }
            label = format!("{label}<{origin}>");
            partial = Some((origin, length));
        }
        Ok(Self::Section { label, section, peek, partial })
    }
}

fn field_names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, Fault> {
    cursor.space()?;
    cursor.expect("(")?;
    let mut names = Vec::new();
    loop {
        let name = cursor.astring()?;
        if !name.bytes().all(|byte| byte.is_ascii_graphic() && !b":()\"\\{".contains(&byte)) {
            return Err(Fault::Bad("Not the name of a field"));
        }
        names.push(name);
        if cursor.take(")") {
            return Ok(names);
        }
        cursor.space()?;
    }
}

impl Section {
    /// The bytes of a message that this names.
    pub fn of<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        let (head, text) = header::split(raw);
        match self {
            Self::All => raw.into(),
            Self::Header => head.into(),
            Self::Text => text.into(),
            Self::Fields { names, others } => {
                let mut found = Vec::new();
                for (name, field) in header::fields(head) {
                    let named = names.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name));
                    if named != *others {
                        found.extend_from_slice(field);
                    }
                }
                found.extend_from_slice(b"\r\n");
                found.into()
            }
        }
    }
}

/// The bytes of a partial fetch: what there is of them.
pub(super) fn part(bytes: &[u8], partial: Option<(u32, u32)>) -> &[u8] {
    let Some((origin, length)) = partial else { return bytes };
    let clamp = |number| usize::try_from(number).unwrap_or(usize::MAX).min(bytes.len());
    let from = clamp(origin);
    &bytes[from..from.saturating_add(clamp(length)).min(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        let items = Item::list(&mut Cursor::new(text.as_bytes())).unwrap();
        items
            .iter()
            .map(|item| if let Item::Section { label, .. } = item { label.clone() } else { format!("{item:?}") })
            .collect()
    }

    #[test]
    fn items_come_alone_or_in_a_list() {
        assert_eq!(labels("uid"), ["Uid"]);
        assert_eq!(labels("FAST"), ["Flags", "InternalDate", "Size"]);
        assert_eq!(labels("(UID BODY.PEEK[] body[header]<5.10>)"), ["Uid", "BODY[]", "BODY[HEADER]<5>"]);
        assert_eq!(
            labels("BODY.PEEK[HEADER.FIELDS (Message-ID \"x-tuid\")]"),
            ["BODY[HEADER.FIELDS (Message-ID x-tuid)]"]
        );
        for bad in
            ["", "()", "(UID", "BODY", "BODY[1]", "BODY[]<0.0>", "BODY[", "ENVELOPE", "BODY[HEADER.FIELDS (a\"b)]"]
        {
            assert!(Item::list(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn sections_are_cut_exactly() {
        let raw = b"Subject: a\r\n b\r\nTo: c\r\n\r\nbody\0\xff";
        let fields = |others| Section::Fields { names: vec!["SUBJECT".into()], others };
        assert_eq!(*fields(false).of(raw), b"Subject: a\r\n b\r\n\r\n"[..]);
        assert_eq!(*fields(true).of(raw), b"To: c\r\n\r\n"[..]);
        assert_eq!(*Section::Text.of(raw), b"body\0\xff"[..]);
        assert_eq!(part(b"0123456789", Some((8, 5))), b"89");
        assert_eq!(part(b"0123456789", Some((2, 3))), b"234");
        assert_eq!(part(b"0123456789", Some((50, 3))), b"");
        assert_eq!(part(b"0123456789", Some((u32::MAX, u32::MAX))), b"");
    }
}
