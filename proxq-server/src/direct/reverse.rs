//! One exchange with an upstream on behalf of a client that waits.

use std::pin::pin;
use std::time::Duration;

use http::header::{self, HeaderMap};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use proxq_protocol::GoDuration;
use tokio::time::Instant;

use super::client_body::{ClientBody, Progress};
use super::resendable::{KEPT_MAX, Resendable};
use super::upstream_body::UpstreamBody;
use super::{Direct, DirectRequest, tunnel};
use crate::failure::chain;
use crate::flow::{Pass, Signs, Trouble};
use crate::forward::headers::strip_response;
use crate::forward::{HandedOver, Reuse, target};
use crate::job::Reach;
use crate::reply::Problem;
use crate::reply::body::{Body as ReplyBody, relayed};
use crate::traces::ActiveSpan;

impl Direct {
    /// Gives the upstream's response as soon as its head is there, its body still to come; or proxq's own where there is
    /// none. `None` where the client broke off: there is nobody to answer.
    ///
    /// Dropping the future breaks the exchange off, as does dropping the response's body.
    pub(crate) async fn handle(&self, request: DirectRequest, body: ClientBody) -> Option<Response<ReplyBody>> {
        let DirectRequest { upstream, credential, method, target, headers, timeout, client } = request;
        let mut pass = match self.gates.of(&upstream) {
            None => None,
            Some(gate) => match gate.admit(credential).await {
                Ok(pass) => Some(pass),
                Err(refused) => {
                    let problem = Problem::rate_limited(gate.limit_behind(refused.by), refused.retry_after);
                    return Some(without_the_rest(problem, body.is_end_stream()));
                }
            },
        };
        let origin = || target::origin(&target);
        let mut outgoing = Request::new(());
        *outgoing.method_mut() = method;
        // A `Host` keeps it on HTTP/1.1: over HTTP/2 no connection can be switched (RFC 9113 §8.6).
        let own_host = if client.upgrade.is_some() { target::host(&target) } else { target::own_host(&target) };
        *outgoing.headers_mut() = joined_host_first(headers, own_host);
        *outgoing.uri_mut() = target.clone();
        *outgoing.version_mut() = Version::HTTP_11;
        if client.upgrade.is_some() {
            tunnel::ask(outgoing.headers_mut());
        }
        let mut span = self.traces.as_ref().map(|traces| {
            let method = outgoing.method().clone();
            traces.direct(&upstream, &method, &target, outgoing.headers_mut())
        });
        // Only over TLS may it be a connection that others share.
        let shared = outgoing.uri().scheme() == Some(&Scheme::HTTPS);
        let handed_over = HandedOver::default();
        let progress = body.progress();
        let bodiless = body.is_end_stream();
        let is_idempotent = outgoing.method().is_idempotent();
        let reuse = reuse(outgoing.method(), length(outgoing.headers(), bodiless));
        let body = Resendable::new(body);
        let first = body.begin().expect("of a body that nobody has begun nothing is gone");
        let again = async || body.begin();
        let sending = self.forwarder.send(&upstream, outgoing, first, reuse, again, &handed_over);
        let sent = head_within(timeout, &progress, sending).await;
        if let Some(Ok(_)) = &sent {
            progress.answered();
        }
        let problem = match sent {
            Some(Ok(response)) => {
                match self.passed_on(response, client.takes_trailers, client.upgrade, pass, &mut span) {
                    Ok(response) => return Some(response),
                    Err(error) => {
                        failed(span, "broken");
                        let error = format!("{} {error}", origin());
                        refused(&upstream, &error, |error| Problem::upstream_unreachable(error, is_idempotent))
                    }
                }
            }
            Some(Err(_)) | None if progress.is_malformed() => {
                tracing::info!(peer = %client.peer, "the chunks of a client's body are malformed");
                Problem::malformed_chunks()
            }
            Some(Err(_)) | None if progress.is_broken() => {
                tracing::info!(peer = %client.peer, "client broke off before its body was complete");
                return None;
            }
            Some(Err(error)) => {
                failed(span, Trouble::of(&error).map_or("not_possible", Trouble::word));
                if let Some(pass) = &mut pass {
                    pass.ended(Signs::of_error(&error));
                }
                let repeatable = is_idempotent || error.reach() == Reach::NotSent;
                refused(&upstream, &chain(&error), |error| Problem::upstream_unreachable(error, repeatable))
            }
            None => {
                failed(span, Trouble::Timeout.word());
                if let Some(pass) = &mut pass {
                    pass.ended(Trouble::Timeout.into());
                }
                if shared {
                    handed_over.avoid();
                }
                let error = format!("no response head of {} within {}", origin(), GoDuration::from(timeout));
                refused(&upstream, &error, Problem::upstream_timeout)
            }
        };
        Some(without_the_rest(problem, bodiless || progress.is_complete()))
    }

    /// The upstream's response as the client gets it.
    fn passed_on(
        &self,
        mut response: Response<Incoming>,
        takes_trailers: bool,
        upgrade: Option<OnUpgrade>,
        mut pass: Option<Pass>,
        span: &mut Option<ActiveSpan>,
    ) -> Result<Response<ReplyBody>, &'static str> {
        if let Some(pass) = &mut pass {
            pass.heed_aside(response.status(), response.headers());
        }
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = response.headers().get(header::UPGRADE).cloned();
        // Over HTTP/1.1 only trailers that were announced are sent.
        let announced: Vec<_> = response.headers().get_all(header::TRAILER).iter().cloned().collect();
        strip_response(response.headers_mut());
        match (switched, upgrade) {
            (true, None) => return Err("answered 101 Switching Protocols to a request for none"),
            (true, Some(client)) => {
                self.join(client, &mut response, pass.take());
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                if let Some(protocol) = protocol {
                    response.headers_mut().insert(header::UPGRADE, protocol);
                }
            }
            (false, _) => {}
        }
        if let Some(span) = span {
            span.responded(response.status());
        }
        for names in announced.into_iter().filter(|_| takes_trailers) {
            response.headers_mut().append(header::TRAILER, names);
        }
        let reason = response.extensions_mut().remove::<ReasonPhrase>();
        response.extensions_mut().clear();
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        let version = response.version();
        let span = span.take();
        Ok(response.map(|body| relayed(UpstreamBody::new(body, version, pass, span))))
    }
}

/// An answer to a request of whose body not all may have come.
fn without_the_rest(problem: Problem, is_complete: bool) -> Response<ReplyBody> {
    let mut answer = problem.into_response();
    if !is_complete {
        // What is left of the body is in the way of the next request.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Ends the span of a request that got no response.
fn failed(span: Option<ActiveSpan>, error: &'static str) {
    if let Some(mut span) = span {
        span.failed(error);
    }
}

fn refused(upstream: &str, error: &str, problem: impl FnOnce(&str) -> Problem) -> Problem {
    tracing::warn!(upstream, error, "an upstream did not answer a direct request");
    problem(error)
}

/// Joins the parts of a request's fields. `Host` comes first on HTTP/1 (RFC 9110 §7.2).
fn joined_host_first(mut parts: [HeaderMap; 3], own: Option<HeaderValue>) -> HeaderMap {
    let mut joined = HeaderMap::with_capacity(1 + parts.iter().map(HeaderMap::len).sum::<usize>());
    if let Some(host) = parts[0].remove(header::HOST).or(own) {
        joined.insert(header::HOST, host);
    }
    for part in parts {
        joined.extend(part);
    }
    joined
}

/// The length that is known of a body before it has come.
fn length(headers: &HeaderMap, bodiless: bool) -> Option<u64> {
    let said = || headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    if bodiless { Some(0) } else { said() }
}

/// Which connections a request may take.
fn reuse(method: &Method, length: Option<u64>) -> Reuse {
    match length {
        _ if !method.is_idempotent() => Reuse::Recent,
        Some(length) if length <= KEPT_MAX as u64 => Reuse::Any,
        Some(_) | None => Reuse::None,
    }
}

/// Waits for a response head. What counts against the limit is the time in which only the upstream is waited for, since
/// it last took something of the body. `None` when that is up.
async fn head_within<T>(limit: Duration, progress: &Progress, head: impl Future<Output = T>) -> Option<T> {
    let mut head = pin!(head);
    let mut deadline = Instant::now() + limit;
    loop {
        tokio::select! {
            biased;
            head = &mut head => return Some(head),
            () = tokio::time::sleep_until(deadline) => {}
        }
        let now = Instant::now();
        deadline = progress.upstream_since().unwrap_or(now) + limit;
        if deadline <= now {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_comes_first_and_nothing_else_moves() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-b", "1"), ("x-a", "2"), ("x-b", "3")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let names = |headers: &HeaderMap| headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
        let mut added = HeaderMap::new();
        added.insert("x-c", HeaderValue::from_static("4"));
        let host_first = |headers: HeaderMap, own| joined_host_first([headers, added.clone(), HeaderMap::new()], own);
        let own = Some(HeaderValue::from_static("own"));
        let sorted = host_first(headers.clone(), own.clone());
        assert_eq!(names(&sorted), ["host", "x-b", "x-a", "x-c"]);
        assert_eq!(sorted.get_all("x-b").iter().collect::<Vec<_>>(), ["1", "3"]);
        headers.insert(header::HOST, HeaderValue::from_static("clients"));
        assert_eq!(host_first(headers.clone(), own)[header::HOST], "clients", "where it is preserved");
        headers.remove(header::HOST);
        assert!(!host_first(headers, None).contains_key(header::HOST));
    }
}
