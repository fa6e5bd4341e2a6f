//! `host:port` to listen at.

use std::net::Ipv6Addr;

/// Checks an address and completes it: `:8080` becomes `[::]:8080`, all interfaces. Host names stay as they are.
pub(crate) fn parse(text: &str) -> Result<String, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("has no port; write one like 127.0.0.1:8080")?;
    let digits_only = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !digits_only || port.parse::<u16>().is_err() {
        return Err("has a port that is not a number from 0 to 65535; write an address like 127.0.0.1:8080");
    }
    if host.is_empty() {
        return Ok(format!("[::]:{port}"));
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match inner.parse::<Ipv6Addr>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("has something in brackets that is not an IPv6 address"),
        };
    }
    if host.contains(':') {
        return Err("has an IPv6 address without brackets; write one like [::1]:8080");
    }
    let name_like = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.bytes().all(name_like) {
        Ok(text.to_owned())
    } else {
        Err("has a host that is neither a name nor an address")
    }
}

/// Whether only this machine can reach it. Names other than `localhost` may stand for anything.
pub(crate) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inner == "localhost" || inner.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed_or_kept() {
        for (text, address) in [
            (":8080", "[::]:8080"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("localhost:8080", "localhost:8080"),
            ("my_host-1.example:80", "my_host-1.example:80"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(address));
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for bad in [
            "",
            "8080",
            "localhost",
            "127.0.0.1:",
            "127.0.0.1:http",
            "x:65536",
            "x:+1",
            "::1:8080",
            "[x]:80",
            "http://x:80",
            "a b:80",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_reaches_loopback() {
        for own in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"] {
            assert!(is_loopback(own), "{own}");
        }
        for open in ["[::]:1", "0.0.0.0:1", "192.168.0.1:1", "example.org:1"] {
            assert!(!is_loopback(open), "{open}");
        }
    }
}
