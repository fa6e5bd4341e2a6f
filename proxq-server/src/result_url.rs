//! Signed URLs of results: whoever has one can read the content of one job, or cancel it, until a time, without any credential.
//!
//! The signature is an HMAC under a key that is derived from the deployment's, over the job's id, the time and the methods. Pure:
//! callers bring the key and the time.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::config::Prefix;
use crate::job::JobId;
use crate::reply::Problem;

/// The longest that a URL is valid: it cannot be taken back, and links are passed on.
pub(crate) const LONGEST: Duration = Duration::from_hours(24);

/// Tells these signatures, and their key, from everything else for which the deployment's key is used, and from later forms.
const LABEL: &[u8] = b"proxq result URL, version 1";
/// What the URL allows.
const METHODS: &[u8] = b"GET HEAD DELETE";

/// What a signed URL says, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The parameter `expires`.
    pub(crate) expires: String,
    /// The parameter `signature`.
    pub(crate) signature: String,
}

/// The path and query that lead to a job's result for so long.
pub(crate) fn sign(key: &[u8; 32], jobs_path: &Prefix, id: JobId, now: Timestamp, span: Duration) -> String {
    // In whole seconds, never earlier than promised.
    let until = u64::try_from(now.after(span).since_epoch().as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac(key, id, until).finalize().into_bytes());
    format!("{jobs_path}/{id}/content?expires={until}&signature={signature}")
}

/// Says why a signed URL does not lead to this job's result now.
pub(crate) fn check(key: &[u8; 32], id: JobId, signed: &Signed, now: Timestamp) -> Result<(), Problem> {
    let until = signed.expires.parse::<u64>().map_err(|_| Problem::url_forged())?;
    if until.to_string() != signed.expires {
        return Err(Problem::url_forged()); // the same number in other digits
    }
    let signature = BASE64_URL_SAFE_NO_PAD.decode(&signed.signature).map_err(|_| Problem::url_forged())?;
    // Compares in constant time.
    mac(key, id, until).verify_slice(&signature).map_err(|_| Problem::url_forged())?;
    let until = Timestamp::from_millis(i64::try_from(until).unwrap_or(i64::MAX).saturating_mul(1000));
    if now < until { Ok(()) } else { Err(Problem::url_expired(&until.to_string())) }
}

fn mac(key: &[u8; 32], id: JobId, until: u64) -> Hmac<Sha256> {
    const ANY_LENGTH: &str = "HMAC takes keys of any length";
    let own = Hmac::<Sha256>::new_from_slice(key).expect(ANY_LENGTH).chain_update(LABEL).finalize().into_bytes();
    // All parts but the last have a fixed length.
    let mac = Hmac::<Sha256>::new_from_slice(&own).expect(ANY_LENGTH);
    mac.chain_update(LABEL).chain_update(id.as_bytes()).chain_update(until.to_be_bytes()).chain_update(METHODS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [1; 32];
    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_001);

    fn signed(url: &str) -> Signed {
        let (expires, signature) = url.split_once("?expires=").unwrap().1.split_once("&signature=").unwrap();
        Signed { expires: expires.to_owned(), signature: signature.to_owned() }
    }

    fn code(result: Result<(), Problem>) -> &'static str {
        match result {
            Ok(()) => "ok",
            Err(problem) if problem.detail().contains("valid until 2026-01-01T01:00:01") => "expired",
            Err(_) => "forged",
        }
    }

    #[test]
    fn a_url_leads_to_its_job_until_its_time() {
        let (id, jobs) = (JobId::new(), Prefix::new("/__jobs").unwrap());
        let url = sign(&KEY, &jobs, id, NOW, Duration::from_hours(1));
        let begin = format!("/__jobs/{id}/content?expires=1767229201&signature=");
        assert!(url.starts_with(&begin) && url.len() == begin.len() + 43, "{url}");
        let check = |key, id, signed: &Signed, now| code(check(key, id, signed, now));
        let own = signed(&url);
        assert_eq!(check(&KEY, id, &own, NOW), "ok");
        let hour = Duration::from_hours(1);
        assert_eq!(check(&KEY, id, &own, NOW.after(hour)), "ok", "rounded up");
        assert_eq!(check(&KEY, id, &own, NOW.after(hour + Duration::from_secs(1))), "expired");
        assert_eq!(check(&[2; 32], id, &own, NOW), "forged");
        assert_eq!(check(&KEY, JobId::new(), &own, NOW), "forged");
        let later = Signed { expires: "1767229202".to_owned(), ..own.clone() };
        assert_eq!(check(&KEY, id, &later, NOW), "forged");
        for expires in
            ["", "+1767229201", "01767229201", "1767229201x", "-1", "99999999999999999999999", "1767229201.0"]
        {
            assert_eq!(
                check(&KEY, id, &Signed { expires: expires.to_owned(), ..own.clone() }, NOW),
                "forged",
                "{expires}"
            );
        }
        let other = |at: usize| {
            let mut signature = own.signature.clone();
            let swapped = if &signature[at..=at] == "A" { "Q" } else { "A" };
            signature.replace_range(at..=at, swapped);
            signature
        };
        let texts =
            [String::new(), own.signature[..42].to_owned(), own.signature.clone() + "A", own.signature.clone() + "="];
        for signature in texts.into_iter().chain((0..43).map(other)) {
            assert_eq!(check(&KEY, id, &Signed { signature, ..own.clone() }, NOW), "forged");
        }
    }
}
