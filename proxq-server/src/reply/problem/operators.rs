//! The errors that operators are answered with.

use http::StatusCode;
use proxq_protocol::ErrorCode;

use super::{Challenge, Problem, STORE_RETRY_AFTER};

impl Problem {
    /// A host that is none of the admin listener's.
    pub(crate) fn wrong_host(host: &str) -> Self {
        /// More than any right host has.
        const SHOWN: usize = 100;
        let host: String = host.chars().take(SHOWN).collect();
        let detail = format!(
            "Host {host:?} is not one of this listener's; name it localhost or by its address, or add the name to admin.hosts"
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, ErrorCode::Forbidden, detail)
    }

    pub(crate) fn no_token() -> Self {
        Self::no_operator(
            "this needs the token of admin.token, or one of auth.tokens with a role: as a bearer token, as the password of any \
             user, or in X-Proxq-Token",
        )
    }

    pub(crate) fn wrong_token() -> Self {
        Self::no_operator("this is neither the token of admin.token nor one of auth.tokens with a role")
    }

    fn no_operator(detail: &str) -> Self {
        let refusal = Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, detail);
        Self { challenge: Some(Challenge::Operator), ..refusal }
    }

    /// An order by a token that may only look.
    pub(crate) fn read_only() -> Self {
        let detail = "this token may only look (admin: read); an order needs one with admin: write";
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail)
    }

    /// An order that a form on another page could have sent.
    pub(crate) fn no_intent() -> Self {
        let detail = "a request that changes something needs Content-Type: application/json and X-Proxq-Admin: 1";
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail)
    }

    pub(crate) fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadBody, detail)
    }

    pub(crate) fn bulk_running(number: u64) -> Self {
        let detail =
            format!("bulk action {number} runs; wait for its end, or stop it with DELETE /api/v1/bulk/{number}");
        Self::new(StatusCode::CONFLICT, ErrorCode::BulkRunning, detail)
    }

    pub(crate) fn may_duplicate_for_operators() -> Self {
        let detail = "the job may have reached its upstream, which would then see it twice; \
                      if that is wanted, retry it with {\"mayDuplicate\": true}";
        Self::new(StatusCode::CONFLICT, ErrorCode::MayDuplicate, detail)
    }

    pub(crate) fn not_ended() -> Self {
        let detail = "the job has not ended; only the request of an ended job can be submitted again";
        Self::new(StatusCode::CONFLICT, ErrorCode::NotEnded, detail)
    }

    /// `names` are those of headers that were erased when the job ended.
    pub(crate) fn secrets_gone(names: &str) -> Self {
        let detail = format!(
            "the job's secret headers were erased when it ended ({names}), and its upstream would miss them; its client has \
             to send it again"
        );
        Self::new(StatusCode::CONFLICT, ErrorCode::SecretsGone, detail)
    }

    pub(crate) fn busy(detail: String) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, detail);
        Self { retry_after: Some(STORE_RETRY_AFTER), ..refusal }
    }

    /// A store that does not answer, with what it said instead: operators may know.
    pub(crate) fn store_away(problem: &str) -> Self {
        let detail = format!("the job store does not answer: {problem}");
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::StoreUnavailable, detail);
        Self { retry_after: Some(STORE_RETRY_AFTER), should_retry: true, ..refusal }
    }

    /// Its status code.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong and what would be right.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}
