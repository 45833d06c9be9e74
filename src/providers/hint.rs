//! When to come back, where a server's refusal says so. SMTP has no field for it (HTTP has Retry-After); greylisting
//! servers and providers put it into words: "try again in 5 minutes" (postgrey, rspamd), "Greylisted for 300 seconds"
//! (milter-greylist), "come back in 00:04:59" (milter-greylist), "retry after 60 seconds".

use std::time::Duration;

/// Nobody is waited for longer on a stranger's word.
const CEILING: Duration = Duration::from_hours(24);

/// How long a text asks to wait; `None` if it does not, or asks for nothing that makes sense.
pub fn wait_asked_for(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || "(),;".contains(c)).filter(|word| !word.is_empty()).collect();
    let hints = ["in", "after", "for", "within", "wait", "least"];
    words
        .iter()
        .enumerate()
        .filter(|(_, word)| hints.contains(word))
        .find_map(|(index, _)| amount(&words[index + 1..]))
        .filter(|wait| !wait.is_zero())
        .map(|wait| wait.min(CEILING))
}

/// `5 minutes`, `300s`, `00:04:59` at the beginning of some words.
fn amount(words: &[&str]) -> Option<Duration> {
    let first = words.first()?.trim_end_matches(['.', '!']);
    if let Some(clock) = clock(first) {
        return Some(clock);
    }
    let digits = first.len() - first.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, attached) = first.split_at(digits);
    let number: u64 = number.parse().ok().filter(|number| *number < 1_000_000)?;
    let unit = if attached.is_empty() { words.get(1)?.trim_end_matches(['.', '!']) } else { attached };
    let seconds = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
        _ => return None,
    };
    Some(Duration::from_secs(number * seconds))
}

/// `04:59` or `00:04:59`.
fn clock(word: &str) -> Option<Duration> {
    let parts: Vec<&str> = word.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    parts
        .iter()
        .try_fold(0u64, |seconds, part| {
            let fits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 = part.parse().ok().filter(|_| fits)?;
            Some(seconds * 60 + number)
        })
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_about_coming_back_is_understood() {
        for (text, seconds) in [
            ("4.2.0 Greylisted, please try again in 5 minutes", Some(300)),
            ("Greylisting in action, please come back in 00:04:59", Some(299)),
            ("4.7.1 Greylisted for 300 seconds (see http://example.org)", Some(300)),
            ("Try again after 60s.", Some(60)),
            ("please wait 2 hours!", Some(7_200)),
            ("Retry in 04:30", Some(270)),
            ("wait at least 30 min", Some(1_800)),
            ("try again in 40 hours", Some(86_400)),
            // Nothing to go by.
            ("try again later", None),
            ("try again in 0 seconds", None),
            ("in 5 days", None),
            ("refused for 192.0.2.1", None),
            ("for 99999999999999999999999 hours", None),
            ("queued in 12 as 34", None),
            ("in 1:2:3", None),
            ("in", None),
            ("", None),
        ] {
            assert_eq!(wait_asked_for(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
