//! Which host a request is for, and whether it names it as it has to (RFC 9112 §3.2).

use std::net::Ipv6Addr;

use http::header::{HOST, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Version};

use crate::reply::Problem;

const EXPECTED: &str = "it must be a name or an address, with or without a port, as in example.com:8080 or [::1]";

/// Leaves the request's host in `Host`: the one that the target names, where it names one (the absolute form, RFC 9112
/// §3.2.2; `:authority`, RFC 9113 §8.3.1), else the one that came there. It chooses no upstream.
///
/// HTTP/1.1 wants a valid `Host` even beside an absolute target.
pub(super) fn normalize(head: &mut Parts) -> Result<(), Problem> {
    let authority = head.uri.authority();
    if head.version != Version::HTTP_2 || authority.is_none() {
        check_field(&head.headers, head.version)?;
    }
    if let Some(authority) = authority {
        let valid = !authority.host().is_empty() && is_host(authority.as_str().as_bytes());
        let host = HeaderValue::from_str(authority.as_str()).ok().filter(|_| valid);
        head.headers.insert(HOST, host.ok_or_else(|| Problem::bad_authority(EXPECTED))?);
    }
    Ok(())
}

/// Says what is wrong with the `Host` of a request. Only HTTP/1.0 may do without.
fn check_field(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.count()) {
        (None, _) if version > Version::HTTP_10 => Err(Problem::host_count(0)),
        (Some(host), 0) if !is_host(host.as_bytes()) => {
            Err(Problem::bad_header("Host", &String::from_utf8_lossy(host.as_bytes()), EXPECTED))
        }
        (Some(_), more @ 1..) => Err(Problem::host_count(1 + more)),
        (None, _) | (Some(_), 0) => Ok(()),
    }
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

    fn normalized(version: Version, target: &str, hosts: &[&'static str]) -> Option<HeaderMap> {
        let mut request = http::Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        normalize(&mut head).ok().map(|()| head.headers)
    }

    #[test]
    fn a_host_is_named_once_and_only_http_1_0_may_do_without() {
        let refused = |version, hosts: &[&'static str]| normalized(version, "/x", hosts).is_none();
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(!refused(version, &["h"]) && !refused(version, &[""]));
            assert!(refused(version, &["h", "h"]) && refused(version, &["a b"]));
            assert_eq!(refused(version, &[]), version > Version::HTTP_10);
        }
    }

    #[test]
    fn the_targets_authority_replaces_the_field() {
        let target = "http://example.com:8080/x";
        for (version, field) in [
            (Version::HTTP_11, Some("other")),
            (Version::HTTP_10, Some("other")),
            (Version::HTTP_10, None),
            (Version::HTTP_2, Some("other")),
            (Version::HTTP_2, None),
        ] {
            let hosts: Vec<_> = field.into_iter().collect();
            let headers = normalized(version, target, &hosts).unwrap();
            assert_eq!(headers.get_all(HOST).iter().collect::<Vec<_>>(), ["example.com:8080"], "{version:?}");
        }
        assert_eq!(normalized(Version::HTTP_2, "/x", &["named"]).unwrap()[HOST], "named");
        for hosts in [&[][..], &["h", "h"], &["a b"]] {
            assert!(
                normalized(Version::HTTP_11, target, hosts).is_none(),
                "HTTP/1.1 wants a valid Host as well: {hosts:?}"
            );
        }
        for bad in ["http://user@h/", "http://user:password@h:80/", "http://:80/"] {
            assert!(normalized(Version::HTTP_11, bad, &["h"]).is_none(), "{bad}");
            assert!(normalized(Version::HTTP_2, bad, &[]).is_none(), "{bad}");
        }
    }
}
