//! Redirects in stored responses, for clients that follow them under the id of the job that they began with.
//!
//! An HTTP library that follows a redirect takes the first request's headers along, its proposed job id among them. So a
//! request under the id of a job whose response is a redirect is one of two: the job's own request, sent again, or the
//! request that follows. All here is pure; the store is asked by `intake/submitter/proposed.rs`.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header};
use proxq_protocol::header as proxq;
use sha2::Sha256;

use crate::config::SecretHeaders;
use crate::job::{JobId, JobRequest};
use crate::reply::Problem;

/// The redirects that a client with `X-Proxq-Redirects` knows: for each, the id of the job behind it, as reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownRedirects(Vec<JobId>);

impl KnownRedirects {
    /// Reads `X-Proxq-Redirects`. `None` if it is absent: the client follows redirects without asking.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(proxq::REDIRECTS).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let shown = String::from_utf8_lossy(value.as_bytes());
        let bad = |expected: &str| Problem::bad_header("X-Proxq-Redirects", &shown, expected);
        if values.next().is_some() {
            return Err(bad("it stands more than once; send it once"));
        }
        if shown == proxq::REDIRECTS_REPORT {
            return Ok(Some(Self::default()));
        }
        let ids = shown.split(',').map(|id| id.trim().parse());
        let ids = ids.collect::<Result<_, _>>().map_err(|_| bad("it must be report, or the ids of reports"))?;
        Ok(Some(Self(ids)))
    }

    /// Whether the redirect that leads to this job was reported.
    pub(crate) fn lead_to(&self, behind: JobId) -> bool {
        self.0.contains(&behind)
    }
}

/// The id of the job behind a redirect: of the request that follows the redirect which is the response of the job `id`.
///
/// It is the same for every repetition, so that the following request is one job, too. It is keyed, so that it differs
/// between deployments and cannot be guessed.
pub(crate) fn id_behind(key: &[u8; 32], id: JobId) -> JobId {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"behind the redirect of");
    mac.update(id.as_bytes());
    let hash: [u8; 32] = mac.finalize().into_bytes().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40; // version 4 (RFC 9562 §5.4)
    bytes[8] = bytes[8] & 0x3f | 0x80; // variant 10
    JobId::from_bytes(bytes).expect("version and variant are those of a job id")
}

/// Whether a request under a job's id repeats that job's own request; otherwise it follows the job's redirect.
///
/// The body does not count: a client that has sent its only copy still has to get the redirect. `Referer` counts: a client
/// sets it when it follows, and only it tells a redirect to the same URL from a repetition.
pub(crate) fn is_repetition(job: &JobRequest, request: &JobRequest, secret: &SecretHeaders) -> bool {
    // Headers that were erased from the job cannot be compared.
    let told = [header::HOST, header::REFERER].into_iter().filter(|name| !secret.names().contains(name));
    job.method == request.method
        && job.path == request.path
        && job.target.query() == request.target.query()
        && told.into_iter().all(|name| job.headers.get_all(&name).iter().eq(request.headers.get_all(&name).iter()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method, Uri};

    use super::*;

    fn read(values: &[&'static str]) -> Result<Option<KnownRedirects>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(proxq::REDIRECTS, HeaderValue::from_static(value));
        }
        KnownRedirects::read(&headers).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn the_header_is_the_word_report_or_a_list_of_ids() {
        let id: JobId = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["report"]), Ok(Some(KnownRedirects::default())));
        let two = "7d444840-9dc0-41b2-8a3c-3f0e4f5d6a7b, 550e8400-e29b-41d4-a716-446655440000";
        assert!(read(&[two]).unwrap().is_some_and(|known| known.lead_to(id)));
        assert!(!read(&["report"]).unwrap().is_some_and(|known| known.lead_to(id)));
        for bad in [&[""][..], &["Report"], &["1"], &["report, 550e8400-e29b-41d4-a716-446655440000"], &["report"; 2]] {
            assert!(read(bad).unwrap_err().contains("BadHeader"), "{bad:?}");
        }
    }

    #[test]
    fn the_id_behind_a_redirect_is_always_the_same_and_another_for_each_job_and_key() {
        let id = JobId::new();
        assert_eq!(id_behind(&[1; 32], id), id_behind(&[1; 32], id));
        assert_ne!(id_behind(&[1; 32], id), id_behind(&[2; 32], id));
        assert_ne!(id_behind(&[1; 32], id), id_behind(&[1; 32], JobId::new()));
        assert_ne!(id_behind(&[1; 32], id), id);
    }

    /// Changes a request.
    type Change = fn(&mut JobRequest);

    #[test]
    fn a_repetition_has_the_same_method_target_host_and_referer() {
        let job = JobRequest::sample();
        let with = |change: Change| {
            let mut request = JobRequest::sample();
            change(&mut request);
            request
        };
        let secret = SecretHeaders::default();
        let repetitions: [Change; 4] = [
            |_| {},
            |request| drop(request.headers.insert("accept", HeaderValue::from_static("x/y"))),
            |request| drop(request.headers.insert(header::COOKIE, HeaderValue::from_static("set by the redirect"))),
            |request| request.target = Uri::from_static("http://moved:3000/base/report?year=2026"),
        ];
        for change in repetitions {
            assert!(is_repetition(&job, &with(change), &secret));
        }
        let others: [Change; 5] = [
            |request| request.method = Method::GET,
            |request| request.path = "/api/other".to_owned(),
            |request| request.target = Uri::from_static("http://upstream:3000/report"),
            |request| drop(request.headers.insert(header::HOST, HeaderValue::from_static("www.example"))),
            |request| drop(request.headers.insert(header::REFERER, HeaderValue::from_static("http://a/"))),
        ];
        for change in others {
            assert!(!is_repetition(&job, &with(change), &secret));
        }
        let secret = SecretHeaders::with(vec![HeaderName::from_static("referer")]);
        assert!(is_repetition(&job, &with(others[4]), &secret), "it is erased from the job");
    }
}
