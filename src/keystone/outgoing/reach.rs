//! Where an address leads: to this machine, into a private network, or to the world.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address leads to this machine or no further than its link, where clouds have their metadata service.
pub(super) fn is_own(address: IpAddr) -> bool {
    any(address, |address| match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
    })
}

/// Whether an address belongs to a private network, or to one that a provider shares among its customers.
pub(super) fn is_private(address: IpAddr) -> bool {
    any(address, |address| match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || first == 100 && second & 0xc0 == 64
        }
        // Site-local addresses are out of use, and in use here and there.
        IpAddr::V6(address) => address.is_unique_local() || address.segments()[0] & 0xffc0 == 0xfec0,
    })
}

/// Whether it is true of the address or of one that is embedded in it.
pub(super) fn any(address: IpAddr, is: impl Fn(IpAddr) -> bool) -> bool {
    let embedded = match address {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(address) => embedded(address),
    };
    is(address) || embedded.into_iter().any(|address| is(address.into()))
}

/// The addresses of IPv4 at which routers and translators on the way may deliver what is sent to this one.
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    const LAST: [usize; 4] = [12, 13, 14, 15];
    let octets = address.octets();
    let forms: &[[usize; 4]] = match address.segments() {
        // Mapped (::ffff:0:0/96), compatible (::/96) and translated (::ffff:0:0:0/96) ones.
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => &[LAST],
        // NAT64: the well-known prefix, and the one for networks of one's own, where it may be of any length.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => &[LAST],
        [0x64, 0xff9b, 1, ..] => &[[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], LAST],
        // 6to4.
        [0x2002, ..] => &[[2, 3, 4, 5]],
        _ => &[],
    };
    // What is no address in one of several forms is one in another.
    let found = forms.iter().map(|form| Ipv4Addr::from(form.map(|index| octets[index])));
    found.filter(|found| forms.len() == 1 || !found.is_unspecified()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_leads_to_this_machine_or_its_link_does_so_in_every_form() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "::",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "64:ff9b::",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00:0",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
        ] {
            assert!(is_own(parse(text)), "{text}");
        }
        for text in [
            "192.0.2.1",
            "10.0.0.1",
            "169.253.1.1",
            "2001:db8::1",
            "fd00::1",
            "::ffff:192.0.2.1",
            "64:ff9b::192.0.2.1",
            "64:ff9b:1::192.0.2.1",
            "64:ff9b:2::127.0.0.1",
            "2002:c000:201::7f00:1",
            "2001:db8::127.0.0.1",
        ] {
            assert!(!is_own(parse(text)), "{text}");
        }
    }

    #[test]
    fn private_networks_are_known_in_every_form() {
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:c0a8:101::1",
        ] {
            assert!(is_private(parse(text)), "{text}");
        }
        for text in
            ["172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.0.2.1", "2001:db8::1", "2002:c000:201::"]
        {
            assert!(!is_private(parse(text)), "{text}");
        }
    }
}
