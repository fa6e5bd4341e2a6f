//! Tests of the commands that ask a running server.
//!
//! | promise | in |
//! |---|---|
//! | jobs are listed, shown and waited for | `jobs.rs` |
//! | jobs are retried and cancelled | `orders.rs` |
//! | a request is submitted, and its response printed | `submit.rs` |
//! | what a terminal is shown | `terminal.rs` |
//! | how the server is found, and what is said if it is not | `found.rs` |

mod found;
mod jobs;
mod orders;
mod submit;
mod terminal;

use std::path::Path;

use harness::{Answer, Client, Config, Exit, Job, Launch, Proxq, Route, Store, Upstream, get};

/// A server with a listener for operators, and the commands beside it.
struct Bench {
    proxq: Proxq,
    operators: Client,
    upstream: Upstream,
}

impl Bench {
    async fn start(store: Store) -> Self {
        Self::with(store, |config| config).await
    }

    /// `/dead` leads to an upstream that nobody connects to.
    async fn with(store: Store, change: impl FnOnce(Config) -> Config) -> Self {
        let upstream = Upstream::start().await;
        let dead = Route::new("/dead", "http://127.0.0.1:1"); // nobody listens there
        let config = store.config_for(&upstream).route(dead).set("routing", "longest-prefix");
        let proxq = Proxq::start(change(config.set("admin.listenAddress", "127.0.0.1:0"))).await;
        let operators = proxq.operators().await;
        Self { proxq, operators, upstream }
    }

    fn folder(&self) -> &Path {
        self.proxq.folder()
    }

    /// A command with this server around it.
    fn launch(&self, args: &[&str]) -> Launch {
        self.launch_through(&[], args)
    }

    /// The same, started by another program.
    fn launch_through(&self, starter: &[&str], args: &[&str]) -> Launch {
        let starter: Vec<_> = starter.iter().map(ToString::to_string).collect();
        let launch = Launch::through(self.folder(), &starter).args(args);
        launch.env("PROXQ_ADMIN_URL", self.operators.url()).env("PROXQ_URL", self.proxq.url())
    }

    /// Runs a command in a pipe, which must end with this exit code.
    async fn run(&self, args: &[&str], code: i32) -> Exit {
        let exit = self.launch(args).to_exit().await;
        assert_eq!(exit.code, Some(code), "{args:?}\n{}\n{}", exit.output, exit.log);
        assert!(!exit.log.contains("panicked"), "{}", exit.log);
        exit
    }

    /// A job that has failed without reaching its upstream.
    async fn failed(&self, path: &str) -> Job {
        let job = self.proxq.submit(get(path)).await;
        self.proxq.settled(&job).await;
        job
    }

    /// A job that has ended with this status.
    async fn ended(&self, path: &str, status: u16) -> Job {
        self.upstream.once(Answer::status(status).body("done"));
        let job = self.proxq.submit(get(path)).await;
        self.proxq.settled(&job).await;
        job
    }
}

/// What has no control character but line breaks.
fn assert_safe(text: &str) {
    let unsafe_ones: Vec<_> = text.chars().filter(|character| character.is_control() && *character != '\n').collect();
    assert!(unsafe_ones.is_empty(), "{unsafe_ones:?} in {text:?}");
}
