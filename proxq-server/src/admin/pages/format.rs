//! How numbers, spans and instants are written for people.

use maud::{Markup, html};

use crate::clock::Timestamp;

/// A count with a thin space between the thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count as a place in a plot, which shows no more of it.
pub(super) fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A rate a second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        rate if rate < 0.1 => format!("{rate:.3}"),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// A span, in the largest unit that fits.
pub(super) fn span(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 0.001 => "0 s".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 129_600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} days", s / 86400.0),
    }
}

/// A size in bytes.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..1024 => format!("{number} B"),
        1024..1_048_576 => format!("{:.1} KiB", number as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", number as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", number as f64 / 1_073_741_824.0),
    }
}

/// An instant: how long ago it is, and on a closer look which it is. `at` is RFC 3339.
pub(super) fn ago(at: &str, now: Timestamp) -> Markup {
    let words = match parse(at) {
        Some(instant) if instant <= now && now.since(instant).as_secs() < 1 => "just now".to_owned(),
        Some(instant) if instant <= now => format!("{} ago", span(now.since(instant).as_secs_f64())),
        Some(instant) => format!("in {}", span(instant.since(now).as_secs_f64())),
        None => at.to_owned(),
    };
    html! { time datetime=(at) title=(at) { (words) } }
}

/// For how long something has been so since an instant.
pub(super) fn lasting(since: &str, now: Timestamp) -> Markup {
    let words = parse(since).map_or_else(|| since.to_owned(), |instant| span(now.since(instant).as_secs_f64()));
    html! { time datetime=(since) title=(since) { (words) } }
}

/// An instant of RFC 3339.
pub(super) fn parse(at: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = at.parse().ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

/// The beginning of an id, which is enough to tell jobs of one page apart.
pub(super) fn short_id(id: &impl ToString) -> String {
    id.to_string().chars().take(8).collect()
}

/// An error in one line.
pub(super) fn error_line(error: &str) -> String {
    const SHOWN: usize = 160;
    match error.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None if error.is_empty() => "no error is known".to_owned(),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (rate(0.0), rate(0.02), rate(3.25), rate(1234.4)),
            ("0".into(), "0.020".into(), "3.2".into(), "1234".into())
        );
        assert_eq!(
            (span(0.0), span(0.25), span(59.0), span(3600.0)),
            ("0 s".into(), "250 ms".into(), "59 s".into(), "60 min".into())
        );
        assert_eq!((span(-5.0), span(7200.0), span(864_000.0)), ("0 s".into(), "2.0 h".into(), "10 days".into()));
        assert_eq!((bytes(5), bytes(2048), bytes(5 << 20)), ("5 B".into(), "2.0 KiB".into(), "5.0 MiB".into()));
    }
}
