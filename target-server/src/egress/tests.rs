use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

mod addresses;

fn target(url: &str) -> TargetUrl {
    url.to_owned().try_into().unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn allowing(list: &str) -> Egress {
    Egress::new(list, Vec::new()).unwrap()
}

fn passes(egress: &Egress, url: &str) -> bool {
    egress.check(&target(url)).is_ok()
}

/// Names that resolve as the test says; any other does not.
fn knowing(egress: Egress, names: &'static [(&str, &[&str])]) -> Egress {
    egress.with_lookup(move |name, port| async move {
        let known = names.iter().find(|(known, _)| *known == name);
        let (_, ips) = known.ok_or_else(|| io::Error::other("no such name"))?;
        Ok(ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect())
    })
}

async fn resolved(egress: &Egress, url: &str) -> Result<Vec<String>, ResolveFailure> {
    let addresses = egress.resolve(&target(url)).await?;
    Ok(addresses.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn only_vetted_addresses_of_a_name_are_returned() {
    let names: &[(&str, &[&str])] = &[
        ("mixed.example", &["127.0.0.1", "8.8.8.8", "10.0.0.1", "169.254.169.254", "2606:4700::1"]),
        ("rebound.example", &["127.0.0.1", "::1"]),
        ("empty.example", &[]),
    ];
    let public = knowing(allowing(Egress::PUBLIC), names);
    assert_eq!(
        resolved(&public, "http://mixed.example:81").await.unwrap(),
        ["8.8.8.8:81", "[2606:4700::1]:81"]
    );
    let refused = resolved(&public, "http://rebound.example").await.unwrap_err();
    assert!(matches!(refused, ResolveFailure::Blocked(Blocked)));
    let refused = resolved(&public, "http://empty.example").await.unwrap_err();
    assert_eq!(refused.to_string(), "the target's name did not resolve: the name has no address");
    let refused = resolved(&public, "http://unknown.example").await.unwrap_err();
    assert_eq!(refused.to_string(), "the target's name did not resolve: no such name");
    let local = knowing(allowing(Egress::LOCAL), names);
    assert_eq!(resolved(&local, "http://mixed.example").await.unwrap().len(), 4);
}

#[tokio::test]
async fn localhost_is_loopback_whatever_dns_says() {
    let names: &[(&str, &[&str])] = &[("localhost", &["8.8.8.8"]), ("api.localhost", &["8.8.8.8"])];
    for url in ["http://localhost:7", "http://api.localhost.:7", "http://LOCALHOST:7"] {
        let public = knowing(allowing(Egress::PUBLIC), names);
        assert!(resolved(&public, url).await.is_err(), "{url}");
        let local = knowing(allowing(Egress::LOCAL), names);
        assert_eq!(resolved(&local, url).await.unwrap(), ["127.0.0.1:7", "[::1]:7"], "{url}");
    }
}

#[tokio::test]
async fn a_rule_can_name_networks_hosts_and_ports() {
    let list = "10.0.0.0/8:8000-8999, [fd12::/16]:8000 ,192.168.1.7,fd99::/16, [::1]:9, 198.18.0.0/15:80,\
        *.svc.cluster.local:8000-8001, LLM.internal., vllm:8000, [::ffff:172.16.0.0]/108:5";
    let egress = allowing(list);
    let cases = [
        ("http://10.1.2.3:8000", true),
        ("http://10.1.2.3:8999", true),
        ("http://10.1.2.3:9000", false),
        ("http://10.1.2.3", false),
        ("http://11.1.2.3:8000", false),
        ("http://[::ffff:10.1.2.3]:8000", true),
        ("http://[fd12:1::1]:8000", true),
        ("http://[fd12:1::1]:8001", false),
        ("http://192.168.1.7:1", true),
        ("http://192.168.1.8:1", false),
        ("http://[fd99::1]:1", true),
        ("http://[::1]:9", true),
        ("http://[::1]:10", false),
        ("http://127.0.0.1:9", false),
        ("http://198.18.0.1", true),
        ("http://172.16.1.1:5", true),
        ("http://172.32.1.1:5", false),
        ("http://8.8.8.8:8000", false),
    ];
    for (url, expected) in cases {
        assert_eq!(passes(&egress, url), expected, "{url}");
    }

    let names: &[(&str, &[&str])] = &[
        ("a.svc.cluster.local", &["192.168.50.9", "127.0.0.1", "169.254.169.254", "198.18.0.1"]),
        ("svc.cluster.local", &["192.168.50.9"]),
        ("evilsvc.cluster.local", &["192.168.50.9"]),
        ("llm.internal", &["192.168.50.9"]),
        ("a.llm.internal", &["192.168.50.9"]),
        ("vllm", &["192.168.50.9"]),
        ("other.example", &["10.0.0.1"]),
        ("public.example", &["8.8.8.8"]),
    ];
    let egress = knowing(egress, names);
    let cases = [
        ("http://a.svc.cluster.local:8000", Some("192.168.50.9:8000")),
        ("http://A.SVC.cluster.local.:8001", None), // the resolver here knows no such spelling
        ("http://a.svc.cluster.local:8002", None),
        ("http://svc.cluster.local:8000", None),
        ("http://evilsvc.cluster.local:8000", None),
        ("http://llm.internal", Some("192.168.50.9:80")),
        ("https://llm.internal", Some("192.168.50.9:443")),
        ("http://a.llm.internal", None),
        ("http://vllm:8000", Some("192.168.50.9:8000")),
        ("http://vllm:80", None),
        ("http://other.example:8000", Some("10.0.0.1:8000")),
        ("http://public.example:8000", None),
    ];
    for (url, expected) in cases {
        let seen = resolved(&egress, url).await.ok();
        assert_eq!(seen, expected.map(|address| vec![address.to_owned()]), "{url}");
        if let Some(address) = expected {
            egress.check_address(address.parse().unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_host_rule_opens_loopback_for_localhost_alone() {
    let names: &[(&str, &[&str])] = &[("evil.example", &["127.0.0.1"])];
    let egress = knowing(allowing("localhost:8000,*.example,evil.example"), names);
    assert_eq!(resolved(&egress, "http://localhost:8000").await.unwrap().len(), 2);
    assert!(resolved(&egress, "http://localhost:8001").await.is_err());
    assert!(resolved(&egress, "http://127.0.0.1:8000").await.is_err());
    assert!(resolved(&egress, "http://evil.example:8000").await.is_err());
    egress.check_address("127.0.0.1:8000".parse().unwrap()).unwrap();
    egress.check_address("127.0.0.1:8001".parse().unwrap()).unwrap_err();
}

#[test]
fn a_list_that_says_nothing_is_refused_with_the_entry() {
    for list in ["", " ", ",", " , "] {
        assert_eq!(Egress::new(list, Vec::new()).unwrap_err(), InvalidEgress::Empty);
    }
    let unknown =
        ["10.0.0.0/33", "[fd12::/16", "127.1", "http://x", "a b", "10.0.0.0/8/8", "::g", "-_/"];
    for entry in unknown {
        let refused = Egress::new(&format!("public,{entry}"), Vec::new()).unwrap_err();
        assert!(refused.to_string().contains("EGRESS_ALLOW has `"), "{entry}: {refused}");
    }
    for entry in ["public:0", "10.0.0.0/8:70000", "llm.internal:9-8", "[fd12::/16]:", "vllm:x"] {
        let refused = Egress::new(entry, Vec::new()).unwrap_err();
        assert_eq!(refused, InvalidEgress::Ports(entry.to_owned()));
    }
    for entry in ["*", "a.*.b", "*.*.b", "*a.b"] {
        let refused = Egress::new(entry, Vec::new()).unwrap_err();
        assert_eq!(refused, InvalidEgress::Wildcard(entry.to_owned()), "{entry}");
    }
}

#[test]
fn words_take_ports_and_any_case() {
    let egress = allowing("Loopback:8000-8999, PUBLIC:443");
    assert!(passes(&egress, "http://127.0.0.1:8000"));
    assert!(!passes(&egress, "http://127.0.0.1:80"));
    assert!(passes(&egress, "https://8.8.8.8"));
    assert!(!passes(&egress, "http://8.8.8.8"));
    assert!(!passes(&egress, "http://llm.example:80"), "no rule has this port");
}

fn with_own(own: &[(&str, u16)]) -> Egress {
    let own = own.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
    Egress::new("public,private,loopback,0.0.0.0/0,[::]/0,db.internal", own).unwrap()
}

#[test]
fn our_own_addresses_are_closed_in_every_spelling() {
    let egress = with_own(&[("127.0.0.1", 8000), ("10.0.0.5", 5432), ("[fd12::5]", 5432)]);
    let closed = [
        "http://127.0.0.1:8000",
        "http://127.0.0.2:8000",
        "http://localhost:8000",
        "http://x.localhost:8000",
        "http://[::1]:8000",
        "http://[::ffff:127.0.0.1]:8000",
        "http://0x7f.1:8000",
        "http://2130706433:8000",
        "http://10.0.0.5:5432",
        "http://[::ffff:10.0.0.5]:5432",
        "http://[64:ff9b::10.0.0.5]:5432",
        "http://[2002:a00:5::1]:5432",
        "http://012.0.0.5:5432",
        "http://[fd12::5]:5432",
    ];
    for url in closed {
        assert!(!passes(&egress, url), "{url}");
    }
    for url in ["http://127.0.0.1:8001", "http://10.0.0.6:5432", "http://10.0.0.5:8000"] {
        assert!(passes(&egress, url), "{url}");
    }
}

#[test]
fn listening_everywhere_closes_every_address_of_this_machine() {
    let mine: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter_map(|interface| interface.address?.as_sockaddr_in().map(|v4| v4.ip().into()))
        .collect();
    for host in ["0.0.0.0", "::", "[::]"] {
        let egress = with_own(&[(host, 8000)]);
        for ip in &mine {
            assert!(!passes(&egress, &format!("http://{ip}:8000")), "{ip} by {host}");
        }
        assert!(!passes(&egress, "http://localhost:8000"));
        assert!(passes(&egress, "http://127.0.0.1:8001"));
        assert!(passes(&egress, "http://8.8.8.8:8000"));
    }
}

#[tokio::test]
async fn our_own_names_are_closed_by_name_and_by_address() {
    let names: &[(&str, &[&str])] = &[
        ("db.internal", &["10.0.0.5"]),
        ("alias.example", &["10.0.0.5", "10.0.0.6"]),
        ("me.example", &["127.0.0.1"]),
    ];
    let egress = knowing(with_own(&[("DB.internal.", 5432), ("localhost", 8000)]), names);
    for url in [
        "http://db.internal:5432",
        "http://DB.internal.:5432",
        "http://10.0.0.5:5432",
        "http://[::ffff:10.0.0.5]:5432",
        "http://me.example:8000",
    ] {
        assert!(resolved(&egress, url).await.is_err(), "{url}");
    }
    assert_eq!(resolved(&egress, "http://alias.example:5432").await.unwrap(), ["10.0.0.6:5432"]);
    assert!(resolved(&egress, "http://db.internal:80").await.is_ok());
    assert!(resolved(&egress, "http://10.0.0.5:80").await.is_ok());
}

#[tokio::test]
async fn a_blocked_url_is_not_looked_up() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let egress = allowing(Egress::PUBLIC).with_lookup(move |_, _| {
        counting.fetch_add(1, SeqCst);
        async { Err(io::Error::other("asked")) }
    });
    for url in ["http://metadata.google.internal", "http://localhost", "http://10.0.0.1"] {
        assert!(matches!(resolved(&egress, url).await, Err(ResolveFailure::Blocked(_))), "{url}");
    }
    assert_eq!(asked.load(SeqCst), 0);
}

#[test]
fn a_block_does_not_say_what_lives_there() {
    let words = Blocked.to_string();
    assert_eq!(words, "the target's address is not one this service may reach (EGRESS_ALLOW)");
    assert_eq!(ResolveFailure::from(Blocked).to_string(), words);
}
