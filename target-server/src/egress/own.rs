//! Our own addresses: the API's port and the database's, which no allow list opens. A benchmark
//! that could reach them would be a way around our own authentication.

use std::net::IpAddr;

use super::Name;

/// Hosts and ports of ourselves.
pub(super) struct Own(Vec<(OwnHost, u16)>);

enum OwnHost {
    /// This one address.
    Address(IpAddr),
    /// This machine, by whatever loopback address or name.
    Loopback,
    /// Every address of this machine: what `0.0.0.0` listens on.
    Everywhere,
    /// A name, in lower case.
    Named(String),
}

impl Own {
    pub(super) fn new(own: Vec<(String, u16)>) -> Self {
        let read = |host: String| {
            let bare = host.trim().trim_start_matches('[').trim_end_matches(']');
            match bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
                Ok(ip) if ip.is_unspecified() => OwnHost::Everywhere,
                Ok(ip) if ip.is_loopback() => OwnHost::Loopback,
                Ok(ip) => OwnHost::Address(ip),
                Err(_) => {
                    let name = Name::new(bare);
                    if name.is_localhost() { OwnHost::Loopback } else { OwnHost::Named(name.0) }
                }
            }
        };
        Self(own.into_iter().map(|(host, port)| (read(host), port)).collect())
    }

    /// Whether `ip` at `port` is us, as far as it can be told without DNS.
    pub(super) fn is_at(&self, ip: IpAddr, port: u16) -> bool {
        self.at(port).any(|host| match host {
            OwnHost::Address(own) => *own == ip,
            OwnHost::Loopback => ip.is_loopback(),
            OwnHost::Everywhere => ip.is_loopback() || is_of_this_machine(ip),
            OwnHost::Named(_) => false,
        })
    }

    /// Whether `name` at `port` is one of ours. `name` is in lower case.
    pub(super) fn is_named(&self, name: &str, port: u16) -> bool {
        self.names_at(port).any(|own| own == name)
    }

    /// Our names at `port`.
    pub(super) fn names_at(&self, port: u16) -> impl Iterator<Item = &str> {
        self.at(port).filter_map(|host| match host {
            OwnHost::Named(name) => Some(name.as_str()),
            OwnHost::Address(_) | OwnHost::Loopback | OwnHost::Everywhere => None,
        })
    }

    fn at(&self, port: u16) -> impl Iterator<Item = &OwnHost> {
        self.0.iter().filter(move |(_, own)| *own == port).map(|(host, _)| host)
    }
}

/// Whether one of this machine's interfaces has the address. Asked only for a port of ours, so
/// seldom, and each time, because interfaces come and go. If they cannot be listed, an address
/// that could be ours counts as ours.
fn is_of_this_machine(ip: IpAddr) -> bool {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return true };
    interfaces.filter_map(|interface| interface.address).any(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        v4.or(v6) == Some(ip)
    })
}
