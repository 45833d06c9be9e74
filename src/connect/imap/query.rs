//! What is asked, as IMAP writes it.

use crate::domain::time::Timestamp;
use std::ops::RangeInclusive;

/// The longest set of UIDs in one command; servers take lines of at least 8,000 bytes (RFC 7162 section 4).
const SET_LIMIT: usize = 7_000;

/// What to SEARCH for: UIDs in a range, received since a day, among the messages at some places.
pub(super) fn search(
    places: Option<&RangeInclusive<u32>>,
    uids: &RangeInclusive<u32>,
    since: Option<Timestamp>,
) -> String {
    let mut keys = Vec::with_capacity(3);
    keys.extend(places.map(|places| format!("{}:{}", places.start(), places.end())));
    keys.push(match *uids.end() {
        u32::MAX => format!("UID {}:*", uids.start()),
        end => format!("UID {}:{end}", uids.start()),
    });
    keys.extend(since.map(|since| format!("SINCE {}", date(since))));
    keys.join(" ")
}

/// What to SEARCH for: a message by its Message-ID (without angle brackets). `None` if that cannot be asked.
pub(super) fn by_message_id(message_id: &str) -> Option<String> {
    let fits = !message_id.is_empty()
        && message_id.len() < 1_000
        && message_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    fits.then(|| format!("HEADER Message-ID \"<{message_id}>\""))
}

/// The longest beginning of `uids` (ascending) that fits into one command, as a set, and its length.
pub(super) fn uid_set(uids: &[u32]) -> (String, usize) {
    let mut set = String::new();
    let mut taken = 0;
    while taken < uids.len() && set.len() < SET_LIMIT {
        let first = uids[taken];
        let mut last = first;
        taken += 1;
        while taken < uids.len() && last.checked_add(1) == Some(uids[taken]) {
            last = uids[taken];
            taken += 1;
        }
        if !set.is_empty() {
            set.push(',');
        }
        set.push_str(&first.to_string());
        if first != last {
            set.push(':');
            set.push_str(&last.to_string());
        }
    }
    (set, taken)
}

/// `1-Feb-1994`, UTC.
fn date(time: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time.to_string();
    let mut parts = text.split(['-', 'T']).map(|part| part.parse::<usize>().unwrap_or(1));
    let (year, month, day) = (parts.next().unwrap_or(1970), parts.next().unwrap_or(1), parts.next().unwrap_or(1));
    format!("{day}-{}-{year:04}", MONTHS[(month - 1) % 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_name_places_uids_and_days() {
        assert_eq!(search(None, &(5..=u32::MAX), None), "UID 5:*");
        let since = Timestamp::parse("2026-07-08T18:40:47Z");
        assert_eq!(search(Some(&(1..=9)), &(1..=7), since), "1:9 UID 1:7 SINCE 8-Jul-2026");
    }

    #[test]
    fn a_message_id_is_asked_for_only_where_it_can_be_quoted() {
        assert_eq!(by_message_id("a.1@b.example").as_deref(), Some("HEADER Message-ID \"<a.1@b.example>\""));
        for id in ["", "a b", "a\"b", "a\\b", "a\r\nb", "ä@b", &"x".repeat(1_000)] {
            assert_eq!(by_message_id(id), None, "{id:?}");
        }
    }

    #[test]
    fn sets_of_uids_are_ranges_and_never_longer_than_a_command_may_be() {
        assert_eq!(
            uid_set(&[1, 2, 3, 7, 9, 10, u32::MAX - 1, u32::MAX]),
            ("1:3,7,9:10,4294967294:4294967295".into(), 8)
        );
        let odd: Vec<u32> = (0..10_000).map(|n| 1_000_000_001 + 2 * n).collect();
        let (set, taken) = uid_set(&odd);
        assert!(set.len() < SET_LIMIT + 24 && taken > 500 && taken < 10_000);
        assert_eq!(uid_set(&(1..=9_999).collect::<Vec<_>>()), ("1:9999".into(), 9_999));
    }

    #[test]
    fn dates_are_written_as_imap_wants_them() {
        assert_eq!(date(Timestamp::parse("1994-02-01T23:59:59Z").unwrap()), "1-Feb-1994");
        assert_eq!(date(Timestamp::parse("2026-12-31").unwrap()), "31-Dec-2026");
    }
}
