//! Which addresses may be reached: the guard between a URL that anybody can submit and the
//! networks that this service sits in.
//!
//! Checked twice: [`Egress::check`] judges a URL as it is written, [`Egress::resolve`] every address
//! that its name has at the moment of a connection, and connections go only to what it returns. So
//! a name that changes its address between the two (DNS rebinding) gains nothing. It knows no HTTP.

mod address;
mod allow;
mod own;

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use shared::TargetUrl;
use url::Host;

pub use allow::InvalidEgress;
use allow::{Allow, Vouched};
use own::Own;

/// The target's address must not be reached. It says no more than that on purpose: what lives
/// there is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the target's address is not one this service may reach (EGRESS_ALLOW)")]
pub struct Blocked;

/// Why a target has no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveFailure {
    /// Its name did not resolve.
    #[error("the target's name did not resolve: {0}")]
    Dns(#[source] io::Error),
    /// It must not be reached.
    #[error(transparent)]
    Blocked(#[from] Blocked),
}

type Lookup = dyn Fn(String, u16) -> Looking + Send + Sync;
type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The policy. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    policy: Arc<Policy>,
    lookup: Arc<Lookup>,
}

struct Policy {
    allow: Allow,
    own: Own,
}

impl Egress {
    /// What a service reached by others allows unless told otherwise.
    pub const PUBLIC: &str = "public";
    /// What a service on one person's loopback allows unless told otherwise.
    pub const LOCAL: &str = "public,private,loopback";

    /// A policy.
    ///
    /// - `allow`: a comma list of `public`, `private`, `loopback`, networks (`10.0.0.0/8`,
    ///   `[fd12::/16]`) and host patterns (`llm.internal`, `*.svc.cluster.local`), each with
    ///   optional ports (`:8000`, `:8000-8999`).
    /// - `own`: hosts (names or addresses) and ports of ourselves and our database, which no
    ///   list opens. `0.0.0.0` and `::` stand for every address of this machine.
    ///
    /// A host pattern vouches for public and private addresses of the names it matches; loopback
    /// needs `loopback`, a network or the name `localhost`. Link-local and metadata addresses,
    /// multicast and the like are beyond every list.
    pub fn new(allow: &str, own: Vec<(String, u16)>) -> Result<Self, InvalidEgress> {
        let policy = Arc::new(Policy { allow: Allow::parse(allow)?, own: Own::new(own) });
        Ok(Self { policy, lookup: Arc::new(system_lookup) })
    }

    /// The same policy with names looked up by `lookup` (name and port to addresses) in place of
    /// the system's resolver.
    #[must_use]
    pub fn with_lookup<L, F>(self, lookup: L) -> Self
    where
        L: Fn(String, u16) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let lookup = move |name, port| -> Looking { Box::pin(lookup(name, port)) };
        Self { lookup: Arc::new(lookup), ..self }
    }

    /// Whether the URL, as it is written, may name a target: literal addresses in all spellings,
    /// names of metadata services, `localhost`, our own addresses. Asks no DNS.
    pub fn check(&self, url: &TargetUrl) -> Result<(), Blocked> {
        let port = url.port();
        match url.host() {
            Host::Ipv4(ip) => self.vet(None, ip.into(), port),
            Host::Ipv6(ip) => self.vet(None, ip.into(), port),
            Host::Domain(name) => {
                let name = Name::new(name);
                if name.is_metadata() || self.policy.own.is_named(&name.0, port) {
                    Err(Blocked)
                } else if name.is_localhost() {
                    let reachable = LOOPBACK.iter().any(|ip| self.may(Some(&name), *ip, port));
                    if reachable { Ok(()) } else { Err(Blocked) }
                } else if self.policy.allow.may_allow_a_name(&name.0, port) {
                    Ok(())
                } else {
                    Err(Blocked)
                }
            }
        }
    }

    /// The addresses that a connection to the target may go to now, in the resolver's order.
    /// `localhost` is not looked up.
    pub async fn resolve(&self, url: &TargetUrl) -> Result<Vec<SocketAddr>, ResolveFailure> {
        self.resolve_timed(url).await.map(|(addresses, _)| addresses)
    }

    /// The same, and how long the name took to look up; none: there was nothing to look up.
    pub(crate) async fn resolve_timed(
        &self,
        url: &TargetUrl,
    ) -> Result<(Vec<SocketAddr>, Option<Duration>), ResolveFailure> {
        self.check(url)?;
        let mut looked_up_in = None;
        let port = url.port();
        let (name, found) = match url.host() {
            Host::Ipv4(ip) => (None, vec![SocketAddr::new(ip.into(), port)]),
            Host::Ipv6(ip) => (None, vec![SocketAddr::new(ip.into(), port)]),
            Host::Domain(domain) => {
                let name = Name::new(domain);
                let found = if name.is_localhost() {
                    LOOPBACK.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
                } else {
                    let began = Instant::now();
                    let found = (self.lookup)(domain.to_owned(), port).await;
                    looked_up_in = Some(began.elapsed());
                    found.map_err(ResolveFailure::Dns)?
                };
                (Some(name), found)
            }
        };
        if found.is_empty() {
            let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(ResolveFailure::Dns(nothing));
        }
        let ours = self.own_named_addresses(port).await;
        let vetted: Vec<SocketAddr> = found
            .into_iter()
            // A lookup may answer with any port; the URL's is the one that was judged.
            .map(|address| SocketAddr::new(address.ip(), port))
            .filter(|address| !ours.contains(&address.ip().to_canonical()))
            .filter(|address| self.may(name.as_ref(), address.ip(), port))
            .collect();
        if vetted.is_empty() { Err(Blocked.into()) } else { Ok((vetted, looked_up_in)) }
    }

    /// Whether an address that [`Egress::resolve`] returned earlier may still be connected to: our
    /// interfaces may have changed since. It does not stand for `resolve`, which knows the name.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), Blocked> {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let vouched = self.policy.allow.could_vouch(port);
        if self.may_as(vouched, ip, port) { Ok(()) } else { Err(Blocked) }
    }

    /// The addresses that our own names have now, where one of them has this port. A name that
    /// does not resolve guards nothing: nobody reaches it.
    async fn own_named_addresses(&self, port: u16) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for name in self.policy.own.names_at(port) {
            if let Ok(found) = (self.lookup)(name.to_owned(), port).await {
                addresses.extend(found.iter().map(|address| address.ip().to_canonical()));
            }
        }
        addresses
    }

    fn vet(&self, name: Option<&Name>, ip: IpAddr, port: u16) -> Result<(), Blocked> {
        if self.may(name, ip, port) { Ok(()) } else { Err(Blocked) }
    }

    /// Whether `ip`, which `name` led to where there was one, may be reached.
    fn may(&self, name: Option<&Name>, ip: IpAddr, port: u16) -> bool {
        let vouched = match name {
            Some(name) if self.policy.allow.vouches_for(&name.0, port) => {
                Vouched { others: true, loopback: name.is_localhost() }
            }
            _ => Vouched::default(),
        };
        self.may_as(vouched, ip.to_canonical(), port)
    }

    fn may_as(&self, vouched: Vouched, ip: IpAddr, port: u16) -> bool {
        let Policy { allow, own } = &*self.policy;
        // An address that carries another one inside must be allowed for both.
        let inner = address::embedded(ip);
        let inner_may = |inner: &Ipv4Addr| {
            !inner.is_loopback()
                && !address::is_forbidden((*inner).into())
                && !own.is_at((*inner).into(), port)
                && allow.allows((*inner).into(), port, vouched)
        };
        !address::is_forbidden(ip)
            && !own.is_at(ip, port)
            && allow.allows(ip, port, vouched)
            && inner.iter().all(inner_may)
    }
}

/// What `localhost` means, whatever DNS says.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn system_lookup(name: String, port: u16) -> Looking {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("allow", &self.policy.allow).finish_non_exhaustive()
    }
}

/// A host name in the one form in which names are compared: lower case, no dot at its end.
struct Name(String);

impl Name {
    fn new(name: &str) -> Self {
        Self(name.trim_end_matches('.').to_ascii_lowercase())
    }

    fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }

    fn is_metadata(&self) -> bool {
        address::is_metadata_name(&self.0)
    }
}

#[cfg(test)]
mod tests;
