//! What is to be done with a request, decided by its head alone.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Method, Uri};

use super::Intake;
use super::control::{self, Answering, Controls};
use super::prefer;
use crate::admit::peek::{BodyPeek, Wanted};
use crate::admit::{Admission, BodyCheck, Bypass, Mode, admit, body_length, may_redirect};
use crate::config::{AccessToken, DirectMode, HostHeader, Upstream};
use crate::credential::{credential_hash, owner_hash};
use crate::direct::{DirectClient, DirectRequest};
use crate::forward::forwarded::{self, Hop, Outgoing};
use crate::forward::headers::{self, BodyLength};
use crate::forward::target::target;
use crate::job::{CredentialHash, JobId, JobRequest};
use crate::reply::Problem;
use crate::route::route;

/// Methods that mean something to an upstream; what `TRACE` is told.
const UPSTREAM_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Plan {
    /// Its client is sent to this URL.
    Redirect(Uri),
    /// It goes to its upstream at once.
    Direct(Box<DirectRequest>),
    /// It becomes a job.
    Queue(Box<QueuePlan>),
}

/// What is to become a job, before its body was received.
#[derive(Debug)]
pub(super) struct QueuePlan {
    pub(super) request: JobRequest,
    /// What its client asks of proxq.
    pub(super) controls: Controls,
    /// All secrets that the client sent: whose idempotency key it is.
    pub(super) credential: CredentialHash,
    /// Whether the deployment's secrets are known; without them it cannot become a job.
    pub(super) secrets_known: bool,
    /// The length of its body, and the longest that is queued, in bytes.
    pub(super) length: u64,
    pub(super) limit: u64,
    /// Reads the body to find out which answer it asks for; `None` if it cannot tell.
    pub(super) peek: Option<BodyPeek>,
    /// Which findings send it direct.
    pub(super) check: BodyCheck,
    /// What it needs beside the job's facts to go direct.
    pub(super) direct_parts: DirectParts,
}

/// Who sent a request, and how it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'r> {
    pub(super) peer: SocketAddr,
    pub(super) scheme: &'static str,
    pub(super) request_id: &'r HeaderValue,
}

/// What a request needs to go direct, beside what a job has.
#[derive(Debug)]
pub(super) struct DirectParts {
    fields: HeaderMap,
    client: DirectClient,
}

impl DirectParts {
    fn of(head: &Parts, length: BodyLength, peer: SocketAddr) -> Self {
        let takes_trailers = headers::takes_trailers(&head.headers, head.version);
        let client = DirectClient { peer, takes_trailers, upgrade: None };
        Self { fields: headers::streaming_fields(&head.headers, length), client }
    }

    fn request(
        self,
        (upstream, credential): (String, CredentialHash),
        method: Method,
        target: Uri,
        [headers, added]: [HeaderMap; 2],
        timeout: Duration,
    ) -> DirectRequest {
        let headers = [headers, added, self.fields];
        DirectRequest { upstream, credential, method, target, headers, timeout, client: self.client }
    }

    /// The direct request that takes the place of this job.
    pub(super) fn into_direct_request(self, job: JobRequest) -> DirectRequest {
        self.request(
            (job.upstream, job.credential),
            job.method,
            job.target,
            [job.headers, job.added_headers],
            job.timeout,
        )
    }
}

impl Intake {
    /// Decides everything that the head alone decides. Takes the fields out of the head; `ended` tells that no body follows.
    pub(super) fn plan(&self, head: &mut Parts, ended: bool, sender: Sender<'_>) -> Result<Plan, Problem> {
        // Before anything else: who may not come in learns nothing.
        let token = self.config.auth.token_of(&head.headers)?;
        if let Some(token) = token {
            tracing::Span::current().record("token", token.name());
        }
        match head.method {
            Method::CONNECT => return Err(Problem::not_implemented("CONNECT is not offered; proxq is no tunnel")),
            Method::TRACE => return Err(Problem::method_not_allowed(UPSTREAM_METHODS)),
            Method::OPTIONS if head.uri.path() == "*" => {
                return Err(Problem::not_found("OPTIONS * has no upstream; name a path"));
            }
            _ => {}
        }
        let path = head.uri.path();
        let route = route(&self.config.upstreams, path).ok_or_else(|| Problem::no_upstream(path))?;
        let upstream = route.upstream;
        if let Some(token) = token.filter(|token| !token.scope().includes(&upstream.prefix)) {
            return Err(Problem::not_for(&upstream.prefix, token.scope()));
        }
        let via_name = self.via_name();
        if forwarded::hops(&head.headers, via_name) > self.config.max_hops as usize {
            return Err(Problem::loop_detected(via_name));
        }
        let target = target(&upstream.url, route.stripped_path, head.uri.query()).ok_or_else(Problem::internal)?;
        let mode = control::read_mode(&head.headers, upstream)?;
        let length = body_length(head, ended);
        let (admission, body_peek) = self.admit_or_peek(head, length, mode, upstream);
        match admission {
            Admission::Direct(bypass) => {
                self.record_bypass(bypass, upstream.prefix.as_str());
                if upstream.direct_mode == DirectMode::Redirect && may_redirect(bypass, head, mode, upstream) {
                    return Ok(Plan::Redirect(target));
                }
                let timeout = control::timeout_or_own(&head.headers, upstream)?;
                let mut direct_parts = DirectParts::of(head, length, sender.peer);
                if bypass == Bypass::WebSocket {
                    direct_parts.client.upgrade = head.extensions.remove();
                }
                let credential = self.direct_credential(&head.headers, token, upstream);
                let outgoing = self.outgoing(head, sender, upstream);
                let upstream = (upstream.prefix.as_str().to_owned(), credential);
                let headers = [outgoing.from_client, outgoing.added];
                let request = direct_parts.request(upstream, head.method.clone(), target, headers, timeout);
                Ok(Plan::Direct(Box::new(request)))
            }
            Admission::Enqueue { length: bytes, check } => {
                let controls = Controls::read(&head.headers, mode, upstream, &self.config)?;
                if controls.answering == Answering::Monitor {
                    prefer::remove_respond_async(&mut head.headers);
                }
                let limit = upstream.max_body_size;
                if bytes > limit && body_peek.is_none() {
                    return Err(Problem::body_too_large(bytes, limit));
                }
                let direct_parts = DirectParts::of(head, length, sender.peer);
                let secrets_known = self.deployment.credential_key().is_some(); // before the key is used
                let (key, secret) = (self.credential_key(), &self.config.secret_headers);
                let credential = credential_hash(&key, token, &head.headers, secret);
                let request = self.job_request(head, (sender, token), upstream, target, &controls);
                let plan = QueuePlan {
                    request,
                    controls,
                    credential,
                    secrets_known,
                    length: bytes,
                    limit,
                    peek: body_peek,
                    check,
                    direct_parts,
                };
                Ok(Plan::Queue(Box::new(plan)))
            }
        }
    }

    /// Decides by the head. Gives a scanner if the body can change the decision.
    fn admit_or_peek(
        &self,
        head: &Parts,
        length: BodyLength,
        mode: Option<Mode>,
        upstream: &Upstream,
    ) -> (Admission, Option<BodyPeek>) {
        let admission = admit(head, length, mode, upstream);
        let Admission::Enqueue { length: bytes, check } = admission else { return (admission, None) };
        let can_tell = check != BodyCheck::None && bytes > 0;
        let peek = if can_tell { BodyPeek::new(&head.headers, self.config.stream_peek_limit) } else { None };
        match peek {
            // The path streams, and there is no body that could say otherwise.
            None if check.goes_direct(Wanted::Unsaid) => (Admission::Direct(Bypass::Streaming), None),
            peek => (admission, peek),
        }
    }

    /// Sorts a request's fields. Takes them out of the head.
    fn outgoing(&self, head: &mut Parts, sender: Sender<'_>, upstream: &Upstream) -> Outgoing {
        let Sender { peer, scheme, request_id } = sender;
        let hop = Hop {
            peer: peer.ip(),
            scheme,
            version: head.version,
            trusted: &self.config.trusted_proxies,
            via_name: self.via_name(),
            request_id,
            prefix: upstream.prefix.as_str(),
        };
        let headers = std::mem::take(&mut head.headers);
        let host = headers.get(header::HOST).filter(|_| upstream.host_header == HostHeader::Client).cloned();
        let mut outgoing = forwarded::outgoing(headers, &hop);
        if let Some(host) = host {
            outgoing.from_client.insert(header::HOST, host);
        }
        if outgoing.distrusted && !self.warned_of_untrusted_peer.swap(true, Ordering::Relaxed) {
            tracing::warn!(%peer, "dropped forwarding headers of a peer that is not listed in trustedProxies");
        }
        outgoing
    }

    fn via_name(&self) -> &str {
        self.config.via_name.as_deref().unwrap_or_else(|| self.deployment.via_name())
    }

    /// Whose a direct request is, where flow control wants to know that.
    fn direct_credential(
        &self,
        headers: &HeaderMap,
        token: Option<&AccessToken>,
        upstream: &Upstream,
    ) -> CredentialHash {
        if upstream.flow.is_some() {
            owner_hash(&self.credential_key(), token, headers)
        } else {
            CredentialHash([0; 32])
        }
    }

    /// Without the key, a request may still turn out to go direct; as a job it will be refused.
    fn credential_key(&self) -> [u8; 32] {
        self.deployment.credential_key().copied().unwrap_or_default()
    }

    fn job_request(
        &self,
        head: &mut Parts,
        (sender, token): (Sender<'_>, Option<&AccessToken>),
        upstream: &Upstream,
        target: Uri,
        controls: &Controls,
    ) -> JobRequest {
        let credential = owner_hash(&self.credential_key(), token, &head.headers);
        let outgoing = self.outgoing(head, sender, upstream);
        let Outgoing { from_client: headers, added: added_headers, client, .. } = outgoing;
        JobRequest {
            id: controls.job_id.unwrap_or_else(JobId::new),
            upstream: upstream.prefix.as_str().to_owned(),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            target,
            credential,
            idempotency_key: headers.get("idempotency-key").map(|key| key.as_bytes().to_vec()),
            idempotent: upstream.is_repeatable(&head.method, &headers),
            headers,
            added_headers,
            created_at: self.clock.wall(),
            timeout: controls.timeout.unwrap_or(upstream.timeout),
            priority: controls.priority,
            delivery: upstream.delivery,
            owner: token.map(|token| token.name().to_owned()),
            client,
            request_id: String::from_utf8_lossy(sender.request_id.as_bytes()).into_owned(),
            retention: self.config.task_retention,
            body_sha256: None, // until it has come
            bounds: controls.bounds,
            resubmit_of: None,
            secret_names: Vec::new(), // the store knows them
        }
    }
}

impl Intake {
    /// Tells the log why a request does not queue, and counts it.
    pub(super) fn record_bypass(&self, bypass: Bypass, upstream: &str) {
        tracing::Span::current().record("bypass", bypass.as_str());
        self.direct.gates().metrics_of(upstream).bypassed(bypass.as_str());
    }
}

#[cfg(test)]
mod tests;
