//! The names of folders as people read them: servers write them in modified UTF-7 (RFC 3501 section 5.1.3).

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

static CODEC: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A name as people read it. One that is no modified UTF-7 stays as the server writes it, and so does one that would
/// not look like a name: two folders never get the same text by that.
pub(super) fn decoded(name: &str) -> String {
    let Some(text) = decode(name) else { return name.to_owned() };
    if encoded(&text) == name && !text.chars().any(char::is_control) { text } else { name.to_owned() }
}

/// The same name as servers write it.
pub(super) fn encoded(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |shifted: &mut Vec<u8>, name: &mut String| {
        if !shifted.is_empty() {
            name.push('&');
            CODEC.encode_string(&*shifted, name);
            name.push('-');
            shifted.clear();
        }
    };
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            flush(&mut shifted, &mut name);
            name.push(character);
            if character == '&' {
                name.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut shifted, &mut name);
    name
}

fn decode(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((plain, shifted)) = rest.split_once('&') {
        text.push_str(plain);
        let (inside, after) = shifted.split_once('-')?;
        if inside.is_empty() {
            text.push('&');
        } else {
            let octets = CODEC.decode(inside).ok()?;
            let units: Vec<u16> = octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            text.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_servers_write_them() {
        for (name, text) in [
            ("Entw&APw-rfe", "Entwürfe"),
            ("&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-", "Отправленные"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("Q&-A", "Q&A"),
            ("&2D3eAA-", "😀"),
            ("plain", "plain"),
        ] {
            assert_eq!(decoded(name), text);
            assert_eq!(encoded(text), name);
        }
    }

    #[test]
    fn what_is_no_modified_utf_7_stays_as_it_is() {
        for name in ["A&B", "&!!!-", "&2AA-", "&AGE-", "x&AAo-y", "&AP8", "&A-", "&"] {
            assert_eq!(decoded(name), name);
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(text in "\\PC{0,40}") {
            prop_assert_eq!(decoded(&encoded(&text)), text);
        }

        #[test]
        fn two_folders_never_look_the_same(a in "[&A-Za-z,+-]{0,12}", b in "[&A-Za-z,+-]{0,12}") {
            prop_assume!(a != b);
            prop_assert_ne!(decoded(&a), decoded(&b));
        }
    }
}
