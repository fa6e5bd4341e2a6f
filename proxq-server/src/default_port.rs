//! The ports of URLs that name none.

use http::uri::Scheme;

/// The port of `https` for that, else of `http` (RFC 9110 §4.2).
pub(crate) fn default_port(scheme: Option<&Scheme>) -> u16 {
    if scheme == Some(&Scheme::HTTPS) { 443 } else { 80 }
}
