//! How mail programs introduce what they quote, and sign what they send, in the languages that they speak.

/// Whether a line (unfolded) introduces a quote: `On … wrote:` and its translations. It has to end with a colon and hold
/// a date, a time or an address, so that a sentence of a person ("As Ann wrote:") stays.
pub(super) fn is_attribution(line: &str) -> bool {
    let line = line.trim();
    if line.len() > 600 || !(line.ends_with(':') || line.ends_with("：")) {
        return false;
    }
    let lower = line.to_lowercase();
    let body = lower.trim_end_matches([':', '：', ' ', '\u{a0}']);
    // Gmail's Japanese has no verb.
    let is_japanese = ['年', '月', '日'].iter().all(|part| body.contains(*part)) && body.ends_with('>');
    let has_verb = is_japanese || VERBS.iter().any(|verb| body.ends_with(verb) || body.contains(&format!(" {verb} ")));
    has_verb && (is_dated(&lower) || lower.contains('@'))
}

/// Outlook's `-----Original Message-----`, Gmail's `---------- Forwarded message ---------`, and their translations.
pub(super) fn is_separator(line: &str) -> bool {
    let line = line.trim();
    if !line.starts_with("--") || !line.ends_with("--") {
        return false;
    }
    let words = line.trim_matches(['-', ' ']).to_lowercase();
    SEPARATORS.contains(&words.as_str())
}

/// Outlook's block: `From:`, `Sent:` or `Date:`, `To:`, `Subject:` on the first lines, in one language. A forwarded mail
/// begins the same way; it is preceded by a sentence of its own, or by nothing.
pub(super) fn is_field_block(lines: &[&str]) -> bool {
    let Some(first) = lines.first().and_then(|line| name(line)) else { return false };
    FIELDS.iter().any(|[from, dates, to, subject]| {
        if !from.split('|').any(|word| word == first) {
            return false;
        }
        let others: Vec<String> = lines[1..].iter().take(8).filter_map(|line| name(line)).collect();
        let has = |words: &str| words.split('|').any(|word| others.iter().any(|other| other == word));
        has(dates) && (has(to) || has(subject))
    })
}

/// The name of a field, in lower case; `*From:*` is bold in a text made of HTML.
fn name(line: &str) -> Option<String> {
    let line = line.trim_start_matches(['*', ' ', '\u{a0}', '\t']);
    let (name, _) = line.split_once([':', '：'])?;
    let name = name.trim_matches(['*', ' ', '\u{a0}']);
    (name.chars().count() <= 20 && !name.is_empty()).then(|| name.to_lowercase())
}

/// What telephones write below a mail.
pub(super) fn is_sign_off(line: &str) -> bool {
    let line = line.trim();
    let lower = line.to_lowercase();
    line.chars().count() <= 100 && SIGN_OFFS.iter().any(|start| lower.starts_with(start))
}

/// Whether there is a year, or a time of day.
pub(super) fn is_dated(line: &str) -> bool {
    let octets = line.as_bytes();
    let digits =
        |at: usize, count: usize| octets.get(at..at + count).is_some_and(|run| run.iter().all(u8::is_ascii_digit));
    (0..octets.len()).any(|at| {
        let starts = at == 0 || !octets[at - 1].is_ascii_digit();
        let is_year = starts && (octets[at..].starts_with(b"19") || octets[at..].starts_with(b"20")) && digits(at, 4);
        let is_time =
            matches!(octets[at], b':' | b'.' | b'h') && at > 0 && octets[at - 1].is_ascii_digit() && digits(at + 1, 2);
        is_year || is_time
    })
}

const VERBS: [&str; 28] = [
    "님이 작성",
    "wrote",
    "writes",
    "schrieb",
    "schrieb folgendes",
    "hat geschrieben",
    "a écrit",
    "a ecrit",
    "écrit",
    "escribió",
    "escribio",
    "ha scritto",
    "scrive",
    "schreef",
    "schreef het volgende",
    "heeft geschreven",
    "escreveu",
    "skrev",
    "kirjoitti",
    "napisał",
    "napisał(a)",
    "napsal",
    "napsal(a)",
    "írta",
    "yazdı",
    "написал",
    "пишет",
    "写道",
];

const SEPARATORS: [&str; 27] = [
    "forwarded message",
    "forwarded by",
    "weitergeleitete nachricht",
    "message transféré",
    "mensaje reenviado",
    "messaggio inoltrato",
    "messaggio inoltrato da",
    "doorgestuurd bericht",
    "mensagem encaminhada",
    "vidarebefordrat meddelande",
    "videresendt melding",
    "przekazana wiadomość",
    "пересылаемое сообщение",
    "original message",
    "original appointment",
    "ursprüngliche nachricht",
    "originalnachricht",
    "message d'origine",
    "message original",
    "mensaje original",
    "messaggio originale",
    "oorspronkelijk bericht",
    "mensagem original",
    "original meddelelse",
    "ursprungligt meddelande",
    "wiadomość oryginalna",
    "исходное сообщение",
];

const FIELDS: [[&str; 4]; 11] = [
    ["from", "sent|date", "to", "subject"],
    ["von", "gesendet|datum", "an", "betreff"],
    ["de", "envoyé|date", "à", "objet|sujet"],
    ["de", "enviado|enviado el|fecha|data", "para", "asunto|assunto"],
    ["da", "inviato|data", "a", "oggetto"],
    ["van", "verzonden|datum", "aan", "onderwerp"],
    ["från", "skickat|datum", "till", "ämne"],
    ["fra", "sendt|dato", "til", "emne"],
    ["od", "wysłano|data|odesláno", "do|komu", "temat|předmět"],
    ["от", "отправлено|дата", "кому", "тема"],
    ["发件人", "发送时间|日期", "收件人", "主题"],
];

const SIGN_OFFS: [&str; 20] = [
    "sent from my ",
    "sent from mail for windows",
    "sent from outlook for ",
    "sent from yahoo mail",
    "sent from proton mail",
    "sent with proton mail",
    "sent via ",
    "get outlook for ",
    "von meinem iphone gesendet",
    "von meinem ipad gesendet",
    "gesendet von mail",
    "gesendet mit der ",
    "diese nachricht wurde von meinem android",
    "envoyé de mon ",
    "envoyé depuis ",
    "enviado desde mi ",
    "enviado do meu ",
    "inviato da ",
    "verzonden vanaf mijn ",
    "skickat från min ",
];
