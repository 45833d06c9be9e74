use super::*;
use crate::mime::dkim::KeyProblem;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

/// The message of RFC 8463 appendix A.3.
const RFC_MESSAGE: &str = "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n\
     Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
     Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\nHi.\r\n\r\nWe lost the game.  Are you hungry \
     yet?\r\n\r\nJoe.\r\n";
/// Its key: the secret half of RFC 8032 §7.1, test 1, wrapped as PKCS #8.
const ED25519_PEM: &str = include_str!("test_keys/ed25519.pem");
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const RSA_PEM: &str = include_str!("test_keys/rsa_2048.pem");

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

#[test]
fn the_signature_in_the_standard_is_one_over_what_we_would_sign() {
    let (fields, body) = split(RFC_MESSAGE.as_bytes());
    assert_eq!(STANDARD.encode(body_hash(body)), "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    let field = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; \
         i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id \
         : from : subject : date;\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
    let names = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"];
    let text = signed_text(&fields, &names, field);
    let value = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
    let key = SigningKey::from_pem(ED25519_PEM.as_bytes()).unwrap();
    assert_eq!(STANDARD.encode(key.sign(&text).unwrap()), value);
    assert_eq!(key.record(), format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}"));
}

/// The value of a tag, without blanks.
fn tag<'a>(field: &'a str, name: &str) -> String {
    let value = |part: &'a str| part.trim().strip_prefix(name)?.strip_prefix('=');
    field.split(';').find_map(value).unwrap().chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn a_signature_covers_what_matters_once_more_than_it_occurs_and_repeats_itself() {
    let message =
        "From: a@example.org\r\nList-Unsubscribe: <https://x>\r\nReceived: 1\r\nSubject: s\r\n\r\nbody \r\n\r\n";
    for pem in [ED25519_PEM, RSA_PEM] {
        let key = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let signer = Signer { domain: "example.org", selector: "one", key: &key };
        let signed = sign(message.as_bytes(), &[signer, signer], at(1_800_000_000)).unwrap();
        assert_eq!(signed, sign(message.as_bytes(), &[signer, signer], at(1_800_000_000)).unwrap());
        let text = String::from_utf8(signed).unwrap();
        let field = text.strip_suffix(message).unwrap();
        assert!(field.lines().all(|line| line.len() <= 78 && !line.contains('\n')), "{field}");
        assert_eq!(field.matches("DKIM-Signature:").count(), 2);
        let one = &field[..field.len() / 2];
        let signed: Vec<String> = tag(one, "h").split(':').map(str::to_owned).collect();
        let times = |name: &str| signed.iter().filter(|signed| *signed == name).count();
        assert_eq!((times("from"), times("subject"), times("cc"), times("list-unsubscribe")), (2, 2, 1, 1), "{one}");
        assert_eq!((times("list-unsubscribe-post"), times("received")), (0, 0));
        assert_eq!(
            (tag(one, "d").as_str(), tag(one, "s").as_str(), tag(one, "t").as_str()),
            ("example.org", "one", "1800000000")
        );
        assert!(!one.contains("l="), "{one}");

        // The signature holds for the public key of the record, over the field with an empty b=.
        let (fields, _) = split(message.as_bytes());
        let names: Vec<&str> = signed.iter().map(String::as_str).collect();
        let text = signed_text(&fields, &names, &one[..one.find(" b=").unwrap() + 3]);
        let value = STANDARD.decode(tag(one, "b")).unwrap();
        let public = STANDARD.decode(tag(&key.record(), "p")).unwrap();
        if pem == RSA_PEM {
            // 24 octets of wrapping before the key itself.
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public[24..]).verify(&text, &value).unwrap();
        } else {
            let hash = ring::digest::digest(&ring::digest::SHA256, &text);
            UnparsedPublicKey::new(&ED25519, &public).verify(hash.as_ref(), &value).unwrap();
        }
    }
}

#[test]
fn what_is_no_key_says_why() {
    for (pem, wanted) in [
        ("", KeyProblem::NotPem),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", KeyProblem::NotPem),
        (include_str!("test_keys/rsa_1024.pem"), KeyProblem::Size),
        (include_str!("test_keys/p256.pem"), KeyProblem::OtherKind),
    ] {
        assert_eq!(SigningKey::from_pem(pem.as_bytes()).unwrap_err(), wanted, "{pem}");
    }
    let broken = RSA_PEM.replace("MII", "MIJ");
    assert!(matches!(SigningKey::from_pem(broken.as_bytes()), Err(KeyProblem::Damaged(_) | KeyProblem::OtherKind)));
    assert_eq!(format!("{:?}", SigningKey::from_pem(RSA_PEM.as_bytes()).unwrap()), "SigningKey(rsa-sha256)");
    assert!(SigningKey::from_pem(include_str!("test_keys/rsa_2048_pkcs1.pem").as_bytes()).is_ok());
}
