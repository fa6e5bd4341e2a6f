//! The header fields that tell an upstream how a request reached it: `X-Forwarded-*`, `X-Real-IP`, `Via` and
//! `X-Request-ID`, and which of their values came from the client.

use std::net::IpAddr;

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proxq_protocol::header as proxq;

use super::headers::{X_FORWARDED, X_REAL_IP, strip_disguised, strip_hop_by_hop, strip_proxq, strip_response};
use crate::list_items::list_items;
use crate::trust::TrustedProxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// How a request reached proxq.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop<'a> {
    /// The address of the connection's other end.
    pub(crate) peer: IpAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The version that the client spoke.
    pub(crate) version: Version,
    /// Whose forwarding fields are believed.
    pub(crate) trusted: &'a TrustedProxies,
    /// The name of this deployment in `Via`.
    pub(crate) via_name: &'a str,
    /// The request's id.
    pub(crate) request_id: &'a HeaderValue,
    /// The prefix that was stripped from the path; `/` if none was.
    pub(crate) prefix: &'a str,
}

/// A request's fields on their way to an upstream.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The client's fields that are forwarded.
    pub(crate) from_client: HeaderMap,
    /// The fields that proxq adds.
    pub(crate) added: HeaderMap,
    /// The resulting client address.
    pub(crate) client: IpAddr,
    /// Forwarding fields that were dropped because the peer is not trusted.
    pub(crate) distrusted: bool,
}

/// Splits a request's fields into those that are forwarded and those that proxq adds about the hop.
///
/// `Host` is in neither part; the caller decides about it. `X-Forwarded-For`, `Via` and the like are in the added part,
/// with the trusted incoming values in front.
pub(crate) fn outgoing(mut headers: HeaderMap, hop: &Hop<'_>) -> Outgoing {
    strip_disguised(&mut headers); // while `Connection` is there
    strip_hop_by_hop(&mut headers);
    strip_proxq(&mut headers);
    headers.remove(header::EXPECT);
    let host = headers.remove(header::HOST);

    let forwarding = forwarding_fields(&headers);
    let believed = hop.trusted.contains(hop.peer);
    let distrusted = !believed && !forwarding.is_empty();
    if !believed {
        for name in forwarding {
            headers.remove(name);
        }
    }

    let client = client_address(&headers, hop);
    let mut added = HeaderMap::with_capacity(7);
    let peer = hop.peer.to_canonical().to_string();
    added.insert(X_FORWARDED_FOR, joined(&take_all(&mut headers, &X_FORWARDED_FOR), peer.as_bytes()));
    headers.remove(X_REAL_IP);
    let real_ip = if client == hop.peer.to_canonical() { ascii(&peer) } else { ascii(&client.to_string()) };
    added.insert(X_REAL_IP, real_ip);
    if !headers.contains_key(X_FORWARDED_PROTO) {
        added.insert(X_FORWARDED_PROTO, HeaderValue::from_static(hop.scheme));
    }
    if let (Some(host), false) = (host, headers.contains_key(X_FORWARDED_HOST)) {
        added.insert(X_FORWARDED_HOST, host);
    }
    if hop.prefix != "/" {
        let prefixes = take_all(&mut headers, &X_FORWARDED_PREFIX);
        added.insert(X_FORWARDED_PREFIX, joined(&prefixes, list_item(hop.prefix).as_bytes()));
    }
    let via = format!("{} {}", version_number(hop.version), hop.via_name);
    added.insert(header::VIA, joined(&take_all(&mut headers, &header::VIA), via.as_bytes()));
    if headers.get(proxq::REQUEST_ID) != Some(hop.request_id) {
        headers.remove(proxq::REQUEST_ID);
        added.insert(proxq::REQUEST_ID, hop.request_id.clone());
    }
    Outgoing { from_client: headers, added, client, distrusted }
}

/// Removes from a request's trailers the fields that [`outgoing`] checks in a head: a server may merge trailers into the
/// head, where they would bypass that check.
pub(crate) fn strip_request_trailers(trailers: &mut HeaderMap) {
    strip_disguised(trailers);
    strip_response(trailers);
    trailers.remove(header::VIA);
    trailers.remove(header::HOST);
    for name in forwarding_fields(trailers) {
        trailers.remove(name);
    }
}

/// The part of the added fields that comes from the client: the values in front of proxq's own, the incoming `Host`, and
/// an address other than the peer's.
pub(crate) fn told_by_client(added: &HeaderMap) -> HeaderMap {
    let mut told = HeaderMap::new();
    let mut peer: &[u8] = &[];
    for name in [X_FORWARDED_FOR, header::VIA] {
        let Some(value) = added.get(&name) else { continue };
        let (before, own) = without_last(value.as_bytes());
        if let Some(before) = before {
            let before = HeaderValue::from_bytes(before).expect("a part of a value, without its end, is a value");
            told.insert(name.clone(), before);
        }
        if name == X_FORWARDED_FOR {
            peer = own;
        }
    }
    for name in [X_FORWARDED_HOST, X_REAL_IP] {
        if let Some(value) = added.get(&name).filter(|value| name == X_FORWARDED_HOST || value.as_bytes() != peer) {
            told.insert(name, value.clone());
        }
    }
    told
}

/// Splits a list that [`joined`] made into the incoming values and the appended one, which has no comma.
fn without_last(list: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match list.windows(2).rposition(|pair| pair == b", ") {
        Some(comma) => (Some(&list[..comma]), &list[comma + 2..]),
        None => (None, list),
    }
}

/// The fields in which proxies tell where a request came from.
fn forwarding_fields(headers: &HeaderMap) -> Vec<HeaderName> {
    let tells =
        |name: &HeaderName| name.as_str().starts_with(X_FORWARDED) || *name == X_REAL_IP || *name == header::FORWARDED;
    headers.keys().filter(|name| tells(name)).cloned().collect()
}

/// How often `Via` names this deployment already (RFC 9110 §7.6.3).
///
/// Quotes have no meaning there: they occur only in comments, where an unclosed one must not hide a hop.
pub(crate) fn hops(headers: &HeaderMap, via_name: &str) -> usize {
    let fields = headers.get_all(header::VIA).into_iter();
    fields
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|item| item.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1))
        .filter(|received_by| received_by.eq_ignore_ascii_case(via_name.as_bytes()))
        .count()
}

/// The client's address: the nearest one on the request's way that is not a trusted proxy; the first one if all are.
///
/// `headers` hold trusted values only.
fn client_address(headers: &HeaderMap, hop: &Hop<'_>) -> IpAddr {
    let way: Vec<IpAddr> = list_items(headers, &X_FORWARDED_FOR).filter_map(parse_address).collect();
    if way.is_empty() {
        let real_ip = headers.get(X_REAL_IP).and_then(|value| parse_address(value.as_bytes().trim_ascii()));
        return real_ip.unwrap_or_else(|| hop.peer.to_canonical());
    }
    way.iter().rev().find(|address| !hop.trusted.contains(**address)).copied().unwrap_or(way[0])
}

/// Reads an address with or without a port, with or without brackets.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn version_number(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

fn take_all(headers: &mut HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    match headers.entry(name) {
        Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
        Entry::Vacant(_) => Vec::new(),
    }
}

/// Joins all values and a last one to one list. Values are kept byte for byte.
fn joined(values: &[HeaderValue], last: &[u8]) -> HeaderValue {
    let mut items = Vec::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        items.extend_from_slice(value.as_bytes());
        items.extend_from_slice(b", ");
    }
    items.extend_from_slice(last);
    HeaderValue::from_bytes(&items).expect("values, commas and visible ASCII make a value")
}

/// A path as a list item: visible ASCII without commas, percent-encoded where necessary.
fn list_item(path: &str) -> String {
    let written = |byte: u8| {
        let plain = byte.is_ascii_graphic() && byte != b',';
        if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    path.bytes().map(written).collect()
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("an address is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::headers::tests::{map, text};

    fn sent_by(peer: &str, trusted: &[&str], fields: &[(&str, &str)]) -> Outgoing {
        sent_through(peer, trusted, "/", "made", fields)
    }

    fn sent_through(
        peer: &str,
        trusted: &[&str],
        prefix: &str,
        request_id: &'static str,
        fields: &[(&str, &str)],
    ) -> Outgoing {
        let trusted = TrustedProxies::new(trusted.iter().copied()).unwrap();
        let request_id = HeaderValue::from_static(request_id);
        let hop = Hop {
            peer: peer.parse().unwrap(),
            scheme: "http",
            version: Version::HTTP_11,
            trusted: &trusted,
            via_name: "edge",
            request_id: &request_id,
            prefix,
        };
        outgoing(map(fields), &hop)
    }

    #[test]
    fn an_untrusted_peers_forwarding_fields_are_replaced() {
        let sent = sent_by(
            "203.0.113.9",
            &["loopback"],
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-real-ip", "6.6.6.6"),
                ("x-forwarded-port", "1"),
                ("forwarded", "for=6.6.6.6"),
                ("host", "front"),
            ],
        );
        assert!(sent.distrusted && sent.from_client.is_empty());
        assert_eq!(text(&sent.added, "x-forwarded-for"), ["203.0.113.9"]);
        assert_eq!(text(&sent.added, "x-real-ip"), ["203.0.113.9"]);
        assert_eq!(text(&sent.added, "x-forwarded-proto"), ["http"]);
        assert_eq!(text(&sent.added, "x-forwarded-host"), ["front"]);
    }

    #[test]
    fn a_trusted_peers_forwarding_fields_are_believed_and_extended() {
        let sent = sent_by(
            "127.0.0.1",
            &["loopback", "10.0.0.0/8"],
            &[
                ("x-forwarded-for", "198.51.100.7, 203.0.113.9"),
                ("x-forwarded-for", "10.0.0.2"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "public"),
                ("host", "front"),
            ],
        );
        assert!(!sent.distrusted);
        assert_eq!(text(&sent.added, "x-forwarded-for"), ["198.51.100.7, 203.0.113.9, 10.0.0.2, 127.0.0.1"]);
        assert_eq!(sent.client.to_string(), "203.0.113.9", "the nearest that is no proxy of ours");
        assert_eq!(text(&sent.from_client, "x-forwarded-proto"), ["https"]);
        assert_eq!(text(&sent.from_client, "x-forwarded-host"), ["public"]);
        assert!(!sent.added.contains_key("x-forwarded-host"));
    }

    #[test]
    fn a_believed_real_ip_is_kept_where_there_is_no_way() {
        let sent = sent_by("127.0.0.1", &["loopback"], &[("x-real-ip", "198.51.100.7")]);
        assert_eq!(text(&sent.added, "x-real-ip"), ["198.51.100.7"]);
        let all_trusted = sent_by("127.0.0.1", &["loopback", "private"], &[("x-forwarded-for", "10.0.0.5, 10.0.0.6")]);
        assert_eq!(all_trusted.client.to_string(), "10.0.0.5");
    }

    #[test]
    fn via_is_appended() {
        let sent = sent_by("127.0.0.1", &[], &[("via", "1.0 fred"), ("expect", "100-continue")]);
        assert_eq!(text(&sent.added, "via"), ["1.0 fred, 1.1 edge"]);
        assert!(!sent.from_client.contains_key("expect"));
    }

    #[test]
    fn the_clients_request_id_is_replaced_where_another_was_chosen() {
        let own = [("x-request-id", "own"), ("x-request-id", "second")];
        let sent = sent_through("127.0.0.1", &[], "/", "own", &own);
        assert_eq!(text(&sent.from_client, "x-request-id"), ["own", "second"]);
        assert!(!sent.added.contains_key("x-request-id"));
        for fields in [&[][..], &[("x-request-id", "")], &own] {
            let sent = sent_by("127.0.0.1", &[], fields);
            assert_eq!(text(&sent.added, "x-request-id"), ["made"]);
            assert!(!sent.from_client.contains_key("x-request-id"));
        }
    }

    #[test]
    fn the_stripped_prefix_is_appended_to_those_that_a_trusted_peer_names() {
        let fields = [("x-forwarded-prefix", "/outer"), ("x-forwarded-prefix", "/inner")];
        let sent = |peer, prefix, fields| sent_through(peer, &["loopback"], prefix, "made", fields);
        for (peer, prefix, fields, expected) in [
            ("127.0.0.1", "/api", &fields[..], "/outer, /inner, /api"),
            ("127.0.0.1", "/api", &[], "/api"),
            ("203.0.113.9", "/api", &fields, "/api"),
            ("203.0.113.9", "/a b,ü/c", &[], "/a%20b%2C%C3%BC/c"),
        ] {
            let sent = sent(peer, prefix, fields);
            assert_eq!(text(&sent.added, "x-forwarded-prefix"), [expected]);
            assert!(!sent.from_client.contains_key("x-forwarded-prefix"));
        }
        let nothing_stripped = sent("127.0.0.1", "/", &fields);
        assert_eq!(text(&nothing_stripped.from_client, "x-forwarded-prefix"), ["/outer", "/inner"]);
        assert!(!nothing_stripped.added.contains_key("x-forwarded-prefix"));
        let nobody_trusted = sent("203.0.113.9", "/", &fields);
        assert!(!nobody_trusted.from_client.contains_key("x-forwarded-prefix"));
        assert!(!nobody_trusted.added.contains_key("x-forwarded-prefix"));
    }

    #[test]
    fn what_the_client_told_is_found_again_in_what_was_added() {
        let told = |peer: &str, fields: &[(&str, &str)]| told_by_client(&sent_by(peer, &["loopback"], fields).added);
        assert_eq!(told("127.0.0.1", &[]), HeaderMap::new());
        let fields = [
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-for", "203.0.113.9,"),
            ("via", "1.0 fred (a, b)"),
            ("host", "front"),
        ];
        let believed = map(&[
            ("x-forwarded-for", "198.51.100.7, 203.0.113.9,"),
            ("via", "1.0 fred (a, b)"),
            ("x-forwarded-host", "front"),
            ("x-real-ip", "203.0.113.9"),
        ]);
        assert_eq!(told("127.0.0.1", &fields), believed);
        let distrusted = map(&[("via", "1.0 fred (a, b)"), ("x-forwarded-host", "front")]);
        assert_eq!(told("203.0.113.1", &fields), distrusted);
        assert_eq!(told("203.0.113.2", &fields), distrusted, "the peer is not what the client sent");
        assert_eq!(told("127.0.0.1", &[("x-real-ip", "198.51.100.7")]), map(&[("x-real-ip", "198.51.100.7")]));
    }

    #[test]
    fn a_loop_is_seen_by_the_name_in_via() {
        let headers = map(&[("via", "1.1 edge, 1.0 other (edge)"), ("via", "HTTP/2.0  EDGE (x)"), ("via", "1.1")]);
        assert_eq!(hops(&headers, "edge"), 2);
        assert_eq!(hops(&headers, "other"), 1);
        assert_eq!(hops(&HeaderMap::new(), "edge"), 0);
        let quotes = map(&[("via", "1.1 fred (5\" disk), 1.1 edge (a, b), 1.1 fred (7\" disk)")]);
        assert_eq!(hops(&quotes, "edge"), 1, "quotes in comments hide nothing");
    }
}
