//! Who is let in: the host that a request names, the token that it shows, and what tells a request of an operator from one that
//! another page has a browser send.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use http::request::Parts;
use proxq_protocol::header;
use sha2::{Digest, Sha256};

use crate::config::AdminConfig;
use crate::config::listen_address::is_loopback;
use crate::reply::Problem;

/// Decides who is let in.
#[derive(Clone)]
pub(crate) struct Guard {
    /// SHA-256 of the token; `None` where nobody needs one.
    token: Option<[u8; 32]>,
    /// Names by which the listener is reached, in lower case, without a port.
    hosts: Vec<String>,
    /// Whether any address of the machine may be named: another page cannot have a browser name one that is not its own.
    takes_addresses: bool,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Guard {
    /// Lets in who shows this token; everybody where it is empty.
    pub(crate) fn new(admin: &AdminConfig, token: &str) -> Self {
        let own = host_of(&admin.listen_address);
        let hosts =
            admin.hosts.iter().map(|host| host.to_ascii_lowercase()).chain([own.to_ascii_lowercase()]).collect();
        let takes_addresses = !is_loopback(&admin.listen_address);
        Self { token: (!token.is_empty()).then(|| Sha256::digest(token).into()), hosts, takes_addresses }
    }

    /// Says why a request is not let in.
    pub(crate) fn check(&self, head: &Parts) -> Result<(), Problem> {
        self.check_host(&head.headers)?;
        self.check_token(&head.headers)?;
        if matches!(head.method, Method::GET | Method::HEAD) { Ok(()) } else { check_intent(&head.headers) }
    }

    /// A name that an attacker's DNS points here names the attacker (DNS rebinding).
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = host_of(host).trim_end_matches('.').to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_known = name == "localhost"
            || self.hosts.contains(&name)
            || address.is_ok_and(|address| self.takes_addresses || address.to_canonical().is_loopback());
        if is_known { Ok(()) } else { Err(Problem::wrong_host(host)) }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(shown_token);
        // The hashes differ in unforeseeable places, so that the time of the comparison tells nothing of the token.
        match shown {
            Some(shown) if Sha256::digest(&shown)[..] == token[..] => Ok(()),
            Some(_) => Err(Problem::wrong_token()),
            None => Err(Problem::no_token()),
        }
    }
}

/// Another page can have a browser send forms, but neither this type nor this header.
fn check_intent(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_json = media_type.eq_ignore_ascii_case("application/json");
    if is_json && headers.get(header::ADMIN).is_some_and(|value| value == "1") {
        Ok(())
    } else {
        Err(Problem::no_intent())
    }
}

/// The token in `Authorization`: a bearer token (RFC 6750 §2.1), or the password of Basic credentials (RFC 7617 §2).
fn shown_token(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (_user, password) = pair.split_once(':')?;
    Some(password.to_owned())
}

/// The host of `host:port`.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::Password;

    fn guard(address: &str, token: &str, hosts: &[&str]) -> Guard {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        Guard::new(&AdminConfig { listen_address: address.to_owned(), token: Password::None, hosts }, token)
    }

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_names_of_this_machine_and_configured_ones_are_let_in() {
        let local = guard("127.0.0.1:9090", "", &["Ops.example"]);
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1:1",
            "[::1]:9090",
            "127.9.9.9",
            "ops.example:9090",
            "ops.example.",
        ] {
            assert!(local.check(&head("GET", &[("host", host)])).is_ok(), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "192.0.2.1:9090", "", "127.0.0.1.evil.example", "[::1].evil"]
        {
            assert!(local.check(&head("GET", &[("host", host)])).is_err(), "{host}");
        }
        assert!(local.check(&head("GET", &[])).is_err(), "no Host");
        let open = guard("0.0.0.0:9090", "a token of sixteen", &[]);
        assert!(open.check_host(&head("GET", &[("host", "192.0.2.1:9090")]).headers).is_ok(), "a scrape by address");
        assert!(open.check_host(&head("GET", &[("host", "evil.example")]).headers).is_err());
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_the_password_of_any_user() {
        let guard = guard("127.0.0.1:9090", "0123456789abcdef", &[]);
        let with = |value: &str| guard.check(&head("GET", &[("host", "localhost"), ("authorization", value)])).is_ok();
        assert!(with("Bearer 0123456789abcdef"));
        assert!(with("bearer  0123456789abcdef"));
        assert!(with(&format!("Basic {}", BASE64_STANDARD.encode("any:0123456789abcdef"))));
        for wrong in
            ["Bearer 0123456789abcdeX", "Bearer", "0123456789abcdef", "Basic ====", "Digest 0123456789abcdef", ""]
        {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(guard.check(&head("GET", &[("host", "localhost")])).is_err());
    }

    #[test]
    fn what_changes_something_needs_a_type_and_a_header_that_no_form_has() {
        let guard = guard("127.0.0.1:9090", "", &[]);
        let with = |headers: &[(&str, &str)]| {
            let headers = [&[("host", "localhost")][..], headers].concat();
            guard.check(&head("POST", &headers)).is_ok()
        };
        assert!(with(&[("content-type", "application/json; charset=utf-8"), ("x-proxq-admin", "1")]));
        for form in [
            &[("content-type", "application/json")][..],
            &[("x-proxq-admin", "1")],
            &[("content-type", "text/plain"), ("x-proxq-admin", "1")],
            &[("content-type", "application/x-www-form-urlencoded"), ("x-proxq-admin", "1")],
            &[("content-type", "application/json"), ("x-proxq-admin", "yes")],
            &[],
        ] {
            assert!(!with(form), "{form:?}");
        }
    }
}
