//! Who submitted a job, as a keyed hash over everything secret in the submission.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;

use crate::config::SecretHeaders;
use crate::job::CredentialHash;

/// Hashes a submission's secrets: the access token and every secret header, each with its length, so that no two sets
/// of secrets give the same bytes. The key is the deployment's, so that the hash is of no use elsewhere.
pub(crate) fn credential_hash(
    key: &[u8; 32],
    token: Option<&[u8]>,
    headers: &HeaderMap,
    secret: &SecretHeaders,
) -> CredentialHash {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let mut add = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
    };
    if let Some(token) = token {
        add("", token);
    }
    for name in secret.names() {
        for value in headers.get_all(name) {
            add(name.as_str(), value.as_bytes());
        }
    }
    CredentialHash(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn hash(key: u8, fields: &[(&'static str, &'static str)]) -> CredentialHash {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        credential_hash(&[key; 32], None, &headers, &SecretHeaders::default())
    }

    #[test]
    fn only_secrets_count_and_all_of_them() {
        let one = hash(1, &[("authorization", "a"), ("x-other", "b")]);
        assert_eq!(one, hash(1, &[("x-other", "c"), ("authorization", "a")]));
        assert_ne!(one, hash(1, &[("authorization", "b")]));
        assert_ne!(one, hash(2, &[("authorization", "a")]));
        assert_ne!(hash(1, &[("cookie", "ab")]), hash(1, &[("cookie", "a"), ("cookie", "b")]));
        assert_ne!(hash(1, &[("cookie", "a")]), hash(1, &[("api-key", "a")]));
    }
}
