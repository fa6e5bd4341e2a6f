//! The log of the server under test, as it writes it to its standard error.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;
use tokio::sync::watch;

use crate::waiting::within;

/// A growing log. Clones read the same one.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    news: watch::Receiver<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Lines(usize),
    Ended,
}

/// One line of the log, as JSON.
#[derive(Clone, Debug)]
pub struct Record(Value);

impl Record {
    fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok().filter(Value::is_object).map(Self)
    }

    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub fn level(&self) -> &str {
        self.0["level"].as_str().unwrap_or_default()
    }

    /// The constant text.
    pub fn message(&self) -> String {
        self.field("message").unwrap_or_default()
    }

    /// A field as text: of the record itself, or of a span around it.
    pub fn field(&self, name: &str) -> Option<String> {
        let spans = self.0["spans"].as_array().into_iter().flatten().rev();
        [&self.0["fields"], &self.0, &self.0["span"]]
            .into_iter()
            .chain(spans)
            .find_map(|place| place.get(name))
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

impl Log {
    /// Reads to the end on a thread of its own.
    pub fn follow(source: impl Read + Send + 'static) -> Self {
        let (announce, news) = watch::channel(Progress::Lines(0));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = Self { lines: Arc::clone(&lines), news };
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
                announce.send_replace(Progress::Lines(lines.len()));
            }
            announce.send_replace(Progress::Ended);
        });
        log
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The records so far.
    pub fn records(&self) -> Vec<Record> {
        self.lines().iter().filter_map(|line| Record::read(line)).collect()
    }

    /// The first record that is such; waits for it. `None` where the log ends without.
    pub async fn find(&self, is_such: impl Fn(&Record) -> bool) -> Option<Record> {
        self.until(0, |line| Record::read(line).filter(&is_such)).await
    }

    /// The same, after so many lines.
    pub async fn find_after(&self, lines: usize, is_such: impl Fn(&Record) -> bool) -> Option<Record> {
        self.until(lines, |line| Record::read(line).filter(&is_such)).await
    }

    /// The first line with this text; waits for it. `None` where the log ends without.
    pub async fn line(&self, text: &str) -> Option<String> {
        self.until(0, |line| line.contains(text).then(|| line.to_owned())).await
    }

    async fn until<T>(&self, mut seen: usize, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut news = self.news.clone();
        loop {
            let progress = *news.borrow_and_update();
            let lines = self.lines();
            if let Some(found) = lines[seen..].iter().find_map(|line| look(line)) {
                return Some(found);
            }
            seen = lines.len();
            if progress == Progress::Ended || news.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The first record that is such; fails the test if none comes.
    pub async fn record(&self, what: &str, is_such: impl Fn(&Record) -> bool) -> Record {
        match within(what, self.find(is_such)).await {
            Some(record) => record,
            None => panic!("the log ended without a record: {what}\n{}", self.text()),
        }
    }

    /// Returns when the process has closed its standard error.
    pub async fn ended(&self) {
        let mut news = self.news.clone();
        // A dropped sender means the same: the thread is gone.
        let _ = news.wait_for(|progress| *progress == Progress::Ended).await;
    }

    /// Every line that no test may overlook: panics, errors that were not announced, lines that are not JSON.
    pub(crate) fn problems(&self, expected_errors: &[String]) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| {
                let Some(record) = Record::read(line) else { return true };
                let expected = expected_errors.iter().any(|text| line.contains(text.as_str()));
                line.contains("panicked") || (record.level() == "ERROR" && !expected)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"level":"INFO","message":"listening","address":"127.0.0.1:1"}
{"level":"ERROR","fields":{"message":"store is full","job.id":"7"},"span":{},"spans":[{"request.id":"r"}]}
thread 'main' panicked at x
"#;

    #[test]
    fn flat_and_nested_fields_are_found() {
        crate::run(async {
            let log = Log::follow(LOG.as_bytes());
            let first = log.record("listening", |record| record.message() == "listening").await;
            assert_eq!(first.field("address").as_deref(), Some("127.0.0.1:1"));
            let second = log.record("full", |record| record.level() == "ERROR").await;
            assert_eq!(second.message(), "store is full");
            assert_eq!(
                (second.field("job.id").as_deref(), second.field("request.id").as_deref()),
                (Some("7"), Some("r"))
            );
            assert!(log.find(|record| record.level() == "WARN").await.is_none());
        });
    }

    #[test]
    fn panics_and_unannounced_errors_are_problems() {
        crate::run(async {
            let log = Log::follow(LOG.as_bytes());
            log.ended().await;
            assert_eq!(log.problems(&[]).len(), 2);
            assert_eq!(log.problems(&["store is full".to_owned()]), ["thread 'main' panicked at x"]);
        });
    }
}
