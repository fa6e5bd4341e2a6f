//! The calls that each client makes, and what each call must come to.

/// A call, which is made directly and through proxq.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The package that makes it.
    pub(super) client: &'static str,
    /// The prefix of the upstream in proxq's configuration. Empty for the one with `mode: follow`.
    pub(super) place: &'static str,
    /// What the upstream does.
    pub(super) case: &'static str,
    /// What the client does.
    pub(super) how: &'static str,
    /// How often the SDK may try again.
    pub(super) retries: u32,
    pub(super) must: Must,
}

/// What a call through proxq must come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Must {
    /// What the direct call gives, which is of this kind. The upstream sees the same requests, this many.
    BeAsDirect { end: End, requests: usize },
    /// An error of proxq's own.
    Fail(Failure),
    /// The first redirect, to a client that follows none.
    BeSentOn,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It returns a value. A plain client does so for every answer.
    Value,
    /// It raises an error.
    Error,
}

/// What a caller is told of a failed job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) code: &'static str,
    /// What the message says: what happened, and what that means for another try.
    pub(super) says: [&'static str; 2],
    /// How often the client submits the request.
    pub(super) submissions: usize,
    /// How many requests the upstream sees.
    pub(super) requests: usize,
}

const ONCE: Must = succeeded(1);
/// The upstream refuses the request.
const REFUSED: Must = Must::BeAsDirect { end: End::Error, requests: 1 };
/// The upstream ends the connection after the request.
const BROKEN: Must = failed(["connection reset by peer", "the upstream may have received the request"]);
/// The response is over `maxResponseSize`.
const LARGE: Must = failed(["maxResponseSize", "the upstream has answered the request"]);
const CANCELLED: Must = Must::Fail(Failure {
    status: 410,
    code: "GONE",
    says: ["is gone", "it was cancelled"],
    submissions: 1,
    requests: 1,
});

const fn succeeded(requests: usize) -> Must {
    Must::BeAsDirect { end: End::Value, requests }
}

const fn failed(says: [&'static str; 2]) -> Must {
    Must::Fail(Failure { status: 424, code: "JOB_FAILED", says, submissions: 1, requests: 1 })
}

/// A job whose upstream cannot be connected to. SDKs try it again.
const fn not_sent(submissions: usize) -> Must {
    let says = ["connection refused", "it can be sent again"];
    Must::Fail(Failure { status: 502, code: "UPSTREAM_UNREACHABLE", says, submissions, requests: 0 })
}

impl Call {
    /// Where it goes, as the path of a base URL.
    pub(super) fn path(&self) -> String {
        format!("{}/{}/{}/v1", self.place, self.client, self.case)
    }

    /// Whether a request or a target is this call's.
    pub(super) fn has(&self, target: &str) -> bool {
        target.strip_prefix(&self.path()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether it asks for a stream.
    pub(super) fn is_stream(&self) -> bool {
        self.how == "stream"
    }

    /// Whether its job is cancelled while it is followed.
    pub(super) fn is_cancelled(&self) -> bool {
        self.case == "cancelled"
    }

    /// Whether its job ends only after several hops.
    pub(super) fn is_followed_far(&self) -> bool {
        self.place.is_empty() && self.case.starts_with("slow")
    }
}

/// The calls of an SDK with `max_retries`.
pub(super) fn of_sdk(client: &'static str) -> Vec<Call> {
    let chat = |place, case, retries, must| Call { client, place, case, how: "chat", retries, must };
    let other = |how| Call { client, place: "", case: how, how, retries: 0, must: ONCE };
    vec![
        chat("", "slow", 0, ONCE),
        chat("/wait", "slow", 0, ONCE),
        chat("", "slow-again-500", 1, succeeded(2)),
        Call { how: "list", ..chat("", "slow-list", 0, ONCE) },
        Call { how: "chat_with_id", ..chat("", "slow-id", 0, ONCE) },
        chat("", "400", 2, REFUSED),
        chat("", "401", 2, REFUSED),
        chat("", "429", 0, REFUSED),
        chat("", "500", 0, REFUSED),
        chat("", "html", 0, REFUSED),
        chat("", "again-400", 2, succeeded(3)),
        chat("", "again-429", 2, succeeded(3)),
        chat("", "again-500", 2, succeeded(3)),
        other("stream"),
        other("upload"),
        other("download"),
        chat("", "broken", 2, BROKEN),
        chat("/wait", "broken", 2, BROKEN),
        chat("", "large", 2, LARGE),
        chat("", "cancelled", 2, CANCELLED),
        chat("/refused", "chat", 1, not_sent(2)),
    ]
}

/// The call that takes long, of the SDK's asynchronous client.
pub(super) fn slow_async(client: &'static str) -> Call {
    Call { client, place: "", case: "slow-async", how: "chat_async", retries: 0, must: ONCE }
}

/// The calls of a client that repeats nothing and gives every answer as it is.
pub(super) fn of_plain_client(client: &'static str) -> Vec<Call> {
    let call = |place, case, how, must| Call { client, place, case, how, retries: 0, must };
    vec![
        call("", "slow", "chat", ONCE),
        call("/wait", "slow", "chat", ONCE),
        call("", "unfollowed", "unfollowed", Must::BeSentOn),
        call("", "401", "chat", ONCE),
        call("", "429", "chat", ONCE),
        call("", "500", "chat", ONCE),
        call("", "stream", "stream", ONCE),
        call("", "upload", "upload", ONCE),
        call("", "download", "download", ONCE),
        call("", "broken", "chat", BROKEN),
        call("", "large", "chat", LARGE),
        call("", "cancelled", "chat", CANCELLED),
        call("/refused", "chat", "chat", not_sent(1)),
    ]
}
