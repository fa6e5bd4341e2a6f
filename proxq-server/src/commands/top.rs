//! `proxq top`: how the server is doing, on one screen.

use std::io::{self, Write};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::error::{CommandError, End};
use super::operators::Operators;
use super::printable::printable;
use super::table::Table;
use super::terminal::{cut, print, size};
use crate::admin::model::{Overview, Queue};
use crate::cli::{Options, Top};
use crate::failure::chain;
use crate::shutdown::StopRequests;

/// Shows the view, once or until the user ends it.
pub(super) async fn top(flags: &Top, options: &Options) -> Result<End, CommandError> {
    let operators = Operators::find(&flags.at, options)?;
    // Before the screen is taken over: what is wrong from the beginning is said as by any other command.
    let mut view = look(&operators).await?;
    if flags.once || size(&io::stdout()).is_none() {
        print(&format!("{}\n", view.join("\n")))?;
        return Ok(End::Done);
    }
    let mut stop = StopRequests::new();
    let mut resized = signal(SignalKind::window_change()).map_err(|source| CommandError::Threads { source })?;
    let mut ticks = interval(flags.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let screen = Screen::take()?;
    loop {
        screen.draw(&view)?;
        tokio::select! {
            () = stop.next() => return Ok(End::Done),
            _ = resized.recv() => {}
            _ = ticks.tick() => tokio::select! {
                () = stop.next() => return Ok(End::Done),
                looked = look(&operators) => match looked {
                    Ok(lines) => view = lines,
                    Err(error) => {
                        // What was seen last stays below.
                        let said = format!("NO ANSWER: {}", printable(&chain(&error)));
                        match view.first_mut() {
                            Some(first) if first.starts_with("NO ANSWER") => *first = said,
                            _ => view.insert(0, said),
                        }
                    }
                },
            },
        }
    }
}

async fn look(operators: &Operators) -> Result<Vec<String>, CommandError> {
    Ok(view(&operators.get("overview").await?))
}

/// The terminal's second screen, which is given back at the end.
struct Screen;

impl Screen {
    fn take() -> Result<Self, CommandError> {
        write("\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }

    /// Shows the lines that there is room for.
    fn draw(&self, lines: &[String]) -> Result<(), CommandError> {
        let Self = self;
        let Some(size) = size(&io::stdout()) else { return Ok(()) };
        let shown = lines.iter().take(size.rows.saturating_sub(1)).map(|line| cut(line, size.columns));
        let shown: Vec<_> = shown.collect();
        write(&format!("\x1b[H{}\x1b[K\x1b[J", shown.join("\x1b[K\r\n")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _gone = write("\x1b[?25h\x1b[?1049l");
    }
}

fn write(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| CommandError::Write { what: "standard output".to_owned(), source })
}

/// The lines of the view, as a terminal may show them.
fn view(overview: &Overview) -> Vec<String> {
    let takes = if overview.ready { "takes work" } else { "TAKES NO WORK" };
    let head = format!("proxq {} at {}, {takes}, since {}", overview.version, overview.instance, overview.started_at);
    let mut lines = vec![printable(&head).into_owned()];
    if let Some(problem) = &overview.store.problem {
        lines.push(format!("STORE AWAY: {}", printable(problem)));
    }
    let (rates, jobs) = (&overview.rates, &overview.jobs);
    lines.push(format!(
        "a second: {:.1} submitted, {:.1} completed, {:.1} failed, {:.1} retried",
        rates.submitted_per_second, rates.completed_per_second, rates.failed_per_second, rates.retried_per_second
    ));
    lines.push(format!(
        "jobs: {} pending, {} active, {} resting, {} delayed, {} failed, {} completed; the oldest waits for {}",
        jobs.pending,
        jobs.active,
        jobs.retry,
        jobs.scheduled,
        jobs.failed,
        jobs.completed,
        age(overview.oldest_age_seconds)
    ));
    lines.push(String::new());
    let mut queues = Table::new(&["QUEUE", "WAITING", "RUNNING", "LIMIT", "FAILED", "OLDEST", "HELD BY", "UPSTREAMS"]);
    for queue in &overview.queues {
        queues.row(&[
            queue.name.clone(),
            (queue.jobs.pending + queue.jobs.retry + queue.jobs.scheduled).to_string(),
            queue.running.to_string(),
            queue.limit.to_string(),
            queue.jobs.failed.to_string(),
            age(queue.oldest_age_seconds),
            held(queue),
            queue.upstreams.join(" "),
        ]);
    }
    lines.extend(queues.lines(None));
    if overview.instances.len() > 1 {
        lines.push(String::new());
        let mut instances = Table::new(&["INSTANCE", "KIND", "RUNNING", "OF", "SINCE", ""]);
        for instance in &overview.instances {
            instances.row(&[
                instance.name.clone(),
                instance.kind.clone(),
                instance.running.to_string(),
                instance.concurrency.to_string(),
                instance.started_at.clone(),
                if instance.draining { "draining".to_owned() } else { String::new() },
            ]);
        }
        lines.extend(instances.lines(None));
    }
    lines
}

fn held(queue: &Queue) -> String {
    let by_operator = queue.paused.then(|| "paused".to_owned());
    by_operator.or_else(|| Some(queue.held?.to_string())).unwrap_or_else(|| "-".to_owned())
}

/// A span for people: its largest unit, and the next one.
fn age(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a span of ages fits, and is not negative"
    )]
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0 => "-".to_owned(),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units() {
        for (seconds, text) in
            [(0.4, "-"), (-1.0, "-"), (59.9, "59s"), (61.0, "1m01s"), (7322.0, "2h02m"), (90_000.0, "1d01h")]
        {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn a_view_shows_each_queue_and_what_holds_it_back() {
        let counts = r#""pending":1,"scheduled":2,"active":3,"retry":4,"completed":5,"failed":6"#;
        let queue = |name: &str, paused: bool, held: &str| {
            format!(
                r#"{{"name":"{name}","upstreams":["/a","/\u001b[2J"],{counts},"oldestAgeSeconds":75.5,"paused":{paused},"running":3,"limit":9{held}}}"#
            )
        };
        let queues = [queue("first", true, ""), queue("second", false, r#","held":"rate""#)].join(",");
        let overview = format!(
            r#"{{"version":"1","instance":"i:1","startedAt":"s","ready":false,"store":{{"kind":"redis","problem":"away"}},
            "jobs":{{{counts}}},"oldestAgeSeconds":75.5,"rates":{{"overSeconds":60.0,"submittedPerSecond":1.25,
            "completedPerSecond":1.0,"failedPerSecond":0.0,"retriedPerSecond":0.0}},"queues":[{queues}],"instances":[]}}"#
        );
        let lines = view(&serde_json::from_str(&overview).unwrap());
        assert!(lines[0].contains("TAKES NO WORK") && lines[1].contains("STORE AWAY: away"), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("first ") && line.contains(" paused ")), "{lines:?}");
        let second = lines.iter().find(|line| line.starts_with("second ")).unwrap();
        let cells: Vec<_> = second.split_whitespace().collect();
        assert_eq!(cells, ["second", "7", "3", "9", "6", "1m15s", "rate", "/a", "/\\u{1b}[2J"]);
    }
}
