use super::*;
use proptest::prelude::*;

#[test]
fn quotes_and_signatures_are_taken_off_in_many_languages() {
    for (what, text) in [
        ("marked", "Yes.\n\nOn Mon, 5 Jan 2026 at 10:02, Ann Lee <ann@our.example> wrote:\n> Shall we?\n>\n> Ann\n"),
        (
            "folded",
            "Yes.\n\nOn Mon, 5 Jan 2026 at 10:02, Ann Lee with a long name\n<ann@our.example> wrote:\n\n> Shall we?\n",
        ),
        ("unmarked", "Yes.\n\nOn Mon, 5 Jan 2026 at 10:02, Ann Lee <ann@our.example> wrote:\n\nShall we?\n\nAnn\n"),
        ("german", "Yes.\n\nAm 05.01.2026 um 10:02 schrieb Ann Lee <ann@our.example>:\n> Wollen wir?\n"),
        ("german 2", "Yes.\n\nAm Mo., 5. Jan. 2026 um 10:02 Uhr schrieb Ann Lee <ann@our.example>:\n\n> Wollen wir?\n"),
        ("french", "Yes.\n\nLe lun. 5 janv. 2026 à 10:02, Ann Lee <ann@our.example> a écrit :\n\n> On y va ?\n"),
        ("spanish", "Yes.\n\nEl lun, 5 ene 2026 a las 10:02, Ann Lee (<ann@our.example>) escribió:\n\n> ¿Vamos?\n"),
        (
            "italian",
            "Yes.\n\nIl giorno lun 5 gen 2026 alle ore 10:02 Ann Lee <ann@our.example> ha scritto:\n\n> Andiamo?\n",
        ),
        ("dutch", "Yes.\n\nOp ma 5 jan 2026 om 10:02 schreef Ann Lee <ann@our.example>:\n\n> Gaan we?\n"),
        (
            "portuguese",
            "Yes.\n\nEm seg., 5 de jan. de 2026 às 10:02, Ann Lee <ann@our.example> escreveu:\n\n> Vamos?\n",
        ),
        (
            "outlook",
            "Yes.\n\nFrom: Ann Lee <ann@our.example>\nSent: Monday, January 5, 2026 10:02 AM\nTo: Bert\nSubject: Offer\n\nShall we?\n",
        ),
        (
            "outlook with a rule",
            "Yes.\n\n________________________________\nFrom: Ann Lee <ann@our.example>\nSent: Monday\nTo: Bert\nSubject: Offer\n\nShall we?\n",
        ),
        (
            "outlook, german",
            "Yes.\n\nVon: Ann Lee <ann@our.example>\nGesendet: Montag, 5. Januar 2026 10:02\nAn: Bert\nBetreff: Angebot\n\nWollen wir?\n",
        ),
        ("original message", "Yes.\n\n-----Original Message-----\nFrom: Ann\n\nShall we?\n"),
        ("original message, german", "Yes.\n\n-----Ursprüngliche Nachricht-----\nVon: Ann\n\nWollen wir?\n"),
        ("signature", "Yes.\n-- \nBert Hill\nHead of Things\n"),
        ("telephone", "Yes.\n\nSent from my iPhone\n"),
        (
            "telephone and quote",
            "Yes.\n\nSent from my iPhone\n\n> On 5 Jan 2026, at 10:02, Ann Lee <ann@our.example> wrote:\n> \n> Shall we?\n",
        ),
        (
            "telephone, german",
            "Yes.\n\nVon meinem iPhone gesendet\n\n> Am 05.01.2026 um 10:02 schrieb Ann Lee <ann@our.example>:\n> Wollen wir?\n",
        ),
        ("nothing to take off", "Yes."),
        ("crlf", "Yes.\r\n\r\n> Shall we?\r\n"),
    ] {
        assert_eq!(without_quotes(text).trim(), "Yes.", "{what}");
    }
}

#[test]
fn answers_between_quotes_stay_and_so_does_whatever_is_not_plainly_quoted() {
    let inline = "On Mon, 5 Jan 2026, Ann <ann@our.example> wrote:\n> One?\nYes.\n\n> Two?\nNo.\n";
    assert_eq!(without_quotes(inline), "Yes.\n\nNo.");
    for kept in [
        "As Ann wrote:\nnobody knows.",
        "On the other hand, as I wrote:\nno.",
        "From: the beginning\nI did not like it.",
        "We ship --- quickly\n-- and cheaply -- as ever",
        "The list:\n- one\n- two",
        "Sent from my office yesterday, it should be there by now and I hope that you can use it, as we have no other one left.",
    ] {
        assert_eq!(without_quotes(kept), kept);
    }
    // A mail that is nothing but a quote is given whole.
    for whole in ["> all\n> quoted\n", "-----Original Message-----\nFrom: Ann\n"] {
        assert_eq!(without_quotes(whole), whole);
    }
}

#[test]
fn html_is_read_where_there_is_no_text() {
    let gmail = "<div dir=\"ltr\">Yes, <a href=\"https://x.example\">see here</a>.</div><br><div class=\"gmail_quote\">\
        <div dir=\"ltr\" class=\"gmail_attr\">On Mon, Jan 5, 2026 at 10:02 AM Ann Lee &lt;<a href=\"mailto:ann@our.example\">\
        ann@our.example</a>&gt; wrote:<br></div><blockquote class=\"gmail_quote\">Shall we?</blockquote></div>";
    let own = reply_text(None, Some(gmail)).unwrap();
    assert!(own.contains("see here") && !own.contains("wrote") && !own.contains("Shall we"), "{own}");
    let outlook = "<p>Yes.</p><div style=\"border-top:solid #E1E1E1 1.0pt\"><p><b>From:</b> Ann Lee<br><b>Sent:</b> Monday\
        <br><b>To:</b> Bert<br><b>Subject:</b> Offer</p></div><p>Shall we?</p>";
    assert_eq!(reply_text(None, Some(outlook)).as_deref(), Some("Yes."));
    assert_eq!(reply_text(Some("Text."), Some("<p>HTML</p>")).as_deref(), Some("Text."));
    assert_eq!(reply_text(None, None), None);
}

#[test]
fn long_texts_take_linear_time() {
    for line in ["On a b c d\n", "From: x\n", "> q\nx\n", "-- \n", "wrote: 2026\n", "-----\n", "On 2026\nx wrote:\nz\n"]
    {
        let _ = without_quotes(&line.repeat(LOOK / line.len()));
    }
}

fn is_subsequence(part: &str, whole: &str) -> bool {
    let mut lines = whole.lines();
    part.lines().all(|line| lines.any(|other| other.trim_end() == line.trim_end()))
}

proptest! {
    #[test]
    fn what_is_left_is_made_of_lines_of_the_text(lines in proptest::collection::vec(prop_oneof![
        Just("> quoted".to_owned()), Just("On Mon, 5 Jan 2026, Ann wrote:".to_owned()), Just("-- ".to_owned()),
        Just("From: Ann".to_owned()), Just("Sent: Monday".to_owned()), Just("To: Bert".to_owned()), Just(String::new()),
        Just("-----Original Message-----".to_owned()), Just("Sent from my iPhone".to_owned()), Just("____________".to_owned()),
        "[ -~]{0,20}", "\\PC{0,10}",
    ], 0..20)) {
        let text = lines.join("\n");
        let own = without_quotes(&text);
        prop_assert!(is_subsequence(&own, &text), "{own:?}");
        prop_assert!(text.trim().is_empty() || !own.trim().is_empty());
    }
}
