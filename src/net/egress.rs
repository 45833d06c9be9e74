//! Where connections may go: one pure function over the address that is about to be connected to.
//!
//! Names and odd spellings of addresses (`2130706433`, `0x7f.1`, `localhost.`) are none of its business: what counts is
//! the address that the resolver made of them, and the connection goes to that very address.

use crate::domain::connection::Reach;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The ports that mail is served on; any other needs [`Reach::Private`].
pub const MAIL_PORTS: [u16; 6] = [25, 465, 587, 2525, 143, 993];

/// What the configuration adds to the rule, for every mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// Loopback and private ranges are open to everybody, not only where an administrator named the host.
    pub allow_private: bool,
    /// A server that offers no STARTTLS may be spoken to in plaintext over the public internet.
    pub allow_public_plaintext: bool,
}

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The public internet.
    Public,
    /// Loopback, RFC 1918, unique local and shared (100.64/10) addresses, and translations of them.
    Private,
    /// Link-local, metadata services, multicast, reserved: no mail server lives there.
    Never,
}

/// Why the rule refused an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No setting opens this address.
    Never,
    /// The address needs an administrator, or `allow_private`.
    Private,
    /// The port needs an administrator.
    Port(u16),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("the address is link-local, reserved, multicast or a metadata service"),
            Self::Private => f.write_str("the address is loopback or private"),
            Self::Port(port) => write!(f, "port {port} is not a mail port"),
        }
    }
}

/// Decides whether a mail connection may go to `address` and `port`.
pub fn check(rules: EgressRules, address: IpAddr, port: u16, reach: Reach) -> Result<(), Refusal> {
    match place(address) {
        Place::Never => return Err(Refusal::Never),
        Place::Private if reach == Reach::Public && !rules.allow_private => return Err(Refusal::Private),
        Place::Private | Place::Public => {}
    }
    let open = MAIL_PORTS.contains(&port) || (reach == Reach::Private && port != 0);
    if open { Ok(()) } else { Err(Refusal::Port(port)) }
}

/// What kind of place `address` is. An address that carries another one is the worse of what it may stand for.
pub fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

// Kept in the order in which a range has to win over a wider one.
#[allow(clippy::match_same_arms)]
fn place_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        // Metadata services inside ranges that are otherwise private (Alibaba) or public (Azure).
        (100, 100, 100, 200) | (168, 63, 129, 16) => Place::Never,
        // This network; link-local with 169.254.169.254; IETF assignments; documentation; the retired 6to4 relay;
        // benchmarking; multicast, reserved, broadcast (RFC 6890).
        (0 | 224..=255, ..)
        | (169, 254, ..)
        | (192, 0, 0 | 2, _)
        | (198, 51, 100, _)
        | (203, 0, 113, _)
        | (192, 88, 99, _)
        | (198, 18 | 19, ..) => Place::Never,
        (127 | 10, ..) | (172, 16..=31, ..) | (192, 168, ..) | (100, 64..=127, ..) => Place::Private,
        _ => Place::Public,
    }
}

// Kept in the order in which a range has to win over a wider one.
#[allow(clippy::match_same_arms)]
fn place_v6(address: Ipv6Addr) -> Place {
    let s = address.segments();
    let v4 = |high: u16, low: u16| place_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Private,
        // IPv4-mapped (RFC 4291), NAT64 with the well-known prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // NAT64 with a prefix of the local network (RFC 8215): where the IPv4 address sits depends on that network, so
        // both usual places (prefixes of 96 and of 48 bits) are read; a reading that starts with 0 stands for nothing.
        [0x64, 0xff9b, 1, spread_high, spread_mid, spread_low, high, low] => {
            let readings = [(high, low), (spread_high, (spread_mid << 8) | (spread_low >> 8))];
            let real = readings.into_iter().filter(|(high, _)| high >> 8 != 0);
            real.map(|(high, low)| v4(high, low)).fold(Place::Private, Place::max)
        }
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo (RFC 4380): its server, and the client with every bit turned.
        [0x2001, 0, high, low, _, _, client_high, client_low] => v4(high, low).max(v4(!client_high, !client_low)),
        // Metadata services inside the unique local range (AWS, Google).
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Place::Never,
        // Unique local (RFC 4193).
        [first, ..] if first & 0xfe00 == 0xfc00 => Place::Private,
        // Inside global unicast, what is set aside: IETF assignments 2001::/23, documentation 2001:db8::/32, 3fff::/20.
        [0x2001, second, ..] if second < 0x0200 || second == 0x0db8 => Place::Never,
        [0x3fff, second, ..] if second < 0x1000 => Place::Never,
        // Global unicast, 2000::/3.
        [first, ..] if first & 0xe000 == 0x2000 => Place::Public,
        // Unspecified, IPv4-compatible, link-local, site-local, multicast and everything that is not assigned.
        _ => Place::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(expected: Place, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(place(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn public_addresses_are_public_also_when_translated() {
        places(
            Place::Public,
            &[
                "1.1.1.1",
                "100.63.255.255",
                "100.128.0.1",
                "172.15.0.1",
                "172.32.0.1",
                "192.0.1.1",
                "198.17.0.1",
                "223.255.255.255",
                "2a00:1450::1",
                "2001:4860:4860::8888",
                "2001:200::1",
                "::ffff:1.1.1.1",
                "64:ff9b::1.1.1.1",
                "2002:0101:0101::1",
                "2001:0:101:101::fefe:fefe",
            ],
        );
    }

    #[test]
    fn loopback_private_and_shared_addresses_are_private_however_they_are_wrapped() {
        places(
            Place::Private,
            &[
                "127.0.0.1",
                "127.255.255.255",
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "100.64.0.1",
                "100.127.255.255",
                "::1",
                "fc00::1",
                "fd12:3456::1",
                "::ffff:127.0.0.1",
                "::ffff:10.1.2.3",
                "64:ff9b::10.0.0.1",
                "64:ff9b::127.0.0.1",
                "64:ff9b:1::192.168.0.1",
                "64:ff9b:1::1.1.1.1",
                "64:ff9b:1:1::1.1.1.1",
                "2002:7f00:1::1",
                "2002:c0a8:1::1",
                "2001:0:101:101::80ff:fffe",
                "2001:0:a00:1::fefe:fefe",
            ],
        );
    }

    #[test]
    fn link_local_metadata_multicast_and_reserved_addresses_are_never_open() {
        places(
            Place::Never,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "169.254.0.1",
                "169.254.169.254",
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "192.0.2.1",
                "198.51.100.1",
                "203.0.113.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.255",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::127.0.0.1",
                "::2",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "ff02::1",
                "fd00:ec2::254",
                "fd20:ce::254",
                "2001:db8::1",
                "2001:2::1",
                "2001:10::1",
                "2001:20::1",
                "3fff::1",
                "100::1",
                "4000::1",
                "5f00::1",
                "::ffff:169.254.169.254",
                "::ffff:0.0.0.0",
                "::ffff:100.100.100.200",
                "64:ff9b::169.254.169.254",
                "64:ff9b::100.100.100.200",
                "64:ff9b:1::169.254.169.254",
                "64:ff9b:1:a9fe:a9:fe00::",
                "2002:a9fe:a9fe::1",
                "2001:0:101:101::5601:5601",
            ],
        );
    }

    #[test]
    fn private_places_open_to_an_administrators_host_or_by_configuration_and_others_never_do() {
        let open = EgressRules { allow_private: true, ..EgressRules::default() };
        let closed = EgressRules::default();
        let [public, private, never] = ["1.1.1.1", "10.0.0.1", "169.254.169.254"].map(|text| text.parse().unwrap());
        assert_eq!(check(closed, public, 993, Reach::Public), Ok(()));
        assert_eq!(check(closed, private, 993, Reach::Public), Err(Refusal::Private));
        assert_eq!(check(closed, private, 993, Reach::Private), Ok(()));
        assert_eq!(check(open, private, 993, Reach::Public), Ok(()));
        for rules in [open, closed] {
            for reach in [Reach::Public, Reach::Private] {
                assert_eq!(check(rules, never, 993, reach), Err(Refusal::Never));
            }
        }
    }

    #[test]
    fn ports_outside_mail_need_an_administrator() {
        let public = "1.1.1.1".parse().unwrap();
        for rules in [EgressRules::default(), EgressRules { allow_private: true, allow_public_plaintext: true }] {
            for port in MAIL_PORTS {
                assert_eq!(check(rules, public, port, Reach::Public), Ok(()), "{port}");
            }
            for port in [0, 22, 80, 443, 994, 6379, 9200] {
                assert_eq!(check(rules, public, port, Reach::Public), Err(Refusal::Port(port)), "{port}");
            }
            assert_eq!(check(rules, public, 10_025, Reach::Private), Ok(()));
            assert_eq!(check(rules, public, 0, Reach::Private), Err(Refusal::Port(0)));
        }
    }
}
