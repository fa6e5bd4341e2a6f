//! What can be set for a single call, and what applies to it in the end.

use std::time::Duration;

use proxq_protocol::GoDuration;

use crate::event::{Event, Listener};

/// The pause between two looks at a job, where the server cannot be waited at.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long jobs may be out of reach before a call gives up; long enough for a restart or a failover.
const MAX_OUTAGE: Duration = Duration::from_mins(1);
/// How long the server holds an answer for its job. Below what proxies on the way allow, commonly 60 s.
const WAIT: Duration = Duration::from_secs(20);

/// What one call does otherwise than its [`Proxq`](crate::Proxq) says: an extension of the request.
///
/// It has the setters of [`Builder`](crate::Builder), and no fields: new settings break no code, and what is not set is not
/// confused with what is set to nothing, as with [`wait`](Self::wait).
///
/// ```no_run
/// # async fn call(http: reqwest_middleware::ClientWithMiddleware) -> reqwest_middleware::Result<()> {
/// use std::time::Duration;
///
/// use proxq_client::ProxqOptions;
///
/// let patient = ProxqOptions::new().max_wait(Duration::from_secs(3600)).upstream_timeout(Duration::from_secs(1800));
/// let response = http.post("https://proxq.example.com/render").with_extension(patient).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProxqOptions {
    poll_interval: Option<Duration>,
    max_wait: Option<Duration>,
    max_outage: Option<Duration>,
    upstream_timeout: Option<Duration>,
    hold: Option<Hold>,
    cancel_on_drop: Option<bool>,
    travel: Option<Travel>,
    listener: Option<Listener>,
}

/// Whether the server is to hold its answers to one call.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Off,
    For(Duration),
}

/// Which way the caller wants a request to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Travel {
    Direct,
    Queue,
}

impl ProxqOptions {
    /// Nothing is otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// See [`Builder::poll_interval`](crate::Builder::poll_interval).
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }

    /// See [`Builder::max_wait`](crate::Builder::max_wait).
    #[must_use]
    pub fn max_wait(mut self, limit: Duration) -> Self {
        self.max_wait = Some(limit);
        self
    }

    /// See [`Builder::max_outage`](crate::Builder::max_outage).
    #[must_use]
    pub fn max_outage(mut self, limit: Duration) -> Self {
        self.max_outage = Some(limit);
        self
    }

    /// See [`Builder::upstream_timeout`](crate::Builder::upstream_timeout).
    #[must_use]
    pub fn upstream_timeout(mut self, limit: Duration) -> Self {
        self.upstream_timeout = Some(limit);
        self
    }

    /// See [`Builder::wait`](crate::Builder::wait).
    #[must_use]
    pub fn wait(mut self, wait: Option<Duration>) -> Self {
        self.hold = Some(wait.filter(|wait| !wait.is_zero()).map_or(Hold::Off, Hold::For));
        self
    }

    /// See [`Builder::cancel_on_drop`](crate::Builder::cancel_on_drop).
    #[must_use]
    pub fn cancel_on_drop(mut self, cancel: bool) -> Self {
        self.cancel_on_drop = Some(cancel);
        self
    }

    /// The request goes past the queue, as if it had `X-Proxq-Mode: direct`: for streams that the server cannot recognise.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.travel = Some(Travel::Direct);
        self
    }

    /// The request is queued even if it looks as if it asked for a stream, as if it had `X-Proxq-Mode: queue`.
    #[must_use]
    pub fn queue(mut self) -> Self {
        self.travel = Some(Travel::Queue);
        self
    }

    /// See [`Builder::on_event`](crate::Builder::on_event); in place of the listener that is set there.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listener = Some(Listener::new(listener));
        self
    }
}

/// What applies to a call.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) poll_interval: Duration,
    pub(crate) max_wait: Option<Duration>,
    pub(crate) max_outage: Duration,
    pub(crate) upstream_timeout: Option<Duration>,
    /// `None` where the server is not to hold any answer.
    pub(crate) wait: Option<Duration>,
    pub(crate) cancel_on_drop: bool,
    pub(crate) travel: Option<Travel>,
    pub(crate) listener: Option<Listener>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_interval: POLL_INTERVAL,
            max_wait: None,
            max_outage: MAX_OUTAGE,
            upstream_timeout: None,
            wait: Some(WAIT),
            cancel_on_drop: true,
            travel: None,
            listener: None,
        }
    }
}

impl Settings {
    /// These, with what one call wants otherwise.
    pub(crate) fn with(&self, options: &ProxqOptions) -> Self {
        let options = options.clone();
        Self {
            poll_interval: options.poll_interval.unwrap_or(self.poll_interval),
            max_wait: options.max_wait.or(self.max_wait),
            max_outage: options.max_outage.unwrap_or(self.max_outage),
            upstream_timeout: options.upstream_timeout.or(self.upstream_timeout),
            wait: match options.hold {
                None => self.wait,
                Some(Hold::Off) => None,
                Some(Hold::For(wait)) => Some(wait),
            },
            cancel_on_drop: options.cancel_on_drop.unwrap_or(self.cancel_on_drop),
            travel: options.travel.or(self.travel),
            listener: options.listener.or_else(|| self.listener.clone()),
        }
    }

    pub(crate) fn tell(&self, event: &Event) {
        if let Some(listener) = &self.listener {
            listener.hear(event);
        }
    }
}

/// A span as headers and queries carry it: whole milliseconds, which is the grain that servers have. Never zero, which
/// means something else there.
pub(crate) fn span_text(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
    GoDuration::from(Duration::from_millis(millis)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_call_override_the_settings() {
        let settings =
            Settings::default().with(&ProxqOptions::new().wait(None).max_wait(Duration::from_secs(1)).direct());
        assert_eq!((settings.wait, settings.max_wait), (None, Some(Duration::from_secs(1))));
        assert_eq!(settings.travel, Some(Travel::Direct));
        assert_eq!(settings.with(&ProxqOptions::new()).max_wait, Some(Duration::from_secs(1)), "the rest stays");
    }

    #[test]
    fn durations_are_written_in_ascii() {
        for (span, text) in
            [(Duration::from_secs(20), "20s"), (Duration::from_micros(2_500), "2ms"), (Duration::ZERO, "1ms")]
        {
            assert_eq!(span_text(span), text);
        }
        assert!(span_text(Duration::MAX).is_ascii());
    }
}
