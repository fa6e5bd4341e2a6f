//! A writer of log lines that keeps nobody waiting: whoever logs leaves a line in a bounded buffer, and a thread of the
//! writer's own writes the buffer out.
//!
//! In: whole lines, from any thread. Out: the same lines in the same order, never a part of one. Lines that find no room,
//! or that cannot be written, are counted; as soon as there is room again, a line tells how many they were.

mod output;

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use self::output::Output;
use crate::lock::lock;

/// How many bytes of lines may wait while others are being written: some 5,000 lines. A reader that stops for longer costs
/// lines, but no memory and no requests.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// For how long lines gather after a write, so that one system call writes many of them under load. A crash loses at most
/// the lines of this span; the first line after a longer silence is written at once, as are warnings and errors.
const GATHERING: Duration = Duration::from_millis(5);
/// So many bytes are written at once, and so much memory each of the two buffers keeps: more than gathers as a rule.
const GATHERED_BYTES: usize = 64 << 10;
/// For how long the end of the process, and a panic, wait until all lines are written. A log that nobody reads must keep no
/// process from ending.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Takes lines. Clones take them for the same output.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// The thread has something to do.
    wake: Condvar,
    /// A batch has been written.
    written: Condvar,
    /// Locked while something is written.
    output: Mutex<Output>,
}

/// The lines that wait, and what the thread does.
#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
    /// One of them is a warning or an error.
    urgent: bool,
    /// Lines that were lost and have not been told of.
    lost: u64,
    thread: ThreadState,
    thread_id: Option<ThreadId>,
    batches_begun: u64,
    batches_written: u64,
}

/// What the thread does, and so when it has to be woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ThreadState {
    /// It waits for a line.
    Idle,
    /// It lets lines gather.
    Gathering,
    /// It writes, and will look for more by itself.
    #[default]
    Busy,
}

impl Lines {
    /// Whether they must not wait for more of them.
    fn are_due(&self) -> bool {
        self.urgent || self.waiting.len() >= GATHERED_BYTES
    }
}

impl LogWriter {
    /// Starts the thread. `tell` logs how many lines were lost; it is called on the thread.
    pub(super) fn start(out: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            wake: Condvar::new(),
            written: Condvar::new(),
            output: Mutex::new(Output::new(out)),
        });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || of_thread.write_all(&tell))?;
        Ok(Self(shared))
    }

    /// Returns when all lines that were left before are written; `false` if that takes too long.
    pub(super) fn flush(&self) -> bool {
        self.0.flush(FLUSH_LIMIT)
    }

    /// Does what writes to the same place by itself: after all lines that were left before, and never in the middle of one.
    pub(super) fn pause_for(&self, write: impl FnOnce()) {
        // Where the output does not move, its lock does not come free.
        let _between_lines = self.flush().then(|| lock(&self.0.output));
        write();
    }
}

impl Shared {
    /// Leaves a line to be written, or counts it as lost.
    fn add(&self, line: &[u8], urgent: bool) {
        let mut lines = lock(&self.lines);
        let fits = lines.waiting.len() + line.len() <= WAITING_BYTES_MAX;
        // There is always room for the line that tells of lost ones.
        if !fits && lines.thread_id != Some(thread::current().id()) {
            lines.lost += 1;
            return;
        }
        lines.waiting.extend_from_slice(line);
        lines.urgent |= urgent;
        let wakes = match lines.thread {
            ThreadState::Idle => true,
            ThreadState::Gathering => lines.are_due(),
            ThreadState::Busy => false,
        };
        if wakes {
            lines.thread = ThreadState::Busy; // so that it is woken once
            drop(lines);
            self.wake.notify_one();
        }
    }

    fn flush(&self, limit: Duration) -> bool {
        let mut lines = lock(&self.lines);
        let wanted = lines.batches_begun + u64::from(!lines.waiting.is_empty());
        lines.urgent = true; // they gather no longer
        self.wake.notify_one();
        let written = self.written.wait_timeout_while(lines, limit, |lines| lines.batches_written < wanted);
        !written.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The life of the thread. It ends with the process.
    fn write_all(&self, tell: &impl Fn(u64)) {
        let mut batch = Vec::new();
        lock(&self.lines).thread_id = Some(thread::current().id());
        loop {
            self.wait_for_lines();
            let told = std::mem::take(&mut lock(&self.lines).lost);
            if told > 0 {
                tell(told); // behind the last line that found room
            }
            {
                let mut lines = lock(&self.lines);
                std::mem::swap(&mut batch, &mut lines.waiting);
                lines.urgent = false;
                lines.batches_begun += 1;
            }
            let unwritten = lock(&self.output).write(&batch);
            batch.clear();
            batch.shrink_to(GATHERED_BYTES);
            let mut lines = lock(&self.lines);
            if unwritten > 0 {
                lines.lost += told + unwritten; // the line that told of them stood at the end
            }
            lines.batches_written += 1;
            self.written.notify_all();
            lines.thread = ThreadState::Gathering;
            let gathered = self.wake.wait_timeout_while(lines, GATHERING, |lines| !lines.are_due());
            gathered.unwrap_or_else(PoisonError::into_inner).0.thread = ThreadState::Busy;
        }
    }

    fn wait_for_lines(&self) {
        let mut lines = lock(&self.lines);
        if lines.waiting.is_empty() {
            lines.urgent = false;
            lines.thread = ThreadState::Idle;
        }
        while lines.waiting.is_empty() {
            lines = self.wake.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        lines.thread = ThreadState::Busy;
    }
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = LineWriter<'w>;

    fn make_writer(&'w self) -> LineWriter<'w> {
        LineWriter { shared: &self.0, urgent: false }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> LineWriter<'w> {
        LineWriter { shared: &self.0, urgent: *metadata.level() <= Level::WARN }
    }
}

/// Takes one line, whole: the library writes each at once.
pub(super) struct LineWriter<'w> {
    shared: &'w Shared,
    urgent: bool,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.add(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
