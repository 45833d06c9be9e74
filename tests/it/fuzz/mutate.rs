//! How an input is made of the corpus: by what breaks readers of mail, not by noise alone.

use crate::corpus::Sample;
use postroom::runtime::{Random as _, SeededRandom};

/// Throws that a number repeats.
pub struct Dice(SeededRandom);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// A number below `limit`; 0 where there is none.
    fn below(&mut self, limit: usize) -> usize {
        let mut octets = [0; 8];
        self.0.fill(&mut octets);
        usize::try_from(u64::from_le_bytes(octets) % (limit.max(1) as u64)).unwrap_or(0)
    }

    fn range(&mut self, of: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(of.len());
        start..start + self.below((of.len() - start).min(2_000))
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// A sample, changed a few times; the same throws make the same.
pub fn mutated(samples: &[Sample], dice: &mut Dice, largest: usize) -> Vec<u8> {
    let mut input = samples[dice.below(samples.len())].raw.clone();
    for _ in 0..=dice.below(6) {
        change(&mut input, samples, dice, largest);
        input.truncate(largest);
    }
    input
}

fn change(input: &mut Vec<u8>, samples: &[Sample], dice: &mut Dice, largest: usize) {
    let at = dice.below(input.len());
    match dice.below(14) {
        0 => {
            for _ in 0..=dice.below(20) {
                let at = dice.below(input.len());
                if let Some(octet) = input.get_mut(at) {
                    *octet ^= 1 << dice.below(8);
                }
            }
        }
        1 => {
            let range = dice.range(input);
            input.drain(range);
        }
        2 => input.truncate(at),
        3 => {
            let other = &samples[dice.below(samples.len())].raw;
            let piece = other[dice.range(other)].to_vec();
            input.splice(at..at, piece);
        }
        // A piece many times, up to the largest input: what is quadratic shows.
        4 => {
            let mut range = dice.range(input);
            range.end = range.end.min(range.start + 200);
            let piece = input[range].to_vec();
            let times = dice.below(largest / piece.len().max(1));
            input.splice(at..at, piece.repeat(times));
        }
        5 => {
            let token = dice.one(&TOKENS).as_bytes().to_vec();
            let times = if dice.below(4) == 0 { dice.below(largest / token.len()) } else { 1 };
            input.splice(at..at, token.repeat(times));
        }
        6 => input.retain(|octet| *octet != b'\r'),
        7 => input.iter_mut().filter(|octet| **octet == b'\n').for_each(|octet| *octet = b'\r'),
        8 => wrap(input, dice),
        // Lines in another order.
        9 => {
            let mut lines: Vec<&[u8]> = input.split_inclusive(|octet| *octet == b'\n').collect();
            let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
            if !lines.is_empty() {
                lines.swap(a, b);
            }
            *input = lines.concat();
        }
        10 => {
            let times = dice.below(3_000);
            let field = dice.one(&FIELDS);
            let mut head = format!("{field}\r\n").into_bytes().repeat(times);
            head.append(input);
            *input = head;
        }
        11 => {
            let range = dice.range(input);
            let mut noise = vec![0; range.len()];
            dice.0.fill(&mut noise);
            input.splice(range, noise);
        }
        // The body of another message under this header.
        12 => {
            let body =
                |raw: &[u8]| raw.windows(2).position(|two| two == b"\n\n" || two == b"\n\r").unwrap_or(raw.len());
            let other = &samples[dice.below(samples.len())].raw;
            input.truncate(body(input));
            input.extend_from_slice(&other[body(other)..]);
        }
        _ => {
            let html = dice.one(&HTML).repeat(1 + dice.below(400));
            *input = format!("From: a@x.example\r\nContent-Type: text/html\r\n\r\n{html}").into_bytes();
        }
    }
}

/// The message inside others.
fn wrap(input: &mut Vec<u8>, dice: &mut Dice) {
    for level in 0..=dice.below(30) {
        let kind =
            dice.one(&["multipart/mixed", "multipart/report; report-type=delivery-status", "multipart/alternative"]);
        let inner =
            dice.one(&["message/rfc822", "message/delivery-status", "multipart/mixed; boundary=b0", "text/plain"]);
        let head =
            format!("Content-Type: {kind}; boundary=b{level}\r\n\r\n--b{level}\r\nContent-Type: {inner}\r\n\r\n");
        let mut wrapped = head.into_bytes();
        wrapped.append(input);
        wrapped.extend_from_slice(format!("\r\n--b{level}--\r\n").as_bytes());
        *input = wrapped;
    }
}

const TOKENS: [&str; 24] = [
    "\r\n\r\n",
    "\n\t",
    "\0",
    "=?utf-8?B?4pyT?=",
    "=?iso-2022-jp?Q?=1B$B?=",
    "=?x?q?",
    "--b\r\n",
    "Content-Type: multipart/mixed; boundary=b\r\n",
    "Content-Type: text/html; charset=utf-7\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Disposition: attachment; filename*0*=utf-8''%E2%82; filename*1=x\r\n",
    "Message-ID: <a@b>\r\n",
    "Final-Recipient: rfc822; a@x.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n",
    "<a@x.example>: 550 5.1.1 unknown\r\n",
    "X-Failed-Recipients: a@x.example, b@x.example\r\n",
    "\\x{1F600}",
    "> > > > ",
    "On Tue, 10 Feb 2026 at 09:12, A <a@x.example> wrote:\r\n",
    "From: a@x.example\r\nSent: 2026\r\nTo: b\r\nSubject: c\r\n",
    "-- \r\n",
    "@",
    "((((((((",
    "\"\\\"",
    "\u{FEFF}\u{202E}é漢",
];

const FIELDS: [&str; 6] = [
    "References: <a@b> <c@d>",
    "To: a@x.example, \"b\" <b@x.example>, group: c@x.example;",
    "Content-Type: multipart/report; boundary=b; report-type=delivery-status",
    "Received: from x by y",
    "Subject: =?utf-8?Q?=E2=9C=93?=",
    " folded",
];

const HTML: [&str; 16] = [
    "<div>",
    "<blockquote>",
    "</p>",
    "<table><tr><td>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg><style><img src=\"</style><script>x</script>\">",
    "<math><mtext><table><mglyph><style><!--</style><img>",
    "<a href=\"javascript:x\">y</a>",
    "<!--",
    "]]>",
    "<b><i><u>",
    "&#x110000;&amp&lt;script>",
    "<p style=\"background:url(http://x.example/)\">",
    "<form><input></form>",
    "text \u{0} é漢 ",
];
