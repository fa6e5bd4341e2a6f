//! Durations in Go's notation: `300ms`, `1.5h`, `1h30m`, `0`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span of time, which may be negative. It is read like Go's `time.ParseDuration` and written like `Duration.String`.
///
/// It is a number of nanoseconds, as in Go, so its range is about ±292 years.
///
/// ```
/// use proxq_protocol::GoDuration;
///
/// let span: GoDuration = "1h30m".parse()?;
/// assert_eq!(span.to_std(), Some(std::time::Duration::from_secs(5_400)));
/// assert_eq!(span.to_string(), "1h30m0s");
/// assert!("90".parse::<GoDuration>().is_err(), "a unit is missing");
/// # Ok::<(), proxq_protocol::DurationError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration {
    nanos: i64,
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Units with their nanoseconds. A text names a unit by its whole name, so the order does not matter.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),  // micro sign
    ("\u{3bc}s", 1_000), // Greek mu
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
];

impl GoDuration {
    /// A duration of that many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// The number of nanoseconds, negative for a negative duration.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.nanos
    }

    /// The same span as a [`Duration`]; `None` if it is negative.
    #[must_use]
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.nanos).ok().map(Duration::from_nanos)
    }
}

impl From<Duration> for GoDuration {
    /// A span beyond Go's range becomes Go's longest duration.
    fn from(span: Duration) -> Self {
        Self { nanos: i64::try_from(span.as_nanos()).unwrap_or(i64::MAX) }
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if unsigned == "0" {
            return Ok(Self::default());
        }
        if unsigned.is_empty() {
            return Err(DurationError::Empty);
        }
        let mut total: u64 = 0;
        let mut rest = unsigned;
        while !rest.is_empty() {
            let (nanos, after) = read_term(rest)?;
            total = total.checked_add(nanos).filter(|&sum| sum <= LARGEST).ok_or(DurationError::TooLarge)?;
            rest = after;
        }
        match (negative, total) {
            (true, LARGEST) => Ok(Self { nanos: i64::MIN }),
            (true, total) => Ok(Self { nanos: -i64::try_from(total).map_err(|_| DurationError::TooLarge)? }),
            (false, total) => Ok(Self { nanos: i64::try_from(total).map_err(|_| DurationError::TooLarge)? }),
        }
    }
}

/// The magnitude of `i64::MIN`. Only a negative duration may have it.
const LARGEST: u64 = 1 << 63;

/// Reads one number with its unit. Gives its nanoseconds, and the text after it.
fn read_term(text: &str) -> Result<(u64, &str), DurationError> {
    let (whole, after_whole) = split_digits(text);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => split_digits(after_point),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::NoNumber { at: text.to_owned() });
    }
    let unit_end = after_number.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after_number.len());
    let (unit, rest) = after_number.split_at(unit_end);
    if unit.is_empty() {
        return Err(DurationError::NoUnit { number: text[..text.len() - after_number.len()].to_owned() });
    }
    let (_, unit_nanos) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned() })?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::TooLarge)? };
    let nanos = whole.checked_mul(unit_nanos).filter(|&n| n <= LARGEST).ok_or(DurationError::TooLarge)?;
    let nanos = nanos.checked_add(fraction_nanos(fraction, unit_nanos)).ok_or(DurationError::TooLarge)?;
    Ok((nanos, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The nanoseconds of `0.digits` units, rounded down. Digits after the first 18 are too small to matter.
fn fraction_nanos(digits: &str, unit_nanos: u64) -> u64 {
    /// 10^18 fits in a `u64`, and an hour has fewer than 10^13 nanoseconds.
    const SIGNIFICANT_DIGITS: usize = 18;
    let (mut value, mut scale) = (0_u128, 1_u128);
    for digit in digits.bytes().take(SIGNIFICANT_DIGITS) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    u64::try_from(value * u128::from(unit_nanos) / scale).expect("a fraction of a unit is less than the unit")
}

impl fmt::Display for GoDuration {
    /// Writes the text of Go's `Duration.String`: `1h30m0s`, `1.5s`, `300ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.nanos.unsigned_abs();
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        match total {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{total}ns"),
            1_000..1_000_000 => write_decimal(f, total, 1_000, "\u{b5}s"),
            1_000_000..NANOS_PER_SECOND => write_decimal(f, total, 1_000_000, "ms"),
            _ => {
                let minutes = total / (60 * NANOS_PER_SECOND);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write_decimal(f, total % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND, "s")
            }
        }
    }
}

/// Writes `nanos` in `unit`s with as many decimals as needed.
fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit_nanos: u64, unit: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit_nanos)?;
    let width = usize::try_from(unit_nanos.ilog10()).expect("at most 9");
    let decimals = format!("{:0width$}", nanos % unit_nanos);
    let decimals = decimals.trim_end_matches('0');
    if !decimals.is_empty() {
        write!(f, ".{decimals}")?;
    }
    f.write_str(unit)
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// The text is empty, or only a sign.
    #[error("a duration is missing; write one like 300ms, 1.5h or 1h30m")]
    Empty,
    /// A number is missing.
    #[error("expected a number at {at:?}; write a duration like 300ms, 1.5h or 1h30m")]
    NoNumber {
        /// The text at the place where the number is missing.
        at: String,
    },
    /// A number has no unit.
    #[error("{number} has no unit; write one of ns, us, ms, s, m, h after it")]
    NoUnit {
        /// The number as written.
        number: String,
    },
    /// Go does not know the unit.
    #[error("unknown unit {unit:?}; the units are ns, us, ms, s, m, h")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
    },
    /// The duration is longer than about 292 years.
    #[error("longer than the longest duration, 2562047h47m16.854775807s")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> i64 {
        text.parse::<GoDuration>().unwrap_or_else(|e| panic!("{text}: {e}")).as_nanos()
    }

    #[test]
    fn what_go_accepts_means_the_same() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("300ms", 300_000_000),
            ("2us", 2_000),
            ("2\u{b5}s", 2_000),
            ("2\u{3bc}s", 2_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+5s", 5_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            ("1m1m", 120_000_000_000),
            ("3m4.5s", 184_500_000_000),
            ("0.9999999999ns", 0),
            ("0.100000000000000000000h", 360_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("2562047h47m16.854775807s", i64::MAX),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_with_its_reason() {
        use DurationError::{Empty, NoNumber, NoUnit, TooLarge, UnknownUnit};
        let unit = |unit: &str| UnknownUnit { unit: unit.to_owned() };
        for (text, error) in [
            ("", Empty),
            ("-", Empty),
            ("3", NoUnit { number: "3".to_owned() }),
            ("1.5", NoUnit { number: "1.5".to_owned() }),
            ("1d", unit("d")),
            ("5M", unit("M")),
            ("10 ms", unit(" ms")),
            ("1h 30m", unit("h ")),
            (".", NoNumber { at: ".".to_owned() }),
            ("s", NoNumber { at: "s".to_owned() }),
            ("--1s", NoNumber { at: "-1s".to_owned() }),
            ("9223372036854775808ns", TooLarge),
            ("3000000h", TooLarge),
            ("99999999999999999999s", TooLarge),
            ("2562047h47m16.854775808s", TooLarge),
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(error), "{text}");
        }
    }

    #[test]
    fn it_is_written_as_go_writes_it() {
        for (text, written) in [
            ("0", "0s"),
            ("1ns", "1ns"),
            ("1100ns", "1.1\u{b5}s"),
            ("300ms", "300ms"),
            ("2200us", "2.2ms"),
            ("5m", "5m0s"),
            ("90m", "1h30m0s"),
            ("1.5s", "1.5s"),
            ("-1.5h", "-1h30m0s"),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos: i64) {
            let span = GoDuration::from_nanos(nanos);
            prop_assert_eq!(span.to_string().parse::<GoDuration>(), Ok(span));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.a-zµ ]{0,24}") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
