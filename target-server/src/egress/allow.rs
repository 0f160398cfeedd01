//! The allow list: what `EGRESS_ALLOW` says, read once, and what follows from it. Pure.

use std::{net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;
use url::Host;

use super::address::{self, Kind};

/// An entry of `EGRESS_ALLOW` that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEgress {
    /// No entry at all.
    #[error("EGRESS_ALLOW names nothing; `public` allows the internet")]
    Empty,
    /// Neither word, network nor host pattern.
    #[error(
        "EGRESS_ALLOW has `{0}`, which is not public, private, loopback, a network such as 10.0.0.0/8 or [fd12::/16], or a host such as llm.internal or *.svc.cluster.local"
    )]
    Unknown(String),
    /// A port range that is none.
    #[error("EGRESS_ALLOW has `{0}`, whose ports are not one from 1 to 65535 or a range of them")]
    Ports(String),
    /// A `*` where none may be.
    #[error(
        "EGRESS_ALLOW has `{0}`: `*` may only stand for the first labels of a host, as in *.svc.cluster.local"
    )]
    Wildcard(String),
}

/// What a host pattern that names the target allows of the addresses that the name has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vouched {
    /// Public and private ones.
    pub(super) others: bool,
    /// Loopback: the name is `localhost`.
    pub(super) loopback: bool,
}

/// The list.
#[derive(Debug)]
pub(super) struct Allow(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    what: What,
    ports: RangeInclusive<u16>,
}

#[derive(Debug)]
enum What {
    Kind(Kind),
    Net(IpNet),
    /// A name, in lower case.
    Host(String),
    /// `.svc.cluster.local`, for every name that ends so.
    Below(String),
}

impl Allow {
    pub(super) fn parse(list: &str) -> Result<Self, InvalidEgress> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let rules = entries.map(Rule::parse).collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() { Err(InvalidEgress::Empty) } else { Ok(Self(rules)) }
    }

    /// Whether a host pattern names it.
    pub(super) fn vouches_for(&self, name: &str, port: u16) -> bool {
        self.at(port).any(|what| match what {
            What::Host(host) => host == name,
            What::Below(suffix) => name.ends_with(suffix.as_str()),
            What::Kind(_) | What::Net(_) => false,
        })
    }

    /// The most that any host pattern could allow.
    pub(super) fn could_vouch(&self, port: u16) -> Vouched {
        let mut most = Vouched::default();
        for what in self.at(port) {
            if let What::Host(name) | What::Below(name) = what {
                most.others = true;
                most.loopback |= name == "localhost" || name.ends_with(".localhost");
            }
        }
        most
    }

    /// Whether a name could lead to an address that is allowed.
    pub(super) fn may_allow_a_name(&self, name: &str, port: u16) -> bool {
        self.vouches_for(name, port)
            || self.at(port).any(|what| matches!(what, What::Kind(_) | What::Net(_)))
    }

    /// Whether an address is allowed that is not beyond every list.
    pub(super) fn allows(&self, ip: IpAddr, port: u16, vouched: Vouched) -> bool {
        let kind = address::kind(ip);
        let by_name = match kind {
            Kind::Public | Kind::Private => vouched.others,
            Kind::Loopback => vouched.loopback,
            Kind::Special => false,
        };
        by_name
            || self.at(port).any(|what| match what {
                What::Kind(allowed) => *allowed == kind,
                What::Net(net) => address::contains(net, ip),
                What::Host(_) | What::Below(_) => false,
            })
    }

    fn at(&self, port: u16) -> impl Iterator<Item = &What> {
        self.0.iter().filter(move |rule| rule.ports.contains(&port)).map(|rule| &rule.what)
    }
}

impl Rule {
    fn parse(entry: &str) -> Result<Self, InvalidEgress> {
        let (what, ports) = split_ports(entry);
        let unknown = || InvalidEgress::Unknown(entry.to_owned());
        let ports = match ports {
            None => 1..=u16::MAX,
            Some(ports) => read_ports(ports).ok_or(InvalidEgress::Ports(entry.to_owned()))?,
        };
        let what = match what.to_ascii_lowercase().as_str() {
            "public" => What::Kind(Kind::Public),
            "private" => What::Kind(Kind::Private),
            "loopback" => What::Kind(Kind::Loopback),
            other => {
                if let Some(net) = read_net(other) {
                    What::Net(net)
                } else if other.strip_prefix("*.").unwrap_or(other).contains('*') {
                    return Err(InvalidEgress::Wildcard(entry.to_owned()));
                } else if let Some(parent) = other.strip_prefix("*.") {
                    What::Below(format!(".{}", read_host(parent).ok_or_else(unknown)?))
                } else {
                    What::Host(read_host(other).ok_or_else(unknown)?)
                }
            }
        };
        Ok(Self { what, ports })
    }
}

/// `10.0.0.0/8:8000` to network and ports; a bare `fd12::/16` has none.
fn split_ports(entry: &str) -> (&str, Option<&str>) {
    if read_net(entry).is_some() {
        return (entry, None);
    }
    let from = entry.rfind(']').unwrap_or(0);
    match entry[from..].rfind(':') {
        Some(colon) => (&entry[..from + colon], Some(&entry[from + colon + 1..])),
        None => (entry, None),
    }
}

fn read_ports(ports: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}

/// A network or a single address, an IPv6 one also as `[fd12::/16]` or `[fd12::]/16`.
fn read_net(text: &str) -> Option<IpNet> {
    let bare = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, prefix)) if prefix.is_empty() || prefix.starts_with('/') => {
            &format!("{inner}{prefix}")
        }
        _ => text,
    };
    bare.parse::<IpNet>().ok().or_else(|| bare.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A host name as URLs have it; a number such as `127.1` is none.
fn read_host(text: &str) -> Option<String> {
    match Host::parse(text.trim_end_matches('.')) {
        Ok(Host::Domain(name)) if !name.starts_with('.') && !name.is_empty() => Some(name),
        _ => None,
    }
}
