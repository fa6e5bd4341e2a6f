//! The rules for which header fields are passed on, in both directions. `forwarded.rs` makes the fields that tell an
//! upstream how a request reached it.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use proxq_protocol::header as proxq;

use crate::list_items::list_items;

pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// How the names of the forwarding fields begin.
pub(super) const X_FORWARDED: &str = "x-forwarded-";

/// Fields that belong to one connection, besides those that `Connection` names (RFC 9110 §7.6.1, RFC 9112 §6.1 and
/// the older names that are still sent).
static HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    HeaderName::from_static("trailers"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes the fields that belong to a single connection.
///
/// Drops every field that `Connection` lists, then the fixed set. Other fields keep their values, repetitions
/// included, in order. Idempotent. Source: RFC 9110 §7.6.1.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in connection_options(headers) {
        headers.remove(name);
    }
    strip(headers, |name| HOP_BY_HOP.contains(name));
}

/// Removes the fields with these names. Cheaper than to look for one name after the other, of which few are there.
fn strip(headers: &mut HeaderMap, is_out: impl Fn(&HeaderName) -> bool) {
    let out: Vec<_> = headers.keys().filter(|name| is_out(name)).cloned().collect();
    for name in out {
        headers.remove(name);
    }
}

/// The fields that `Connection` names.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    list_items(headers, &header::CONNECTION)
        .filter_map(|item| HeaderName::from_bytes(item).ok())
        // Names that a message cannot do without are not options of a connection (RFC 9110 §7.6.1).
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST)
        .collect()
}

/// Removes the fields of a request whose names, with `-` in place of `_`, are names that proxq removes, sets or frames
/// messages by. An upstream that reads both names alike, as CGI and WSGI do, would confuse them.
pub(super) fn strip_disguised(headers: &mut HeaderMap) {
    let mut suspects = headers.keys().filter(|name| name.as_str().contains('_')).cloned().peekable();
    if suspects.peek().is_none() {
        return;
    }
    let options: Vec<_> = connection_options(headers).iter().map(dashed).collect();
    let disguised: Vec<_> = suspects.filter(|name| is_own(&dashed(name), &options)).collect();
    for name in disguised {
        headers.remove(name);
    }
}

fn dashed(name: &HeaderName) -> String {
    name.as_str().replace('_', "-")
}

/// Whether proxq removes a field with this name from requests, sets it, or frames messages by it.
fn is_own(name: &str, connection_options: &[String]) -> bool {
    [proxq::PREFIX, X_FORWARDED].iter().any(|family| name.starts_with(family))
        || [X_REAL_IP.as_str(), proxq::REQUEST_ID, header::CONTENT_LENGTH.as_str()].contains(&name)
        || HOP_BY_HOP.iter().any(|own| own == name)
        || connection_options.iter().any(|option| option == name)
}

/// Removes what an upstream's response must not carry to a client: hop-by-hop fields, and proxq's own, which no
/// upstream can fake.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    strip_proxq(headers);
}

/// Removes proxq's own fields.
pub(super) fn strip_proxq(headers: &mut HeaderMap) {
    strip(headers, |name| name.as_str().starts_with(proxq::PREFIX));
}

/// The connection fields that a streamed request keeps beside the forwarded ones: that its client accepts trailers, that
/// its body has no length, and which trailers follow.
///
/// A length beside a transfer coding does not count (RFC 9112 §6.3).
pub(crate) fn streaming_fields(headers: &HeaderMap, length: BodyLength) -> HeaderMap {
    let mut fields = HeaderMap::new();
    if says_trailers(headers) {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if length == BodyLength::Unknown {
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        fields.extend(headers.get_all(header::TRAILER).iter().map(|names| (header::TRAILER, names.clone())));
    }
    fields
}

/// The length of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// This many bytes.
    Known(u64),
    /// Not known in advance.
    Unknown,
}

/// Whether a client accepts trailers after an answer: it says so (RFC 9110 §10.1.4), or speaks HTTP/2.
pub(crate) fn takes_trailers(headers: &HeaderMap, version: Version) -> bool {
    says_trailers(headers) || version == Version::HTTP_2
}

fn says_trailers(headers: &HeaderMap) -> bool {
    list_items(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fields with these names and values.
    pub(in crate::forward) fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        headers
    }

    /// The values of a field.
    pub(in crate::forward) fn text(headers: &HeaderMap, name: &str) -> Vec<String> {
        headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn fields_of_one_connection_stay_behind_and_all_others_keep_values_and_order() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-other,content-length"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("content-length", "3"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("proxy-connection", "close"),
            ("x-dup", "a"),
            ("x-dup", "b"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(text(&headers, "x-dup"), ["a", "b"]);
        assert_eq!(text(&headers, "content-length"), ["3"]);
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn a_name_in_disguise_is_removed_where_its_own_would_not_pass() {
        let disguised = [
            "x_proxq_job_id",
            "x-proxq_source",
            "x_proxq-anything",
            "x_forwarded_for",
            "x-forwarded_prefix",
            "x_forwarded-port",
            "x_real_ip",
            "x_request_id",
            "content_length",
            "transfer_encoding",
            "keep_alive",
            "proxy_authorization",
            "x_hop",
            "x-other_hop",
        ];
        let others = ["x_api_key", "idempotency_key", "x_real_ips", "xforwarded_for", "x-real-ip", "a_b-c"];
        let connection = [("connection", "X-Hop"), ("connection", "x-Other-Hop, close")];
        let with_values = |names: &[&'static str]| names.iter().map(|name| (*name, "1")).collect::<Vec<_>>();
        let fields = [&connection[..], &with_values(&disguised), &with_values(&others)].concat();
        let mut headers = map(&fields);
        strip_disguised(&mut headers);
        assert_eq!(headers, map(&[&connection[..], &with_values(&others)].concat()));
    }

    #[test]
    fn an_upstream_cannot_fake_proxqs_headers() {
        let mut headers = map(&[("x-proxq-source", "proxq"), ("x-proxq-job-id", "x"), ("x-cache-status", "HIT")]);
        strip_response(&mut headers);
        assert_eq!(headers, map(&[("x-cache-status", "HIT")]));
    }

    #[test]
    fn a_streamed_request_keeps_what_it_needs_of_its_connections_fields() {
        let headers = map(&[("te", "gzip, Trailers"), ("trailer", "X-A"), ("trailer", "X-B"), ("connection", "te")]);
        let chunked = streaming_fields(&headers, BodyLength::Unknown);
        assert_eq!(
            chunked,
            map(&[("te", "trailers"), ("transfer-encoding", "chunked"), ("trailer", "X-A"), ("trailer", "X-B")])
        );
        assert_eq!(streaming_fields(&headers, BodyLength::Known(7)), map(&[("te", "trailers")]), "no trailers end it");
        assert_eq!(streaming_fields(&map(&[("te", "gzip")]), BodyLength::Known(0)), HeaderMap::new());
        assert!(takes_trailers(&headers, Version::HTTP_11) && takes_trailers(&HeaderMap::new(), Version::HTTP_2));
        assert!(!takes_trailers(&map(&[("te", "gzip")]), Version::HTTP_11));
    }

    proptest! {
        #[test]
        fn stripping_twice_is_stripping_once(names in prop::collection::vec("(connection|te|x-[a-c]|upgrade)", 0..8)) {
            let mut once = HeaderMap::new();
            for name in &names {
                once.append(HeaderName::try_from(name.as_str()).unwrap(), HeaderValue::from_static("x-a, x-b"));
            }
            strip_hop_by_hop(&mut once);
            let mut twice = once.clone();
            strip_hop_by_hop(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
