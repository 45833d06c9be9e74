/// Name and password of a PLAIN response (RFC 4616), `authzid NUL authcid NUL passwd`. Another identity than one's own cannot be asked for.
pub(super) fn plain_credentials(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('\0');
    let (identity, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    let own = identity.is_empty() || identity.eq_ignore_ascii_case(name);
    (own && !name.is_empty() && parts.next().is_none()).then(|| (name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_takes_name_and_password_and_no_other_identity() {
        assert_eq!(plain_credentials("\0ann\0secret"), Some(("ann".into(), "secret".into())));
        assert_eq!(plain_credentials("ann\0ann\0secret"), Some(("ann".into(), "secret".into())));
        for bad in ["", "ann", "\0ann", "bob\0ann\0secret", "\0\0secret", "\0ann\0secret\0more"] {
            assert_eq!(plain_credentials(bad), None, "{bad:?}");
        }
    }
}
