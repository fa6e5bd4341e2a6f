//! The reload of the configuration on SIGHUP.

use futures_util::{Stream, stream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{self, Options};
use crate::config::Config;
use crate::tasks;

/// Every SIGHUP since this was created; none ends the process. Signals that arrive during a reload count as one.
#[derive(Debug)]
pub struct ReloadRequests {
    hangup: Signal,
}

impl ReloadRequests {
    /// Installs the handler; without it the operating system ends the process. Needs a runtime.
    ///
    /// # Panics
    /// If the operating system refuses a signal handler.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it installs a signal handler, which no default should")]
    pub fn new() -> Self {
        Self { hangup: signal(SignalKind::hangup()).expect("a handler for SIGHUP can be installed") }
    }

    /// Yields, at each request, the configuration that flags and environment then lead to. Mistakes go to the log.
    pub fn configs(self, options: Options) -> impl Stream<Item = Config> {
        stream::unfold((self, options), async |(mut requests, options)| {
            loop {
                requests.hangup.recv().await?;
                if let Some(config) = read(options.clone()).await {
                    return Some((config, (requests, options)));
                }
            }
        })
    }
}

/// The present configuration; `None` if there is none, or it is invalid.
async fn read(options: Options) -> Option<Config> {
    if options.served.upstream.is_some() {
        tracing::warn!("configuration not reloaded: there is no file to read, proxq was started with --upstream");
        return None;
    }
    let read = tasks::blocking(move || cli::read_config(&options));
    match read.await.expect("reading a configuration does not panic") {
        Ok(loaded) => Some(loaded.config),
        Err(mistakes) => {
            for mistake in mistakes.mistakes() {
                tracing::error!(%mistake, "configuration not reloaded: the former one stays");
            }
            None
        }
    }
}
