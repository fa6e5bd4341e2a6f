//! Jobs that wait while all workers are busy.

use std::io;

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::worker::backlog::{Backlog, Pace};

/// Hands on every line of the log.
#[derive(Clone)]
struct Lines(tokio::sync::mpsc::UnboundedSender<String>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ended = self.0.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn jobs_that_wait_while_all_workers_are_busy_are_a_warning() {
    let (lines, mut logged) = tokio::sync::mpsc::unbounded_channel();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Lines(lines)).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let pace = Pace { busy_for: Duration::from_millis(10), say_every: Duration::from_millis(20) };
    let bench = Bench::start_prepared(|_| {}, |worker| worker.pace = pace).await;

    bench.submitted().await;
    let _running = bench.request().await;
    Backlog::new(pace).look(&*bench.store, &bench.config().queue, 1).await;
    while let Ok(line) = logged.try_recv() {
        assert!(!line.contains("jobs wait"), "nothing waits: {line}");
    }

    bench.submitted().await;
    bench.submitted().await;
    for _ in 0..2 {
        let line = loop {
            let line = logged.recv().await.unwrap();
            // A look may have come between both submissions.
            if line.contains("jobs wait") && !line.contains("waiting=1") {
                break line;
            }
        };
        assert!(line.contains("WARN") && line.contains("waiting=2") && line.contains("concurrency=1"), "{line}");
    }
    bench.worker.stop.abort.cancel();
    bench.stop().await;
}
