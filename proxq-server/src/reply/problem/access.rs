//! The errors that clients are answered with who may not do what they ask for.

use http::StatusCode;
use proxq_protocol::ErrorCode;

use super::{Challenge, Problem, STORE_RETRY_AFTER};
use crate::config::{NotLetIn, Prefix, TokenScope};

impl From<NotLetIn> for Problem {
    fn from(why: NotLetIn) -> Self {
        let detail = match why {
            NotLetIn::Nothing => "this needs an access token, in the header X-Proxq-Token",
            NotLetIn::NotOne => "X-Proxq-Token is empty, or there more than once; send it once, with one access token",
            NotLetIn::Unknown => "X-Proxq-Token has no access token that is known here",
        };
        let refusal = Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, detail);
        Self { challenge: Some(Challenge::Client), ..refusal }
    }
}

impl Problem {
    /// A request for an upstream that its token is not for.
    pub(crate) fn not_for(upstream: &Prefix, scope: &TokenScope) -> Self {
        let allowed = match scope {
            TokenScope::All => String::new(),
            TokenScope::Only(prefixes) => prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let detail = format!("this access token is not for {upstream}; it is for {allowed}");
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail)
    }

    /// A signed URL that was valid until this time.
    pub(crate) fn url_expired(until: &str) -> Self {
        let detail = format!("the URL was valid until {until}; ask whoever submitted the job for another");
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail)
    }

    /// A request that depends on whose it is, or on whether it was sent before, which nobody can tell here.
    pub(crate) fn not_recognizable() -> Self {
        let detail = "whose this is, or whether it was sent before, cannot be told: that is sealed with a key which this proxq does \
                      not have; its operator can configure it (encryption.previousKeyFiles), and the log names it";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::KeyUnknown, detail);
        Self { retry_after: Some(STORE_RETRY_AFTER), should_retry: true, ..refusal }
    }

    /// A URL whose signature is none of this deployment's.
    pub(crate) fn url_forged() -> Self {
        let detail = "the signature does not fit the URL; use it unchanged, as the answer to the submission has it";
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail)
    }
}
