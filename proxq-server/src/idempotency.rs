//! The claim that a submission makes by its `Idempotency-Key`.

use std::time::Duration;

use http::header;
use sha2::{Digest, Sha256};

use crate::credential::keyed;
use crate::job::{CredentialHash, JobRequest};
use crate::multipart::without_boundary;
use crate::store::Claim;

/// The claim of a request with an idempotency key, valid for `ttl`. `credential` is the hash of all its secrets, `body` the
/// digest of its body, `key` the deployment's key: without it, nobody can try whether a claim is that of a request which they guess.
///
/// The same key with another credential or upstream is another claim. Two requests are the same if method, target, body and
/// the body's description are; other headers and the boundary of a multipart body may differ between two tries of a client.
pub(crate) fn claim(
    request: &JobRequest,
    credential: CredentialHash,
    body: [u8; 32],
    ttl: Duration,
    key: &[u8; 32],
) -> Option<Claim> {
    let name = request.idempotency_key.as_deref()?;
    let scope = keyed(key, hash([request.upstream.as_bytes(), &credential.0, name]));
    let method_and_target =
        [request.method.as_str().as_bytes(), request.target.to_string().as_bytes()].map(<[u8]>::to_vec);
    let values = |name| request.headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    let types: Vec<_> = values(header::CONTENT_TYPE).map(without_boundary).collect();
    let described = [hash(types.iter().map(AsRef::as_ref)), hash(values(header::CONTENT_ENCODING))];
    let parts = method_and_target.iter().map(Vec::as_slice).chain(described.iter().map(<[u8; 32]>::as_slice));
    let fingerprint = keyed(key, hash(parts.chain([body.as_slice()])));
    Some(Claim { scope, fingerprint, ttl })
}

/// A hash over parts, each with its length, so that no two lists of parts are the same bytes.
pub(crate) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let hash = parts
        .into_iter()
        .fold(Sha256::new(), |hash, part| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Uri};
    use proptest::prelude::*;

    use super::*;

    /// What of a submission its client varies.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Varied {
        method: &'static str,
        target: String,
        body: [u8; 32],
        types: Vec<String>,
        encodings: Vec<String>,
        key: String,
        upstream: String,
        credential: [u8; 32],
    }

    impl Varied {
        fn request(&self) -> JobRequest {
            let mut request = JobRequest::sample();
            request.method = Method::from_bytes(self.method.as_bytes()).unwrap();
            request.target = self.target.parse::<Uri>().unwrap();
            for (name, values) in [("content-type", &self.types), ("content-encoding", &self.encodings)] {
                for value in values {
                    request.headers.append(name, HeaderValue::from_str(value).unwrap());
                }
            }
            request.idempotency_key = Some(self.key.clone().into_bytes());
            request.upstream.clone_from(&self.upstream);
            request
        }

        fn claim(&self) -> Claim {
            claim(&self.request(), CredentialHash(self.credential), self.body, Duration::from_secs(1), &[9; 32])
                .expect("it has a key")
        }

        fn same_scope(&self, other: &Self) -> bool {
            (&self.key, &self.upstream, self.credential) == (&other.key, &other.upstream, other.credential)
        }

        fn same_request(&self, other: &Self) -> bool {
            let parts = |it: &Self| (it.method, it.target.clone(), it.body, it.types.clone(), it.encodings.clone());
            parts(self) == parts(other)
        }
    }

    /// From few values, so that most of two agree, and from such as run into each other where lengths do not count.
    fn varied() -> impl Strategy<Value = Varied> {
        let values = || prop::collection::vec("[ab]{0,2}", 0..3);
        (
            prop::sample::select(&["GET", "POST", "P"][..]),
            "http://u/[ab]{0,2}",
            prop::sample::select(&[[0; 32], [1; 32]][..]),
            values(),
            values(),
            "[ab]{1,2}",
            "/[ab]{0,2}",
            prop::sample::select(&[[b'a'; 32], [b'b'; 32]][..]),
        )
            .prop_map(|(method, target, body, types, encodings, key, upstream, credential)| Varied {
                method,
                target,
                body,
                types,
                encodings,
                key,
                upstream,
                credential,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn claims_agree_exactly_where_submissions_do(one in varied(), other in varied()) {
            let (a, b) = (one.claim(), other.claim());
            prop_assert_eq!(a.scope == b.scope, one.same_scope(&other));
            prop_assert_eq!(a.fingerprint == b.fingerprint, one.same_request(&other));
        }

        /// A client that tries again has another request id, time, trace, and so on.
        #[test]
        fn further_headers_do_not_matter(one in varied(), name in "x-[a-z]{1,8}", value in "[ -~]{0,10}") {
            let mut request = one.request();
            request.headers.append(http::HeaderName::try_from(name).unwrap(), HeaderValue::from_str(&value).unwrap());
            request.id = proxq_protocol::JobId::new();
            request.request_id = value;
            prop_assert_eq!(claim(&request, CredentialHash(one.credential), one.body, Duration::from_secs(1), &[9; 32]).unwrap(), one.claim());
        }
    }

    #[test]
    fn the_boundary_of_a_multipart_body_does_not_matter() {
        let fingerprint = |content_type: &str| {
            let mut request = JobRequest::sample();
            request.idempotency_key = Some(b"key".to_vec());
            request.headers.insert("content-type", HeaderValue::from_str(content_type).unwrap());
            claim(&request, CredentialHash([0; 32]), [0; 32], Duration::from_secs(1), &[9; 32]).unwrap().fingerprint
        };
        let one = fingerprint("multipart/form-data; boundary=a");
        assert_eq!(one, fingerprint("multipart/form-data; boundary=b"));
        assert_ne!(one, fingerprint("multipart/mixed; boundary=a"));
    }

    #[test]
    fn without_a_key_nothing_is_claimed() {
        assert_eq!(
            claim(&JobRequest::sample(), CredentialHash([0; 32]), [0; 32], Duration::from_secs(1), &[9; 32]),
            None
        );
    }
}
