//! Which addresses pass, in every spelling that a URL knows.

use proptest::prelude::*;

use super::*;

const PUBLIC_HOSTS: &str = "
    1.1.1.1 8.8.8.8 9.9.9.9 11.0.0.1 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255
    128.0.0.1 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0
    192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0
    203.0.112.255 203.0.114.0 223.255.255.255 134744072 0x08080808 010.8.8.8 8.8.2056
    [2001:4860:4860::8888] [2606:4700:4700::1111] [2a00:1450:4001::1] [2400:cb00::1]
    [::ffff:8.8.8.8] [64:ff9b::8.8.8.8] [2001:200::1] [2620:fe::fe] llm.example llm.example.
    xn--bcher-kva.example bücher.example my-metadata.example metadata.example.com notlocalhost
    localhost.example";

const PRIVATE_HOSTS: &str = "
    10.0.0.0 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255
    100.64.0.1 100.127.255.255 012.0.0.1 0xa.0.0.1 167772161 0x0a000001 10.1 10.0.1
    0300.0250.0.1 3232235521 [::ffff:10.0.0.1] [::ffff:a00:1] [::ffff:192.168.1.1] [fc00::1]
    [fd12:3456::1] [fdff:ffff::1] [64:ff9b::10.0.0.1] [64:ff9b::c0a8:1]";

const LOOPBACK_HOSTS: &str = "
    127.0.0.1 127.0.0.2 127.1 127.0.1 127.255.255.255 127.0.0.1. 2130706433 0x7f000001 0x7f.1
    0x7f.0.0.1 0x7F.0x0.0x0.0x1 017700000001 0177.0.0.1 0177.1 00000177.00.0.01 127.0x0.0.1
    １２７.0.0.1 127。0。0。1 [::1] [0:0:0:0:0:0:0:1] [0000::0001] [::ffff:127.0.0.1] [::ffff:7f00:1]
    [0:0:0:0:0:ffff:127.0.0.1] [::ffff:127.8.8.8] localhost LOCALHOST LocalHost localhost.
    api.localhost a.b.localhost. ⓛocalhost localhost%2e %6cocalhost";

/// Set aside for something; neither word opens it, but a network rule does.
const SPECIAL_HOSTS: &str = "
    192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.31.196.1 192.52.193.1 192.175.48.1
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 250.1.2.3 255.255.255.254
    0xf0000001 [::ffff:198.18.0.1] [::ffff:203.0.113.1] [64:ff9b::198.18.0.1] [2001:db8::1]
    [2001:db8:ffff::1] [3fff::1] [3fff:fff::1] [3ffe::1] [2001:0:808:808::1]
    [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2001:2::1] [2001:10::1] [2001:20::1] [2001:1ff::1]
    [2002:808:808::1] [2002:0a00:0001::1] [100::1] [5f00::1] [fec0::1] [4000::1] [a000::1]
    [e000::1] [fe00::1] [::8.8.8.8] [::808:808] [::10.0.0.1] [::ffff:0:8.8.8.8]
    [64:ff9b:1::8.8.8.8] [64:ff9b:1:808:8:800::] [2620:4f:8000::1] [200::1] [64:ff9c::1]";

/// Beyond every list.
const FORBIDDEN_HOSTS: &str = "
    0.0.0.0 0 0.0 0x0 00 0.1.2.3 0.255.255.255 [::] [0:0:0:0:0:0:0:0] [::ffff:0.0.0.0]
    [::ffff:0:0] 169.254.169.254 169.254.0.1 169.254.170.2 169.254.255.255 2852039166 0xa9fea9fe
    0251.0376.0251.0376 025177524776 0xA9.0xFE.0xA9.0xFE 169.254.43518 169.16689662
    169.254.169.254. 169。254。169。254 ①⑥⑨.254.169.254 [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
    [::169.254.169.254] [::a9fe:a9fe] [64:ff9b::169.254.169.254] [64:ff9b::a9fe:a9fe]
    [64:ff9b:1::a9fe:a9fe] [64:ff9b:1:a9fe:a9:fe00::] [2002:a9fe:a9fe::1]
    [2002:a9fe:a9fe::a9fe:a9fe] [2001:0:a9fe:a9fe::1] [2001:0:808:808:0:0:5601:5601]
    [::ffff:0:169.254.169.254] [2001:4860::5efe:169.254.169.254]
    [fd12::200:5efe:169.254.169.254] [fe80::1] [fe80::a9fe:a9fe] [febf::1] [fe90::1]
    [fd00:ec2::254] [fd00:ec2::23] [fd00:0ec2:0:0::0254] [fd20:ce::254] [fd00:c1::a9fe:a9fe]
    [fd00:42::42] 100.100.100.200 0x646464c8 [::ffff:100.100.100.200] [64:ff9b::100.100.100.200]
    192.0.0.192 [::ffff:192.0.0.192] 0300.0.0.0300 168.63.129.16 2822734096 224.0.0.1
    239.255.255.255 230.1.1.1 255.255.255.255 4294967295 0xffffffff [::ffff:255.255.255.255]
    [::ffff:224.0.0.1] [64:ff9b::224.0.0.1] [ff02::1] [ff0e::1] [ff05::2] [64:ff9b::127.0.0.1]
    [::127.0.0.1] [::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1] [::ffff:0:127.0.0.1]
    [64:ff9b::7f00:1] [64:ff9b::0.0.0.0] [2001::1] [64:ff9b:1::] [::2] metadata.google.internal
    METADATA.google.internal metadata.google.internal. x.metadata.google.internal metadata
    metadata. Metadata metadata.goog instance-data instance-data.ec2.internal
    instance-data.eu-west-1.compute.internal metadata.internal metadata.azure.internal
    metadata.azure.com metadata.tencentyun.com metadata.platformequinix.com metadata.packet.net
    ⓜetadata.google.internal metadata。google。internal metadata.google%2einternal";

#[test]
fn the_table_of_addresses() {
    let public = allowing(Egress::PUBLIC);
    let private = allowing("private");
    let loopback = allowing("loopback");
    let local = allowing(Egress::LOCAL);
    let everything = allowing("public,private,loopback,0.0.0.0/0,[::]/0,*.internal,metadata,*.com");
    // Hosts; who passes: public, private, loopback, all three words, every network as well.
    let table = [
        (PUBLIC_HOSTS, [true, false, false, true, true]),
        (PRIVATE_HOSTS, [false, true, false, true, true]),
        (LOOPBACK_HOSTS, [false, false, true, true, true]),
        (SPECIAL_HOSTS, [false, false, false, false, true]),
        (FORBIDDEN_HOSTS, [false, false, false, false, false]),
    ];
    let mut cases = 0;
    for (hosts, expected) in table {
        for host in hosts.split_whitespace() {
            for (scheme, port) in [("http", ""), ("http", ":8000"), ("https", "/v1")] {
                let url = format!("{scheme}://{host}{port}");
                let mut wanted = expected;
                if matches!(target(&url).host(), Host::Domain(_)) && expected[0] {
                    // A name may lead to anything until it is resolved.
                    wanted = [true; 5];
                }
                let seen = [&public, &private, &loopback, &local, &everything]
                    .map(|egress| passes(egress, &url));
                assert_eq!(seen, wanted, "{url}");
                cases += 1;
            }
        }
    }
    assert!(cases > 600, "{cases}");
}

#[tokio::test]
async fn what_a_name_leads_to_is_judged_like_a_literal() {
    let expected = [
        (PUBLIC_HOSTS, Egress::PUBLIC),
        (PRIVATE_HOSTS, "private"),
        (SPECIAL_HOSTS, "0.0.0.0/0,[::]/0"),
        (FORBIDDEN_HOSTS, ""),
    ];
    for (hosts, opened_by) in expected {
        for host in hosts.split_whitespace() {
            let address = match target(&format!("http://{host}")).host() {
                Host::Ipv4(ip) => IpAddr::V4(ip),
                Host::Ipv6(ip) => IpAddr::V6(ip),
                Host::Domain(_) => continue,
            };
            for list in [Egress::PUBLIC, "private", "loopback", Egress::LOCAL, "0.0.0.0/0,[::]/0"] {
                let lookup = move |_, port| async move { Ok(vec![SocketAddr::new(address, port)]) };
                let egress = allowing(list).with_lookup(lookup);
                let by_name = egress.resolve(&target("http://rebound.example")).await;
                let by_itself = egress.check(&target(&format!("http://{host}")));
                assert_eq!(by_name.is_ok(), by_itself.is_ok(), "{host} by {list}");
                if list == opened_by {
                    assert!(by_name.is_ok(), "{host} by {list}");
                }
                if let Ok(addresses) = by_name {
                    assert!(egress.check_address(addresses[0]).is_ok());
                }
            }
        }
    }
}

/// One spelling of an IPv4 address that URLs know: parts merged from the right, each in a base of
/// its own.
fn spelt(ip: Ipv4Addr, parts: usize, bases: [u8; 4]) -> String {
    let bits = ip.to_bits();
    let number = |value: u32, base: u8| match base {
        0 => format!("{value}"),
        1 => format!("0x{value:x}"),
        2 => format!("0X{value:08X}"),
        _ => format!("0{value:o}"),
    };
    let mut text: Vec<String> =
        (0..parts - 1).map(|nth| number(u32::from(ip.octets()[nth]), bases[nth])).collect();
    let merged = 8 * u32::try_from(parts - 1).unwrap();
    text.push(number(bits & (u32::MAX >> merged), bases[parts - 1]));
    text.join(".")
}

/// IPv6 addresses that lead to an IPv4 one.
fn carried(ip: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    vec![
        format!("[::ffff:{ip}]"),
        format!("[::ffff:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:FFFF:{high:04X}:{low:04X}]"),
        format!("[::{ip}]"),
        format!("[::ffff:0:{ip}]"),
        format!("[64:ff9b::{ip}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:{high:x}:{low:x}::1]"),
        format!("[2001:0:102:304:0:0:{:x}:{:x}]", !high, !low),
        format!("[2600::5efe:{ip}]"),
    ]
}

fn forbidden_v4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        (0_u32..1 << 24).prop_map(Ipv4Addr::from_bits),
        (0_u32..1 << 16).prop_map(|low| Ipv4Addr::from_bits(0xA9FE_0000 | low)),
        (0_u32..1 << 28).prop_map(|low| Ipv4Addr::from_bits(0xE000_0000 | low)),
        Just(Ipv4Addr::new(169, 254, 169, 254)),
        Just(Ipv4Addr::new(100, 100, 100, 200)),
        Just(Ipv4Addr::new(192, 0, 0, 192)),
        Just(Ipv4Addr::new(168, 63, 129, 16)),
        Just(Ipv4Addr::BROADCAST),
    ]
}

proptest! {
    #[test]
    fn no_spelling_of_a_forbidden_address_passes(
        ip in forbidden_v4(),
        parts in 1_usize..=4,
        bases in prop::array::uniform4(0_u8..4),
        port in 1_u16..,
    ) {
        let everything = allowing("public,private,loopback,0.0.0.0/0,[::]/0");
        let literal = spelt(ip, parts, bases);
        for host in carried(ip).into_iter().chain([literal.clone(), format!("{literal}.")]) {
            let url = format!("http://{host}:{port}/v1");
            prop_assert!(!passes(&everything, &url), "{} for {}", url, ip);
        }
    }

    #[test]
    fn no_spelling_of_an_address_inside_passes_as_public(
        ip in prop_oneof![
            (0_u32..1 << 24).prop_map(|low| Ipv4Addr::from_bits(0x0A00_0000 | low)),
            (0_u32..1 << 24).prop_map(|low| Ipv4Addr::from_bits(0x7F00_0000 | low)),
            (0_u32..1 << 20).prop_map(|low| Ipv4Addr::from_bits(0xAC10_0000 | low)),
            (0_u32..1 << 16).prop_map(|low| Ipv4Addr::from_bits(0xC0A8_0000 | low)),
            (0_u32..1 << 17).prop_map(|low| Ipv4Addr::from_bits(0xC612_0000 | low)),
        ],
        parts in 1_usize..=4,
        bases in prop::array::uniform4(0_u8..4),
    ) {
        let public = allowing(Egress::PUBLIC);
        // The last of `carried` is a public IPv6 address; that it also looks like ISATAP is not
        // what makes an inner address reachable, and it is refused all the same.
        for host in carried(ip).into_iter().chain([spelt(ip, parts, bases)]) {
            prop_assert!(!passes(&public, &format!("http://{host}")), "{} for {}", host, ip);
        }
    }
}
