//! Fields as the parts of reports have them: `Name: value` lines, folded, in groups with empty lines between.

use super::super::decode::windows_1252;
use std::borrow::Cow;

/// The longest value that is kept, in octets.
const VALUE: usize = 4_000;

/// Octets as text, whatever they are.
pub(super) fn as_text(octets: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(octets).map_or_else(|_| Cow::Owned(windows_1252(octets)), Cow::Borrowed)
}

/// Fields in order, each with its name in lower case; `None` stands between two groups.
pub(super) fn groups(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            if line.trim().is_empty() {
                return Some(None);
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = name.trim();
            if name.is_empty() || name.len() > 100 || name.contains(char::is_whitespace) {
                continue;
            }
            let mut value = value.trim().to_owned();
            while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t']) && !next.trim().is_empty()) {
                if value.len() < VALUE {
                    value.push(' ');
                    value.push_str(more.trim());
                }
            }
            value.truncate(value.floor_char_boundary(VALUE));
            return Some(Some((name.to_ascii_lowercase(), value)));
        }
    })
}

/// The address in a field such as `rfc822; <ann@example.org>`; `None` where there is none, or one that was hidden.
pub(super) fn address(value: &str) -> Option<String> {
    // RFC 3464 §2.1.2: a type, then the address. Some leave the type out.
    let value = value.split_once(';').map_or(value, |(_, rest)| rest).trim();
    let value = match (value.find('<'), value.rfind('>')) {
        (Some(start), Some(end)) if start < end => &value[start + 1..end],
        _ => value.split_whitespace().next().unwrap_or_default(),
    };
    let value = unescaped(value.trim_matches(|c: char| c.is_whitespace() || "<>\"'(),".contains(c)));
    let (local, domain) = value.rsplit_once('@')?;
    let is_hidden = local.to_ascii_lowercase().contains("redacted") || domain.to_ascii_lowercase().contains("redacted");
    let is_one = !local.is_empty() && !domain.is_empty() && value.len() <= 320 && !value.contains(char::is_whitespace);
    (is_one && !is_hidden).then_some(value)
}

/// Characters that RFC 6533 §3 writes as `\x{E4}`.
fn unescaped(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    let mut rest = address;
    while let Some(at) = rest.find("\\x{") {
        let (before, escape) = rest.split_at(at);
        let end = escape.find('}').filter(|end| *end <= 9);
        let found = end.and_then(|end| u32::from_str_radix(&escape[3..end], 16).ok()).and_then(char::from_u32);
        let (Some(end), Some(found)) = (end, found.filter(|found| !found.is_control())) else { break };
        out.push_str(before);
        out.push(found);
        rest = &escape[end + 1..];
    }
    out.push_str(rest);
    out
}
