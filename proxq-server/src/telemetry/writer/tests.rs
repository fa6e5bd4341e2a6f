use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// An output that a test holds: a write arrives there and waits until the test takes it.
struct Held(SyncSender<String>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.0.send(text).map_err(|_closed| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that tells of lost lines, and what it writes, batch by batch.
fn held() -> (LogWriter, Receiver<String>) {
    let (sender, batches) = sync_channel(0);
    let own = Arc::new(OnceLock::<LogWriter>::new());
    let teller = Arc::clone(&own);
    let tell = move |lost| log(teller.get().unwrap(), &format!("lost {lost}\n"));
    let writer = LogWriter::start(Held(sender), tell).unwrap();
    own.set(writer.clone()).ok().unwrap();
    (writer, batches)
}

fn log(writer: &LogWriter, line: &str) {
    writer.make_writer().write_all(line.as_bytes()).unwrap();
}

/// Returns when the thread has taken all lines and is about to write them, or has written them.
fn taken(writer: &LogWriter) {
    while !lock(&writer.0.lines).waiting.is_empty() {
        thread::yield_now();
    }
}

/// A line of so many bytes.
fn line(bytes: usize) -> String {
    format!("{}\n", "x".repeat(bytes - 1))
}

#[test]
fn lines_come_out_whole_and_in_order() {
    let (writer, batches) = held();
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let writer = writer.clone();
            thread::spawn(move || (0..100).for_each(|at| log(&writer, &format!("{number} {at}\n"))))
        })
        .collect();
    let lines_of = |batch: String| batch.lines().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = batches.iter().flat_map(lines_of).take(400).collect();
    for writer in writers {
        writer.join().unwrap();
    }
    for number in 0..4 {
        let of_one: Vec<_> = lines.iter().filter(|line| line.starts_with(&format!("{number} "))).cloned().collect();
        assert_eq!(of_one, (0..100).map(|at| format!("{number} {at}")).collect::<Vec<_>>());
    }
}

#[test]
fn whoever_logs_does_not_wait_and_what_finds_no_room_is_counted() {
    let (writer, batches) = held();
    log(&writer, "first\n");
    taken(&writer); // its write has begun, and does not end
    let (most, little) = (line(WAITING_BYTES_MAX - 6), "12345\n");
    log(&writer, &most);
    log(&writer, little);
    for lost in [&*line(7), "z\n", &*most] {
        log(&writer, lost);
    }
    assert_eq!(batches.recv().unwrap(), "first\n");
    let told = batches.recv().unwrap();
    assert_eq!(told.len(), WAITING_BYTES_MAX + "lost 3\n".len());
    assert!(told.ends_with("x\n12345\nlost 3\n"));
    log(&writer, "after\n");
    assert_eq!(batches.recv().unwrap(), "after\n", "they are told of once");
}

#[test]
fn what_cannot_be_written_is_counted_until_it_can_be_told() {
    let (writer, batches) = held();
    drop(batches);
    log(&writer, "one\n");
    assert!(writer.flush());
    assert_eq!(lock(&writer.0.lines).lost, 1);
    log(&writer, "two\n");
    assert!(writer.flush());
    assert_eq!(lock(&writer.0.lines).lost, 3, "two, and the line that told of one");
}

#[test]
fn a_flush_waits_for_every_line_that_was_left_before_and_not_for_ever() {
    let (writer, batches) = held();
    assert!(writer.flush(), "there is nothing to wait for");
    log(&writer, "one\n");
    taken(&writer);
    log(&writer, "two\n");
    assert!(!writer.0.flush(Duration::from_millis(1)), "nobody reads");
    let reader = thread::spawn(move || batches.iter().take(2).collect::<String>());
    assert!(writer.flush());
    assert_eq!(reader.join().unwrap(), "one\ntwo\n");
}

#[test]
fn what_writes_by_itself_comes_after_the_lines_before_it() {
    let (writer, batches) = held();
    log(&writer, "before\n");
    let reader = thread::spawn(move || batches.recv().unwrap());
    let mut seen = None;
    writer.pause_for(|| {
        seen = Some(reader.join().unwrap());
        assert!(writer.0.output.try_lock().is_err(), "nothing else is written meanwhile");
    });
    assert_eq!(seen.as_deref(), Some("before\n"));
}

#[test]
fn a_warning_ends_the_gathering() {
    let lines = |urgent, bytes| Lines { urgent, waiting: vec![b'x'; bytes], ..Lines::default() };
    assert!(!lines(false, GATHERED_BYTES - 1).are_due());
    assert!(lines(false, GATHERED_BYTES).are_due() && lines(true, 1).are_due());
    let (writer, batches) = held();
    let dispatch: tracing::Dispatch = tracing_subscriber::fmt().with_writer(writer.clone()).into();
    let urgency = |event: &dyn Fn()| {
        log(&writer, "first\n");
        taken(&writer); // the thread writes, so what is logged now waits
        tracing::dispatcher::with_default(&dispatch, event);
        let urgent = lock(&writer.0.lines).urgent;
        let written: Vec<_> = batches.iter().take(2).collect();
        assert_eq!(written.len(), 2);
        urgent
    };
    assert!(!urgency(&|| tracing::info!("calm")));
    assert!(urgency(&|| tracing::warn!("urgent")));
    assert!(urgency(&|| tracing::error!("urgent")));
}
