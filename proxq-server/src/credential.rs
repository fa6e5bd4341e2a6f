//! Keyed hashes over the secrets of a submission, which tell who submitted a job. The key belongs to the deployment, so the
//! hashes are useless elsewhere.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use proxq_protocol::credential::OWNER_HEADERS;
use sha2::Sha256;

use crate::config::{AccessToken, SecretHeaders};
use crate::job::CredentialHash;

/// Hashes all secrets of a submission: the access token and every secret header.
pub(crate) fn credential_hash(
    key: &[u8; 32],
    token: Option<&AccessToken>,
    headers: &HeaderMap,
    secret: &SecretHeaders,
) -> CredentialHash {
    let mut names: Vec<_> = headers.keys().filter(|name| secret.contains(name)).map(HeaderName::as_str).collect();
    names.sort_unstable();
    hash(key, token, headers, &names)
}

/// The hash of no credential at all.
pub(crate) fn nobody(key: &[u8; 32]) -> CredentialHash {
    hash(key, None, &HeaderMap::new(), &[])
}

/// Hashes what a client sends with each of its requests: the access token alone if there is one, else [`OWNER_HEADERS`].
pub(crate) fn owner_hash(key: &[u8; 32], token: Option<&AccessToken>, headers: &HeaderMap) -> CredentialHash {
    let names = if token.is_some() { &[][..] } else { &OWNER_HEADERS };
    hash(key, token, headers, names)
}

/// A hash that is of no use without the key: nobody who reads it can try what it may be of.
pub(crate) fn keyed(key: &[u8; 32], hash: [u8; 32]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&hash);
    mac.finalize().into_bytes().into()
}

/// Whether a submission with this hash of all its secrets has none.
pub(crate) fn is_anonymous(key: &[u8; 32], secrets: CredentialHash) -> bool {
    secrets == nobody(key)
}

/// Each part is prefixed with its length, so that different sets of secrets never give the same bytes. A token counts by its digest.
fn hash(key: &[u8; 32], token: Option<&AccessToken>, headers: &HeaderMap, names: &[&str]) -> CredentialHash {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let mut add = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
    };
    if let Some(token) = token {
        add("", token.digest().bytes());
    }
    for name in names {
        for value in headers.get_all(*name) {
            add(name, value.as_bytes());
        }
    }
    CredentialHash(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn hash(key: u8, fields: &[(&'static str, &'static str)]) -> CredentialHash {
        credential_hash(&[key; 32], None, &map(fields), &SecretHeaders::default())
    }

    #[test]
    fn only_secrets_count_and_all_of_them() {
        let one = hash(1, &[("authorization", "a"), ("x-other", "b")]);
        assert_eq!(one, hash(1, &[("x-other", "c"), ("authorization", "a")]));
        assert_ne!(one, hash(1, &[("authorization", "b")]));
        assert_ne!(one, hash(2, &[("authorization", "a")]));
        assert_ne!(hash(1, &[("cookie", "ab")]), hash(1, &[("cookie", "a"), ("cookie", "b")]));
        assert_ne!(hash(1, &[("cookie", "a")]), hash(1, &[("api-key", "a")]));
        assert_ne!(hash(1, &[("x-api-token", "a")]), hash(1, &[("x-api-token", "b")]));
        assert_eq!(hash(1, &[("cookie", "a"), ("x-token", "b")]), hash(1, &[("x-token", "b"), ("cookie", "a")]));
    }

    #[test]
    fn a_job_belongs_to_who_shows_the_same_api_keys_whatever_else_changes() {
        fn owner(token: Option<&AccessToken>, fields: &[(&'static str, &'static str)]) -> CredentialHash {
            owner_hash(&[1; 32], token, &map(fields))
        }
        let [t, u] = ["token-of-client-t", "token-of-client-u"].map(|token| AccessToken::new("a", token).unwrap());
        let one = owner(None, &[("authorization", "a"), ("cookie", "b"), ("x-session-id", "c"), ("x-api-token", "d")]);
        assert_eq!(one, owner(None, &[("authorization", "a")]));
        for name in OWNER_HEADERS {
            assert!(SecretHeaders::default().names().iter().any(|secret| secret == name), "{name}");
            assert_ne!(owner(None, &[(name, "a")]), owner(None, &[(name, "b")]), "{name}");
            assert_eq!(owner(Some(&t), &[(name, "a")]), owner(Some(&t), &[]), "the token alone counts");
        }
        assert_ne!(owner(Some(&t), &[]), owner(Some(&u), &[]));
        assert!(OWNER_HEADERS.is_sorted());
    }
}
