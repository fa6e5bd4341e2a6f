//! Who may use this server, and whose a job is.

use std::path::PathBuf;

use http::HeaderMap;
use proxq_protocol::header;
use subtle::ConstantTimeEq;

use super::Prefix;
use crate::access_token::TokenDigest;

/// Access tokens and ownership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// What clients have to show; nobody has to show anything where there is none.
    pub tokens: Vec<AccessToken>,
    /// Whose a job is.
    pub owner: Ownership,
    /// Whether a client may ask for the URL of a result.
    pub result_urls: ResultUrls,
}

/// One access token, known by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    pub(super) name: String,
    pub(super) digest: TokenDigest,
    pub(super) source: TokenSource,
    pub(super) scope: TokenScope,
    pub(super) admin: AdminRole,
}

impl AccessToken {
    /// A token under a name, for every upstream, without a role.
    ///
    /// # Errors
    /// What is wrong with one of them, as a fragment that does not show the token.
    pub fn new(name: &str, token: &str) -> Result<Self, String> {
        let name = check_name(name)?;
        crate::access_token::check(token)?;
        Ok(Self { name, digest: TokenDigest::of(token), ..Self::unread() })
    }

    /// A token before it is read. Nobody knows a text with this digest.
    pub(super) fn unread() -> Self {
        Self {
            name: String::new(),
            digest: TokenDigest::of([]),
            source: TokenSource::Given,
            scope: TokenScope::All,
            admin: AdminRole::None,
        }
    }

    /// The same with this role.
    #[must_use]
    pub fn with_admin(self, admin: AdminRole) -> Self {
        Self { admin, ..self }
    }

    /// The same for these upstreams alone.
    #[must_use]
    pub fn with_scope(self, scope: TokenScope) -> Self {
        Self { scope, ..self }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its digest.
    pub(crate) fn digest(&self) -> &TokenDigest {
        &self.digest
    }

    /// Which upstreams it is for.
    #[must_use]
    pub fn scope(&self) -> &TokenScope {
        &self.scope
    }

    /// What it allows at the listener for operators.
    #[must_use]
    pub fn admin(&self) -> AdminRole {
        self.admin
    }
}

/// Where a token was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// In the configuration.
    Given,
    /// In this file.
    File(PathBuf),
    /// Nowhere: the configuration has its digest.
    Hash,
}

/// The upstreams that a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// All of them.
    All,
    /// Those with one of these prefixes.
    Only(Vec<Prefix>),
}

impl TokenScope {
    /// Whether it takes in the upstream with this prefix.
    #[must_use]
    pub fn includes(&self, upstream: &Prefix) -> bool {
        match self {
            Self::All => true,
            Self::Only(prefixes) => prefixes.contains(upstream),
        }
    }
}

/// What a token allows at the listener for operators, and with jobs of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AdminRole {
    /// Nothing.
    #[default]
    None,
    /// To look.
    Read,
    /// To look and to give orders.
    Write,
}

/// Whose a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// Nobody's: whoever knows its id may ask for it.
    #[default]
    Open,
    /// That of the credential which submitted it: to all others it does not exist.
    Credential,
}

/// Whether a client may ask for a URL that leads to its job's result without any credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResultUrls {
    /// No; nor does one mean anything that was given before.
    #[default]
    Off,
    /// Yes.
    On,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotLetIn {
    /// It shows no token.
    Nothing,
    /// It shows several tokens, or an empty one.
    NotOne,
    /// It shows one that nobody has.
    Unknown,
}

impl AuthConfig {
    /// Whether clients have to show a token.
    pub(crate) fn asks_for_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether it matters who a client is.
    pub(crate) fn tells_clients_apart(&self) -> bool {
        self.asks_for_tokens() || self.owner == Ownership::Credential
    }

    /// The token that a client shows; none where nobody has to show one.
    pub(crate) fn token_of(&self, headers: &HeaderMap) -> Result<Option<&AccessToken>, NotLetIn> {
        if !self.asks_for_tokens() {
            return Ok(None);
        }
        let mut shown = headers.get_all(header::TOKEN).iter();
        let token = shown.next().ok_or(NotLetIn::Nothing)?;
        if token.is_empty() || shown.next().is_some() {
            return Err(NotLetIn::NotOne);
        }
        self.token_with(&TokenDigest::of(token)).ok_or(NotLetIn::Unknown).map(Some)
    }

    /// The token with this digest. All are compared, each in the same time, so that the time tells nothing.
    pub(crate) fn token_with(&self, digest: &TokenDigest) -> Option<&AccessToken> {
        let mut found = None;
        for token in &self.tokens {
            if token.digest.ct_eq(digest).into() {
                found = Some(token);
            }
        }
        found
    }

    /// Whether a token lets its bearer in at the listener for operators.
    pub(crate) fn has_operators(&self) -> bool {
        self.tokens.iter().any(|token| token.admin != AdminRole::None)
    }
}

/// Checks the name of a token: it stands in logs and on pages.
pub(super) fn check_name(name: &str) -> Result<String, String> {
    /// Longer than any name that people give.
    const LENGTH_MAX: usize = 64;
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > LENGTH_MAX || !name.bytes().all(is_of_name) {
        return Err(format!("is not a name for a token: up to {LENGTH_MAX} letters, digits and . _ - make one"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn auth() -> AuthConfig {
        let token = |name, text| AccessToken::new(name, text).unwrap();
        let tokens = vec![token("a", "token-of-client-a"), token("b", "token-of-client-b")];
        AuthConfig { tokens, ..AuthConfig::default() }
    }

    fn shown(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::TOKEN, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_known_token_lets_in_and_nothing_else_does() {
        let auth = auth();
        let name = |values: &[&'static str]| Ok(auth.token_of(&shown(values))?.unwrap().name());
        assert_eq!((name(&["token-of-client-a"]), name(&["token-of-client-b"])), (Ok("a"), Ok("b")));
        assert_eq!(name(&[]), Err(NotLetIn::Nothing));
        for several in [&[""][..], &["token-of-client-a"; 2], &["token-of-client-a", ""]] {
            assert_eq!(name(several), Err(NotLetIn::NotOne));
        }
        for wrong in ["token-of-client-c", "token-of-client-", "token-of-client-ab", "TOKEN-OF-CLIENT-A", "x"] {
            assert_eq!(name(&[wrong]), Err(NotLetIn::Unknown));
        }
    }

    #[test]
    fn without_tokens_nobody_is_asked() {
        let open = AuthConfig::default();
        for values in [&[][..], &["anything"], &["a", "b"]] {
            assert_eq!(open.token_of(&shown(values)), Ok(None));
        }
    }

    #[test]
    fn a_token_is_for_its_upstreams() {
        let prefix = |text| Prefix::new(text).unwrap();
        assert!(TokenScope::All.includes(&prefix("/a")));
        let only = TokenScope::Only(vec![prefix("/a"), prefix("/b")]);
        assert!(only.includes(&prefix("/b")) && !only.includes(&prefix("/b/c")) && !only.includes(&prefix("/")));
    }
}
