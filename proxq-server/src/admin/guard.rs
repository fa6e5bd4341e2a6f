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

use crate::access_token::TokenDigest;
use crate::config::listen_address::is_loopback;
use crate::config::{AccessToken, AdminConfig, AdminRole, AuthConfig};
use crate::reply::Problem;

/// Decides who is let in.
#[derive(Clone)]
pub(crate) struct Guard {
    /// The digest of `admin.token`, if there is one.
    token: Option<TokenDigest>,
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
    /// Lets in who shows this token. Where it is empty, everybody, unless access tokens have roles.
    pub(crate) fn new(admin: &AdminConfig, token: &str) -> Self {
        let own = host_of(&admin.listen_address);
        let hosts =
            admin.hosts.iter().map(|host| host.to_ascii_lowercase()).chain([own.to_ascii_lowercase()]).collect();
        let takes_addresses = !is_loopback(&admin.listen_address);
        Self { token: (!token.is_empty()).then(|| TokenDigest::of(token)), hosts, takes_addresses }
    }

    /// Says why a request is not let in.
    pub(crate) fn check(&self, head: &Parts, auth: &AuthConfig) -> Result<(), Problem> {
        self.check_host(&head.headers)?;
        let role = self.role(&head.headers, auth)?;
        if matches!(head.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        if role == AdminRole::Write { check_intent(&head.headers) } else { Err(Problem::read_only()) }
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

    /// What the request may do by the token that it shows.
    fn role(&self, headers: &HeaderMap, auth: &AuthConfig) -> Result<AdminRole, Problem> {
        if self.token.is_none() && !auth.has_operators() {
            return Ok(AdminRole::Write);
        }
        let shown = TokenDigest::of(shown_token(headers).ok_or_else(Problem::no_token)?);
        let is_own = self.token.is_some_and(|token| token == shown);
        let role = auth.token_with(&shown).map_or(AdminRole::None, AccessToken::admin);
        match if is_own { AdminRole::Write } else { role } {
            AdminRole::None => Err(Problem::wrong_token()),
            role @ (AdminRole::Read | AdminRole::Write) => Ok(role),
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

/// The token in the only `X-Proxq-Token`, else in `Authorization`. An empty one is none.
fn shown_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut own = headers.get_all(header::TOKEN).iter();
    let token = match own.next() {
        Some(token) => own.next().is_none().then(|| token.as_bytes().to_vec()),
        None => authorized_token(headers.get(AUTHORIZATION)?.to_str().ok()?).map(String::into_bytes),
    };
    token.filter(|token| !token.is_empty())
}

/// The token in `Authorization`: a bearer token (RFC 6750 §2.1), or the password of Basic credentials (RFC 7617 §2).
fn authorized_token(value: &str) -> Option<String> {
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
        let admin =
            AdminConfig { listen_address: address.to_owned(), token: Password::None, hosts, ..AdminConfig::default() };
        Guard::new(&admin, token)
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
            assert!(local.check(&head("GET", &[("host", host)]), &AuthConfig::default()).is_ok(), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "192.0.2.1:9090", "", "127.0.0.1.evil.example", "[::1].evil"]
        {
            assert!(local.check(&head("GET", &[("host", host)]), &AuthConfig::default()).is_err(), "{host}");
        }
        assert!(local.check(&head("GET", &[]), &AuthConfig::default()).is_err(), "no Host");
        let open = guard("0.0.0.0:9090", "a token of sixteen", &[]);
        assert!(open.check_host(&head("GET", &[("host", "192.0.2.1:9090")]).headers).is_ok(), "a scrape by address");
        assert!(open.check_host(&head("GET", &[("host", "evil.example")]).headers).is_err());
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_the_password_of_any_user() {
        let guard = guard("127.0.0.1:9090", "0123456789abcdef", &[]);
        let with = |value: &str| {
            let head = head("GET", &[("host", "localhost"), ("authorization", value)]);
            guard.check(&head, &AuthConfig::default()).is_ok()
        };
        assert!(with("Bearer 0123456789abcdef"));
        assert!(with("bearer  0123456789abcdef"));
        assert!(with(&format!("Basic {}", BASE64_STANDARD.encode("any:0123456789abcdef"))));
        for wrong in
            ["Bearer 0123456789abcdeX", "Bearer", "0123456789abcdef", "Basic ====", "Digest 0123456789abcdef", ""]
        {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(guard.check(&head("GET", &[("host", "localhost")]), &AuthConfig::default()).is_err());
    }

    #[test]
    fn an_empty_token_is_none() {
        for (name, value) in [
            ("x-proxq-token", ""),
            ("authorization", "Basic Og=="),
            ("authorization", "Bearer "),
            ("authorization", ""),
        ] {
            assert_eq!(shown_token(&head("GET", &[(name, value)]).headers), None, "{name}: {value}");
        }
    }

    #[test]
    fn a_token_with_a_role_is_let_in_as_far_as_its_role_goes() {
        let token = |name, text, admin| AccessToken::new(name, text).unwrap().with_admin(admin);
        let tokens = vec![
            token("client", "token-of-a-client", AdminRole::None),
            token("reader", "token-of-a-reader", AdminRole::Read),
            token("writer", "token-of-a-writer", AdminRole::Write),
        ];
        let auth = AuthConfig { tokens, ..AuthConfig::default() };
        let own = "0123456789abcdef";
        for (guard, has_own) in [(guard("127.0.0.1:9090", "", &[]), false), (guard("127.0.0.1:9090", own, &[]), true)] {
            let may = |method: &str, token: Option<&str>| {
                let mut fields =
                    vec![("host", "localhost"), ("content-type", "application/json"), ("x-proxq-admin", "1")];
                fields.extend(token.map(|token| ("x-proxq-token", token)));
                guard.check(&head(method, &fields), &auth).map_err(|problem| problem.status().as_u16())
            };
            assert_eq!((may("GET", None), may("POST", None)), (Err(401), Err(401)));
            assert_eq!((may("GET", Some("token-of-a-client")), may("GET", Some("x"))), (Err(401), Err(401)));
            assert_eq!(
                (may("GET", Some("token-of-a-reader")), may("POST", Some("token-of-a-reader"))),
                (Ok(()), Err(403))
            );
            assert_eq!(
                (may("GET", Some("token-of-a-writer")), may("POST", Some("token-of-a-writer"))),
                (Ok(()), Ok(()))
            );
            assert_eq!(may("POST", Some(own)), if has_own { Ok(()) } else { Err(401) });
            let fields = [("host", "localhost"), ("authorization", "Bearer token-of-a-reader")];
            assert!(guard.check(&head("HEAD", &fields), &auth).is_ok());
            let twice = [fields[0], ("x-proxq-token", "token-of-a-reader"), ("x-proxq-token", "token-of-a-reader")];
            assert!(guard.check(&head("GET", &twice), &auth).is_err());
        }
    }

    #[test]
    fn what_changes_something_needs_a_type_and_a_header_that_no_form_has() {
        let guard = guard("127.0.0.1:9090", "", &[]);
        let with = |headers: &[(&str, &str)]| {
            let headers = [&[("host", "localhost")][..], headers].concat();
            guard.check(&head("POST", &headers), &AuthConfig::default()).is_ok()
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
