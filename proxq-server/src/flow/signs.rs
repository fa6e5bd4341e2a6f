//! What the end of an attempt tells of its upstream.

use http::StatusCode;

use crate::forward::ForwardError;
use crate::job::is_refusal;
use crate::pacing::{AttemptSign, Cause};

/// Why an attempt got no complete response, where that is the upstream's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection was made.
    Connect,
    /// It took too long.
    Timeout,
    /// Anything else between the request and the end of the response.
    Broken,
}

impl Trouble {
    /// Its word in traces.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }

    /// Why an exchange failed; `None` where this process is short of something.
    pub(crate) fn of(error: &ForwardError) -> Option<Self> {
        Some(match error {
            ForwardError::Shortage { .. } => return None,
            ForwardError::Connect { .. } | ForwardError::ConnectTimeout { .. } => Self::Connect,
            ForwardError::Timeout { .. } => Self::Timeout,
            ForwardError::Unprocessed { .. }
            | ForwardError::Exchange { .. }
            | ForwardError::Lost { .. }
            | ForwardError::NotResent { .. }
            | ForwardError::HeadTooLarge { .. }
            | ForwardError::Body { .. }
            | ForwardError::CutShort { .. }
            | ForwardError::Unreadable { .. }
            | ForwardError::UnexpectedUpgrade { .. } => Self::Broken,
        })
    }
}

/// What the end of an attempt tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signs {
    /// Whether the upstream is there.
    pub(super) of_breaker: AttemptSign,
    /// It was too much for the upstream,
    pub(super) is_loss: bool,
    /// which said so itself.
    pub(super) said_so: bool,
    /// It was not.
    pub(super) is_success: bool,
}

impl Signs {
    /// Nothing.
    pub(crate) const NONE: Self =
        Self { of_breaker: AttemptSign::None, is_loss: false, said_so: false, is_success: false };

    /// What the error of an exchange tells.
    pub(crate) fn of_error(error: &ForwardError) -> Self {
        Trouble::of(error).map_or(Self::NONE, Self::from)
    }
}

impl From<Trouble> for Signs {
    fn from(trouble: Trouble) -> Self {
        let cause = if trouble == Trouble::Connect { Cause::Connect } else { Cause::Other };
        let is_loss = matches!(trouble, Trouble::Connect | Trouble::Timeout);
        Self { of_breaker: AttemptSign::Bad(cause), is_loss, ..Self::NONE }
    }
}

/// What a response tells by its status. `counts_as_failure`: `retryOn` has it. `says_when`: it says when to come again.
pub(crate) fn signs_of_status(status: StatusCode, counts_as_failure: bool, says_when: bool) -> Signs {
    let is_loss = is_refusal(status);
    let is_limit = status == StatusCode::TOO_MANY_REQUESTS || is_loss && says_when;
    Signs {
        of_breaker: if counts_as_failure && !is_limit { AttemptSign::Bad(Cause::Other) } else { AttemptSign::Good },
        is_loss,
        said_so: is_loss && says_when,
        is_success: !status.is_server_error() && !is_loss,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, counts: bool, says_when: bool) -> Signs {
        signs_of_status(StatusCode::from_u16(status).unwrap(), counts, says_when)
    }

    #[test]
    fn a_limit_is_no_outage_and_an_outage_is_no_limit() {
        let bad = AttemptSign::Bad(Cause::Other);
        for (status, counts, says_when, of_breaker, is_loss, is_success) in [
            (200, false, false, AttemptSign::Good, false, true),
            (404, false, false, AttemptSign::Good, false, true),
            (500, false, false, AttemptSign::Good, false, false),
            (502, true, false, bad, false, false),
            (503, true, false, bad, true, false),
            (503, true, true, AttemptSign::Good, true, false),
            (429, true, false, AttemptSign::Good, true, false),
            (529, false, false, AttemptSign::Good, true, false),
        ] {
            let signs = of(status, counts, says_when);
            assert_eq!(
                (signs.of_breaker, signs.is_loss, signs.is_success),
                (of_breaker, is_loss, is_success),
                "{status}"
            );
            assert_eq!(signs.said_so, is_loss && says_when);
        }
        let refused = Signs::from(Trouble::Connect);
        assert_eq!((refused.of_breaker, refused.is_loss), (AttemptSign::Bad(Cause::Connect), true));
        assert!(!Signs::from(Trouble::Broken).is_loss);
    }
}
