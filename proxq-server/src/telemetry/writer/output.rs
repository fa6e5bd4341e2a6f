//! Where log lines are written. A line that could not be finished there is ended before the next one begins.

use std::io::{self, Write};

/// Standard error, or what stands for it in tests.
pub(super) struct Output {
    out: Box<dyn Write + Send>,
    /// The last line was not finished.
    cut: bool,
}

impl Output {
    pub(super) fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out), cut: false }
    }

    /// Writes whole lines; gives the number of those that were not written to their end.
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        if self.cut && self.write_some(b"\n").is_err() {
            return count(lines);
        }
        self.cut = false;
        let mut rest = lines;
        while !rest.is_empty() {
            let Ok(bytes) = self.write_some(rest) else { break };
            self.cut = rest[bytes - 1] != b'\n';
            rest = &rest[bytes..];
        }
        count(rest)
    }

    /// At least one byte of these.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.out.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }
}

/// How many lines end in these bytes.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes so many bytes at a time, and fails where it is `None`.
    #[derive(Clone, Default)]
    struct Scripted(Arc<Mutex<Script>>);

    #[derive(Default)]
    struct Script {
        steps: VecDeque<Option<usize>>,
        written: Vec<u8>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut script = self.0.lock().unwrap();
            let Some(taken) = script.steps.pop_front().unwrap_or(Some(bytes.len())) else {
                return Err(io::ErrorKind::StorageFull.into());
            };
            script.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of these batches, and how many lines of each are lost, where the output does this.
    fn written(script: &[Option<usize>], batches: &[&str]) -> (String, Vec<u64>) {
        let out = Scripted::default();
        out.0.lock().unwrap().steps.extend(script);
        let mut output = Output::new(out.clone());
        let lost = batches.iter().map(|batch| output.write(batch.as_bytes())).collect();
        let written = out.0.lock().unwrap().written.clone();
        (String::from_utf8(written).unwrap(), lost)
    }

    #[test]
    fn what_is_written_in_pieces_is_whole() {
        assert_eq!(written(&[Some(1), Some(2)], &["one\ntwo\n", "three\n"]), ("one\ntwo\nthree\n".into(), vec![0, 0]));
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next() {
        let (cut, none) = (Some(5), None);
        assert_eq!(written(&[cut, none], &["one\ntwo\nthree\n", "four\n"]), ("one\nt\nfour\n".into(), vec![2, 0]));
        assert_eq!(written(&[cut, none, none], &["one\ntwo\n", "3\n", "4\n"]), ("one\nt\n4\n".into(), vec![1, 1, 0]));
    }

    #[test]
    fn lines_that_fail_whole_leave_nothing_behind() {
        assert_eq!(written(&[None], &["one\ntwo\n", "three\n"]), ("three\n".into(), vec![2, 0]));
        assert_eq!(written(&[Some(4), None], &["one\ntwo\n", "three\n"]), ("one\nthree\n".into(), vec![1, 0]));
        assert_eq!(
            written(&[Some(0)], &["one\n", "two\n"]),
            ("two\n".into(), vec![1, 0]),
            "an output that takes nothing"
        );
    }
}
