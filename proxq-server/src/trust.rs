//! The list of peers whose forwarding headers are trusted.

use std::net::IpAddr;

use ipnet::IpNet;

/// The networks of trusted reverse proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

/// What the word `loopback` stands for.
const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];
/// What the word `private` stands for: RFC 1918, unique local (RFC 4193), link-local (RFC 3927, RFC 4291).
const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"];

impl TrustedProxies {
    /// Reads a list of networks (`10.0.0.0/8`), addresses and the words `loopback` and `private`.
    ///
    /// # Errors
    /// The index of the first entry that is not one of these.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, usize> {
        let mut networks = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match entry {
                "loopback" => networks.extend(LOOPBACK.iter().filter_map(|network| parse(network))),
                "private" => networks.extend(PRIVATE.iter().filter_map(|network| parse(network))),
                written => networks.push(parse(written).ok_or(index)?),
            }
        }
        Ok(Self { networks })
    }

    /// The networks, words replaced by what they stand for.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Whether this peer is one of them.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }
}

fn parse(entry: &str) -> Option<IpNet> {
    entry.parse().ok().or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_networks_and_addresses_are_understood() {
        let trusted = TrustedProxies::new(["loopback", "private", "203.0.113.0/24", "198.51.100.7"]).unwrap();
        for peer in ["127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3", "fd00::1", "203.0.113.9", "198.51.100.7"] {
            assert!(trusted.contains(peer.parse().unwrap()), "{peer}");
        }
        for peer in ["8.8.8.8", "198.51.100.8", "2001:db8::1"] {
            assert!(!trusted.contains(peer.parse().unwrap()), "{peer}");
        }
        assert_eq!(TrustedProxies::new(["loopback", "nonsense"]), Err(1));
        assert!(!TrustedProxies::default().contains("127.0.0.1".parse().unwrap()));
    }
}
