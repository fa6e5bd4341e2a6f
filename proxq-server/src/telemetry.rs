//! Where log lines go and how they look: as text, for people, or as JSON, for programs. `telemetry/writer.rs` writes them.
//!
//! In a line stand texts that clients and upstreams choose. None of them can begin a line, a field or a control sequence
//! of a terminal: as text, a value with anything but plain characters stands in quotes, and what cannot be printed is
//! escaped in both formats.

mod writer;

use std::fmt::{self, Debug, Write as _};
use std::io::{self, IsTerminal};
use std::panic;

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FmtSpan, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt as _;

use self::writer::LogWriter;
use crate::cli::LogFormat;
use crate::clock::Clock;

/// The log of the process. When it is dropped, it waits until all lines are written: it has to outlive whatever logs.
#[must_use = "the last lines are written only where the log is dropped after them"]
pub struct Log(LogWriter);

impl Drop for Log {
    fn drop(&mut self) {
        let _in_time = self.0.flush();
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter has a mistake.
    #[error("RUST_LOG cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The operating system gives no thread.
    #[error("start the thread that writes the log")]
    Thread(#[from] io::Error),
}

/// Sends log lines to standard error: those that `filter` lets through (`info`, or `RUST_LOG`'s notation). Reports of
/// panics go there, too, after the lines that were logged before.
///
/// # Errors
/// Where the filter cannot be read, or no thread can be started.
pub fn init(format: LogFormat, filter: &str) -> Result<Log, InitError> {
    let filter = EnvFilter::try_new(filter)?;
    let writer = LogWriter::start(io::stderr(), tell_of_lost)?;
    subscriber(format, filter, io::stderr().is_terminal(), writer.clone()).init();
    let (of_panics, report) = (writer.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |info| of_panics.pause_for(|| report(info))));
    Ok(Log(writer))
}

fn tell_of_lost(lines: u64) {
    tracing::warn!(lines, "log lines were lost: whatever reads standard error took them too slowly");
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colored: bool, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(colored)
        .with_span_events(FmtSpan::NONE)
        // A line that cannot be written is lost. To say so where it could not be written panics in the middle of a request.
        .log_internal_errors(false)
        .with_timer(Time(Clock::new()))
        .with_writer(writer);
    match format {
        LogFormat::Text => lines.fmt_fields(TextFields).event_format(TextLine(Time(Clock::new()))).into(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).map_event_format(JsonLine).into(),
    }
}

/// The time of day in UTC, to the millisecond.
struct Time(Clock);

impl FormatTime for Time {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", self.0.wall())
    }
}

/// A line of text: time, level, message, the event's fields and those of what it happened in.
struct TextLine(Time);

impl<S> FormatEvent<S, TextFields> for TextLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, TextFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        self.0.format_time(&mut writer)?;
        let level = event.metadata().level();
        if writer.has_ansi_escapes() {
            write!(writer, " \x1b[{}m{level}\x1b[0m", color(*level))?;
        } else {
            write!(writer, " {level}")?;
        }
        context.format_fields(writer.by_ref(), event)?;
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<TextFields>>() {
                writer.write_str(&fields.fields)?;
            }
        }
        writeln!(writer)
    }
}

/// The number by which terminals know a level's color (ECMA-48 §8.3.117).
fn color(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// Fields as text, each with a space in front: ` key=value`, and the message without its key.
struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = TextVisitor { writer, result: Ok(()), value: String::new() };
        fields.record(&mut visitor);
        visitor.result
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &tracing::span::Record<'_>) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

struct TextVisitor<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
    /// What is being written, until it is known whether it needs quotes.
    value: String,
}

impl TextVisitor<'_> {
    fn record(&mut self, field: &Field, value: &str) {
        // The library's marks on lines of those that log by the crate `log`.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field.name(), value);
        }
    }

    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        self.writer.write_char(' ')?;
        let is_message = name == "message";
        if !is_message {
            self.writer.write_str(name)?;
            self.writer.write_char('=')?;
        }
        match (is_message, is_plain(value)) {
            (true, _) => write_printable(&mut self.writer, value),
            (false, true) => self.writer.write_str(value),
            (false, false) => write!(self.writer, "{value:?}"),
        }
    }
}

impl Visit for TextVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut written = std::mem::take(&mut self.value);
        written.clear();
        match write!(written, "{value:?}") {
            Ok(()) => self.record(field, &written),
            Err(error) => self.result = Err(error),
        }
        self.value = written;
    }
}

/// Whether a value needs no quotes: it is one word, and ends where it seems to.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'))
}

/// Writes a text and escapes what cannot be printed of it.
fn write_printable(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return writer.write_str(text);
    }
    for character in text.chars() {
        if is_unprintable(character) {
            write!(writer, "{}", character.escape_debug())?;
        } else {
            writer.write_char(character)?;
        }
    }
    Ok(())
}

/// Control characters, separators of lines, marks that turn the direction of writing, and the like.
fn is_unprintable(character: char) -> bool {
    !matches!(character, '"' | '\'' | '\\') && character.escape_debug().len() > 1
}

/// A line of JSON. The library escapes ASCII's control characters, as JSON demands, and no others.
struct JsonLine<F>(F);

impl<S, N, F> FormatEvent<S, N> for JsonLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        for character in line.chars() {
            // Where these stand, it is in a string; the line's end is ASCII.
            if (character == '\x7f' || !character.is_ascii()) && is_unprintable(character) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_lines::LogLines;

    /// What these events look like, without the time.
    fn written(format: LogFormat, events: impl FnOnce()) -> String {
        let lines = LogLines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, EnvFilter::new("trace"), false, move || writer.clone());
        tracing::dispatcher::with_default(&subscriber, events);
        lines.text()
    }

    fn text(events: impl FnOnce()) -> String {
        let written = written(LogFormat::Text, events);
        let without_time = written.split_once(' ').map(|(time, line)| {
            assert!(time.len() == "2026-01-01T00:00:00.123Z".len() && time.ends_with('Z'), "{written:?}");
            line
        });
        without_time.unwrap_or_default().to_owned()
    }

    /// What clients may choose, and what it must not become.
    const HOSTILE: [&str; 9] = [
        "a status=200",
        "a=b",
        "a\" level=\"ERROR",
        "a\nERROR forged",
        "a\r\nb",
        "\u{1b}[31mred",
        "\u{9b}31mred",
        "a\u{2028}b\u{2029}c\u{85}d",
        "\u{202e}gnp\u{7f}\u{feff}",
    ];

    #[test]
    fn a_line_of_text_has_the_message_the_events_fields_and_the_spans() {
        let line = text(|| {
            let span = tracing::info_span!("request", method = "GET", path = "/a/b?", job.id = tracing::field::Empty);
            let _entered = span.enter();
            span.record("job.id", 7);
            tracing::info!(status = 202, error = "no \"such\" host", none = None::<u8>, "request answered");
        });
        assert_eq!(
            line,
            "INFO request answered status=202 error=\"no \\\"such\\\" host\" method=GET path=/a/b? job.id=7\n"
        );
        assert_eq!(
            text(|| tracing::warn!(empty = "", pause = ?std::time::Duration::from_millis(1500), "it's ä")),
            "WARN it's ä empty=\"\" pause=1.5s\n"
        );
    }

    #[test]
    fn no_value_forges_a_field_or_a_line_of_text() {
        for hostile in HOSTILE {
            let by_every_way = text(|| {
                let span = tracing::info_span!("request", own = hostile, shown = %hostile);
                let _entered = span.enter();
                tracing::info!(own = hostile, shown = %hostile, "{hostile}");
            });
            assert_eq!(by_every_way.matches('\n').count(), 1, "{by_every_way:?}");
            assert!(!by_every_way.trim_end().chars().any(is_unprintable), "{by_every_way:?}");
            let fields = text(|| tracing::info!(first = hostile, last = 1, "message"));
            let (first, last) = (format!(" first={hostile:?}"), " last=1\n");
            assert_eq!(fields, format!("INFO message{first}{last}"));
        }
    }

    #[test]
    fn no_value_forges_a_line_of_json_and_each_is_read_as_it_was() {
        for hostile in HOSTILE {
            let line = written(LogFormat::Json, || {
                let span = tracing::info_span!("request", request_id = %hostile);
                let _entered = span.enter();
                tracing::info!(own = hostile, "message");
            });
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(!line.trim_end().chars().any(is_unprintable), "{line:?}");
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&read["own"], &read["span"]["request_id"]), (&hostile.into(), &hostile.into()), "{line}");
            assert_eq!(read["timestamp"].as_str().unwrap().len(), "2026-01-01T00:00:00.123Z".len());
        }
    }

    #[test]
    fn a_terminal_is_shown_the_level_in_color() {
        let lines = LogLines::default();
        let writer = lines.clone();
        let subscriber = subscriber(LogFormat::Text, EnvFilter::new("info"), true, move || writer.clone());
        tracing::dispatcher::with_default(&subscriber, || tracing::error!("broken"));
        assert!(lines.text().ends_with(" \x1b[31mERROR\x1b[0m broken\n"));
    }
}
