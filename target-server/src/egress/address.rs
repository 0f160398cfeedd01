//! What an address is, apart from what anybody allows: public, private, loopback, or beyond every
//! list. Pure.
//!
//! Sources: the IANA IPv4 and IPv6 special-purpose address registries; the clouds' documentation
//! for their metadata services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The kinds of addresses that an allow list can name by word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Routable on the internet.
    Public,
    /// For use inside a network: RFC 1918, unique local, shared address space.
    Private,
    /// This machine.
    Loopback,
    /// Set aside for something else; only a network rule opens it.
    Special,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 3], tail: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(head[0], head[1], head[2], 0, 0, 0, 0, tail), prefix)
}

/// Never reached, whatever the list says.
const FORBIDDEN_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),          // "this network"; 0.0.0.0 reaches loopback on Linux
    v4(169, 254, 0, 0, 16),     // link-local: the metadata service of most clouds
    v4(100, 100, 100, 200, 32), // metadata: Alibaba
    v4(168, 63, 129, 16, 32),   // Azure's host agent
    v4(192, 0, 0, 192, 32),     // metadata: Oracle
    v4(224, 0, 0, 0, 4),        // multicast
    v4(255, 255, 255, 255, 32), // broadcast
];

/// Never reached, whatever the list says.
const FORBIDDEN_V6: &[Ipv6Net] = &[
    v6([0, 0, 0], 0, 128),               // unspecified
    v6([0xFE80, 0, 0], 0, 10),           // link-local
    v6([0xFD00, 0x0EC2, 0], 0, 32),      // metadata, DNS, credentials: Amazon
    v6([0xFD20, 0x00CE, 0], 0x254, 128), // metadata: Google
    v6([0xFD00, 0x00C1, 0], 0, 32),      // metadata: Oracle
    v6([0xFD00, 0x0042, 0], 0x42, 128),  // metadata: Scaleway
    v6([0xFF00, 0, 0], 0, 8),            // multicast
];

const PRIVATE_V4: &[Ipv4Net] = &[
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(100, 64, 0, 0, 10), // shared address space: carriers, overlay networks
];

const UNIQUE_LOCAL: Ipv6Net = v6([0xFC00, 0, 0], 0, 7);

const SPECIAL_V4: &[Ipv4Net] = &[
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 31, 196, 0, 24), // AS112
    v4(192, 52, 193, 0, 24), // AMT
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 175, 48, 0, 24), // AS112
    v4(198, 18, 0, 0, 15),   // benchmarking of network devices
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(240, 0, 0, 0, 4),     // reserved
];

/// What of IPv6 is routed on the internet at all.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0], 0, 3);

/// Parts of [`GLOBAL_UNICAST`] that are not public.
const SPECIAL_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0], 0, 23),      // protocol assignments, Teredo among them
    v6([0x2001, 0x0DB8, 0], 0, 32), // documentation
    v6([0x2002, 0, 0], 0, 16),      // 6to4
    v6([0x2620, 0x004F, 0x8000], 0, 48), // AS112
    v6([0x3FFE, 0, 0], 0, 16),      // 6bone
    v6([0x3FFF, 0, 0], 0, 20),      // documentation
];

/// The translation prefix whose addresses are as reachable as the IPv4 address inside.
const NAT64: Ipv6Net = v6([0x0064, 0xFF9B, 0], 0, 96);
/// Translation inside a network.
const LOCAL_NAT64: Ipv6Net = v6([0x0064, 0xFF9B, 1], 0, 48);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 0, 16);
const TEREDO: Ipv6Net = v6([0x2001, 0, 0], 0, 32);
const V4_COMPATIBLE: Ipv6Net = v6([0, 0, 0], 0, 96);
/// `::ffff:0:a.b.c.d`, the translated form of SIIT.
const V4_TRANSLATED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xFFFF, 0, 0, 0), 96);

/// Whether nothing may ever be reached there. `ip` is canonical: no v4-mapped one.
pub(super) fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => FORBIDDEN_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => FORBIDDEN_V6.iter().any(|net| net.contains(&ip)),
    }
}

/// The kind of an address that is not forbidden. `ip` is canonical: no v4-mapped one.
pub(super) fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => Kind::Loopback,
        IpAddr::V4(ip) if PRIVATE_V4.iter().any(|net| net.contains(&ip)) => Kind::Private,
        IpAddr::V4(ip) if SPECIAL_V4.iter().any(|net| net.contains(&ip)) => Kind::Special,
        IpAddr::V4(_) => Kind::Public,
        IpAddr::V6(ip) if ip.is_loopback() => Kind::Loopback,
        IpAddr::V6(ip) if UNIQUE_LOCAL.contains(&ip) => Kind::Private,
        // As good as the address inside, which is judged too.
        IpAddr::V6(ip) if NAT64.contains(&ip) => kind(low_v4(ip).into()),
        IpAddr::V6(ip) if SPECIAL_V6.iter().any(|net| net.contains(&ip)) => Kind::Special,
        IpAddr::V6(ip) if GLOBAL_UNICAST.contains(&ip) => Kind::Public,
        IpAddr::V6(_) => Kind::Special,
    }
}

/// The IPv4 addresses that an IPv6 address carries inside and that a translator or a tunnel on
/// the way may send to.
pub(super) fn embedded(ip: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return Vec::new() };
    let octets = ip.octets();
    let at = |from: usize| Ipv4Addr::from_octets([0, 1, 2, 3].map(|nth| octets[from + nth]));
    if ip.is_loopback() || ip.is_unspecified() {
        Vec::new()
    } else if [NAT64, V4_COMPATIBLE, V4_TRANSLATED].iter().any(|net| net.contains(&ip)) {
        vec![low_v4(ip)]
    } else if LOCAL_NAT64.contains(&ip) {
        // RFC 6052: behind a prefix of 48 bits, octet 8 is left out; behind one of 96, the address
        // is last. The other place is then zero.
        let behind_48 = Ipv4Addr::new(octets[6], octets[7], octets[9], octets[10]);
        let places = [behind_48, low_v4(ip)].into_iter();
        let filled: Vec<_> = places.filter(|v4| !v4.is_unspecified()).collect();
        if filled.is_empty() { vec![Ipv4Addr::UNSPECIFIED] } else { filled }
    } else if SIX_TO_FOUR.contains(&ip) {
        vec![at(2)]
    } else if TEREDO.contains(&ip) {
        vec![at(4), Ipv4Addr::from_bits(!low_v4(ip).to_bits())]
    } else if ip.segments()[5] == 0x5EFE && ip.segments()[4] & !0x0200 == 0 {
        vec![low_v4(ip)] // ISATAP
    } else {
        Vec::new()
    }
}

/// The last 32 bits.
fn low_v4(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// Names under which clouds serve credentials to whoever asks from inside. `name` is in lower
/// case, without a dot at its end.
pub(super) fn is_metadata_name(name: &str) -> bool {
    const SERVICES: &[&str] = &[
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.com",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "metadata.platformequinix.com",
        "metadata.packet.net",
        "metadata.ec2.internal",
    ];
    let is_or_is_below = |service: &str| {
        name.strip_suffix(service).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    SERVICES.iter().any(|service| is_or_is_below(service))
        || (matches!(first, "metadata" | "instance-data")
            && (rest.is_empty() || rest == "internal" || rest.ends_with(".internal")))
}

/// `net` and `ip` in the families in which they can be compared: a v4-mapped network is IPv4's.
pub(super) fn contains(net: &IpNet, ip: IpAddr) -> bool {
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            let v4 = low_v4(v6.addr());
            Ipv4Net::new(v4, v6.prefix_len() - 96).is_ok_and(|net| IpNet::V4(net).contains(&ip))
        }
        net => net.contains(&ip),
    }
}
