//! Sends a request that may become a job: with proxq's controls where there is a proxq, and again if its answer got lost.

use std::time::Duration;

use proxq_protocol::{JobId, header as proxq};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Request, Response};

use crate::options::{Settings, Travel, span_text};
use crate::pace::Pace;
use crate::redirect::ask_for_reports;
use crate::transport::Transport;
use crate::waiting::Deadline;

/// What a request is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Controls {
    /// The id that its job is to have; `None` where the server may be no proxq, and where there is to be no job.
    pub(crate) proposed: Option<JobId>,
}

impl Controls {
    /// Puts the controls on a request. `known` says that it goes to a proxq. Those that the caller has set stay.
    pub(crate) fn put(request: &mut Request, known: bool, settings: &Settings, hold: Option<Duration>) -> Self {
        let headers = request.headers_mut();
        // Without it the request would not do what this very call was told to do, whoever answers it.
        if let Some(travel) = settings.travel {
            let mode = match travel {
                Travel::Direct => "direct",
                Travel::Queue => "queue",
            };
            set(headers, proxq::MODE, mode);
        }
        if !known {
            return Self { proposed: None };
        }
        if let Some(limit) = settings.upstream_timeout {
            set(headers, proxq::TIMEOUT, &span_text(limit));
        }
        if headers.get(proxq::MODE).is_some_and(|mode| mode == "direct") {
            return Self { proposed: None };
        }
        if let Some(hold) = hold.filter(|_| !headers.contains_key(proxq::PREFER)) {
            set(headers, proxq::WAIT, &span_text(hold));
        }
        set(headers, proxq::JOB_ID, &JobId::new().to_string());
        ask_for_reports(headers);
        // A caller's own id that is none is refused by the server.
        let proposed = headers.get(proxq::JOB_ID).and_then(|id| id.to_str().ok()?.parse().ok());
        Self { proposed }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("controls are written in ASCII");
    headers.entry(HeaderName::from_static(name)).or_insert(value);
}

/// How long the server is to hold the answer to a submission, so that it comes before the caller's time is up. Not at all for
/// a caller that listens, which hears at once that there is a job.
pub(crate) fn hold(settings: &Settings, deadline: Deadline) -> Option<Duration> {
    /// Of the caller's time; the rest is left for the answer to come and for naming the job in an error.
    const SHARE: (u32, u32) = (3, 4);
    let wait = settings.wait.filter(|_| settings.listener.is_none())?;
    let timeout = deadline.timeout_left().map(|left| left * SHARE.0 / SHARE.1);
    timeout.into_iter().chain(settings.max_wait).chain([wait]).min().filter(|wait| !wait.is_zero())
}

/// Sends the submission; again under the same id, up to three times, if the connection broke before its answer. A body that is
/// a stream is there only once, and so is its submission.
pub(crate) async fn send(
    transport: &mut Transport<'_>,
    mut request: Request,
    controls: Controls,
    deadline: Deadline,
) -> reqwest_middleware::Result<Response> {
    let mut pauses = Pace::of_resends();
    let mut may_have_arrived = false;
    loop {
        let again = controls.proposed.and_then(|_| request.try_clone());
        let error = match transport.send(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        may_have_arrived |= !error.is_connect();
        let broke = error.is_request() && !error.is_timeout();
        let (Some(next), Some(pause)) = (again.filter(|_| broke && may_have_arrived), pauses.next()) else {
            return Err(error);
        };
        tokio::time::sleep(pause).await;
        request = next;
        if let Some(left) = deadline.timeout_left() {
            *request.timeout_mut() = Some(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ProxqOptions;

    fn request() -> Request {
        Request::new(reqwest::Method::POST, "http://proxq.example/".parse().unwrap())
    }

    const HOLD: Option<Duration> = Some(Duration::from_secs(20));

    #[test]
    fn controls_go_to_a_proxq_only() {
        let mut stranger = request();
        let controls = Controls::put(&mut stranger, false, &Settings::default(), HOLD);
        assert_eq!((controls.proposed, stranger.headers().len()), (None, 0));
        let mut known = request();
        let controls = Controls::put(&mut known, true, &Settings::default(), HOLD);
        assert_eq!(known.headers()[proxq::WAIT], "20s");
        assert_eq!(known.headers()[proxq::JOB_ID], controls.proposed.unwrap().to_string());
    }

    #[test]
    fn controls_that_the_caller_has_set_stay() {
        let id = JobId::new();
        let mut request = request();
        let own =
            [(proxq::JOB_ID, id.to_string()), (proxq::PREFER, "wait=5".to_owned()), (proxq::TIMEOUT, "1s".to_owned())];
        for (name, value) in &own {
            set(request.headers_mut(), name, value);
        }
        let settings = Settings::default().with(&ProxqOptions::new().upstream_timeout(Duration::from_secs(9)));
        let controls = Controls::put(&mut request, true, &settings, HOLD);
        assert_eq!((controls.proposed, request.headers().len()), (Some(id), 4));
        assert_eq!(request.headers()[proxq::TIMEOUT], "1s");
    }

    #[test]
    fn a_direct_request_proposes_no_job() {
        let mut request = request();
        let settings = Settings::default().with(&ProxqOptions::new().direct());
        assert_eq!(Controls::put(&mut request, true, &settings, HOLD).proposed, None);
        assert_eq!(request.headers().len(), 1);
        assert_eq!(request.headers()[proxq::MODE], "direct");
    }
}
