//! Which headers of a request carry credentials: the usual ones, those whose names say so, and the configured ones.

use http::{HeaderMap, HeaderName};
use proxq_protocol::credential::OWNER_HEADERS;

use super::HeaderPattern;

/// The headers whose values are secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHeaders {
    names: Vec<HeaderName>,
}

/// What a name contains that says that its header is a credential. `_` counts as `-`.
const WORDS: [&str; 9] =
    ["auth", "token", "secret", "api-key", "apikey", "password", "credential", "session", "cookie"];

/// Names that contain one of the words and mean something else: how many tokens of text there may be, and of what kind.
/// `auth` does not count either where it begins `author`, but for `authorize` and `authorization`.
const NO_CREDENTIALS: [&str; 4] = ["max-tokens", "x-max-tokens", "x-token-count", "x-tokenizer"];

impl SecretHeaders {
    /// The built-in names and these.
    #[must_use]
    pub fn with(configured: Vec<HeaderName>) -> Self {
        let usual = OWNER_HEADERS.into_iter().map(HeaderName::from_static).chain([http::header::COOKIE]);
        let mut names: Vec<_> = usual.chain(configured).collect();
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self { names }
    }

    /// The names that are listed, in alphabetical order. Those that say by themselves what they are come on top of them.
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// Whether a header is secret.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.names.contains(name) || names_a_credential(name.as_str())
    }

    /// Whether one of the headers that a pattern stands for is secret, as far as names are known.
    #[must_use]
    pub(super) fn may_match(&self, pattern: &HeaderPattern) -> bool {
        self.names.iter().any(|name| pattern.matches(name)) || names_a_credential(&pattern.to_string())
    }

    /// Takes the secret headers out of a map, every value in order.
    pub fn split_off(&self, headers: &mut HeaderMap) -> HeaderMap {
        let names: Vec<_> = headers.keys().filter(|name| self.contains(name)).cloned().collect();
        let mut secrets = HeaderMap::new();
        for name in names {
            if let http::header::Entry::Occupied(entry) = headers.entry(&name) {
                secrets.extend(entry.remove_entry_mult().1.map(|value| (name.clone(), value)));
            }
        }
        secrets
    }
}

impl Default for SecretHeaders {
    fn default() -> Self {
        Self::with(Vec::new())
    }
}

/// Asked of every header of every submission, so it allocates nothing.
fn names_a_credential(name: &str) -> bool {
    let name = name.as_bytes();
    let is_other = |other: &&str| other.len() == name.len() && begins_with(name, other);
    if begins_with(name, proxq_protocol::header::PREFIX) || NO_CREDENTIALS.iter().any(is_other) {
        return false;
    }
    (0..name.len())
        .map(|at| &name[at..])
        .any(|rest| may_begin_a_word(rest[0]) && WORDS.iter().any(|word| begins_with(rest, word)) && !is_author(rest))
}

/// Whether a word of [`WORDS`] begins with this.
fn may_begin_a_word(byte: u8) -> bool {
    const INITIALS: [bool; 256] = {
        let (mut initials, mut at) = ([false; 256], 0);
        while at < WORDS.len() {
            initials[WORDS[at].as_bytes()[0] as usize] = true;
            at += 1;
        }
        initials
    };
    INITIALS[usize::from(byte)]
}

/// `_` in a text counts as `-`.
fn begins_with(text: &[u8], word: &str) -> bool {
    let is_same = |(byte, wanted): (&u8, u8)| *byte == wanted || (*byte == b'_' && wanted == b'-');
    text.len() >= word.len() && text.iter().zip(word.bytes()).all(is_same)
}

/// Whether a text begins with `author`, as in `x-author` and `authority`, and not with `authoriz…`.
fn is_author(text: &[u8]) -> bool {
    begins_with(text, "author") && !["authoriz", "authoris"].iter().any(|verb| begins_with(text, verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_speak_for_themselves_are_secret() {
        let secret = SecretHeaders::with(vec![HeaderName::from_static("x-listed")]);
        for name in [
            "authorization",
            "proxy-authorization",
            "x-authorisation",
            "cookie",
            "cookie2",
            "api-key",
            "x-api-key",
            "x_api_key",
            "apikey",
            "x-goog-api-key",
            "x-auth-token",
            "x-amz-security-token",
            "x-api-token",
            "x-csrf-token",
            "x-author-token",
            "x-client-secret",
            "x-password",
            "x-user-credentials",
            "x-session-id",
            "x-forwarded-access-token",
            "x-goog-authenticated-user-email",
            "x-listed",
        ] {
            assert!(secret.contains(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "accept",
            "author",
            "x-author",
            "x-authority",
            "idempotency-key",
            "if-match",
            "max-tokens",
            "x-max-tokens",
            "x-token-count",
            "x-tokenizer",
            "x-proxq-token",
            "x-request-id",
            "x-user-id",
        ] {
            assert!(!secret.contains(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn what_is_secret_is_taken_out_with_every_value() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("accept", "a"), ("x-api-token", "b"), ("x-api-token", "c"), ("authorization", "d")] {
            headers.append(name, http::HeaderValue::from_static(value));
        }
        let secrets = SecretHeaders::default().split_off(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
        assert_eq!(secrets.get_all("x-api-token").iter().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(secrets.len(), 3);
    }
}
