//! Whether a request names its host as it has to (RFC 9112 §3.2).

use std::net::Ipv6Addr;

use http::header::{HOST, HeaderMap};
use http::{HeaderValue, Version};

use crate::reply::Problem;

/// What is wrong with the `Host` of a request. Only HTTP/1.0 may do without.
pub(super) fn problem(headers: &HeaderMap, version: Version) -> Option<Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.count()) {
        (None, _) => (version > Version::HTTP_10).then(|| Problem::host_count(0)),
        (Some(host), 0) => (!is_host(host.as_bytes())).then(|| invalid(host)),
        (Some(_), more) => Some(Problem::host_count(1 + more)),
    }
}

fn invalid(host: &HeaderValue) -> Problem {
    let expected = "it must be a name or an address, with or without a port, as in example.com:8080 or [::1]";
    Problem::bad_header("Host", &String::from_utf8_lossy(host.as_bytes()), expected)
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2). The name may be empty, and so may the port. What a name
/// leads to, and whether there is such a port, is not asked.
fn is_host(value: &[u8]) -> bool {
    let (is_valid, port) = if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        (is_ip_literal(&rest[..end]), &rest[end + 1..])
    } else {
        // No name has a colon.
        let end = value.iter().position(|byte| *byte == b':').unwrap_or(value.len());
        (is_name(&value[..end]), &value[end..])
    };
    is_valid && (port.is_empty() || port.strip_prefix(b":").is_some_and(|digits| digits.iter().all(u8::is_ascii_digit)))
}

/// `reg-name`, of which an IPv4 address is one.
fn is_name(mut text: &[u8]) -> bool {
    loop {
        text = match text {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if is_plain(*byte) => rest,
            _ => return false,
        }
    }
}

/// What stands in brackets: `IPv6address` or `IPvFuture`.
fn is_ip_literal(text: &[u8]) -> bool {
    let Some(future) = text.strip_prefix(b"v").or_else(|| text.strip_prefix(b"V")) else {
        return std::str::from_utf8(text).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
    };
    let version = future.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    match &future[version..] {
        [b'.', address @ ..] => {
            version > 0 && !address.is_empty() && address.iter().all(|byte| is_plain(*byte) || *byte == b':')
        }
        _ => false,
    }
}

/// `unreserved` and `sub-delims` (RFC 3986 §2.2, §2.3).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_may_have_a_port() {
        for valid in [
            "",
            "h",
            "example.com.",
            "Example.COM:8080",
            "h:",
            ":80",
            "h:99999",
            "under_score~-.x",
            "caf%C3%A9",
            "a!$&'()*+,;=b",
            "127.0.0.1:80",
            "999.1",
            "[::1]",
            "[::1]:8080",
            "[::1]:",
            "[2001:db8::ffff:192.0.2.1]",
            "[v1.a:b]",
            "[VF0.x]:1",
        ] {
            assert!(is_host(valid.as_bytes()), "{valid:?}");
        }
        for invalid in [
            " ",
            "a b",
            "a\tb",
            "u@h",
            "u:p@h",
            "a/b",
            "http://h",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "<h>",
            "a|b",
            "a{b}",
            "a^b",
            "a`b",
            "a[b",
            "h:x",
            "h:80x",
            "h:-1",
            "h:80:80",
            "::1",
            "%",
            "a%2",
            "a%zz",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]80",
            "[::1]:x",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[1:2:3:4:5:6:7:8:9]",
            "[v.x]",
            "[v1]",
            "[v1.]",
            "[v1.a@b]",
            "]",
            "caf\u{e9}",
        ] {
            assert!(!is_host(invalid.as_bytes()), "{invalid:?}");
        }
        assert!(!is_host(b"\xff"));
    }

    #[test]
    fn it_is_named_once_and_only_http_1_0_may_do_without() {
        let refused = |version, hosts: &[&'static str]| {
            let headers = hosts.iter().map(|host| (HOST, HeaderValue::from_static(host))).collect();
            problem(&headers, version).is_some()
        };
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(!refused(version, &["h"]) && !refused(version, &[""]));
            assert!(refused(version, &["h", "h"]) && refused(version, &["a b"]));
            assert_eq!(refused(version, &[]), version > Version::HTTP_10);
        }
    }
}
