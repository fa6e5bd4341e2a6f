//! Sizes: bytes, or a number with a unit.

/// Units with their bytes: powers of 1024 with an `i`, powers of 1000 without.
const UNITS: [(&str, i64); 6] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

/// Reads `1048576`, `-1` or `256KiB` as bytes.
pub(super) fn parse(text: &str) -> Result<i64, SizeError> {
    let number_end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SizeError::NoNumber);
    }
    let factor = match unit {
        "" => 1,
        _ => UNITS
            .into_iter()
            .find_map(|(name, bytes)| (name == unit).then_some(bytes))
            .ok_or_else(|| SizeError::UnknownUnit { unit: unit.to_owned() })?,
    };
    number.parse::<i64>().ok().and_then(|count| count.checked_mul(factor)).ok_or(SizeError::TooLarge)
}

/// Writes bytes in the largest binary unit that holds them without a remainder.
pub(super) fn display(bytes: u64) -> String {
    let binary = UNITS[..3].iter().rev().filter_map(|(name, unit)| Some((name, u64::try_from(*unit).ok()?)));
    for (name, unit) in binary {
        if bytes > 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    #[error("write whole bytes, or a whole number with KiB, MiB, GiB, kB, MB or GB")]
    NoNumber,
    #[error("unknown unit {unit:?}; the units are KiB, MiB, GiB, kB, MB and GB, without a space before them")]
    UnknownUnit { unit: String },
    #[error("larger than the largest size, 8 EiB")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_and_units_are_understood() {
        for (text, bytes) in [
            ("0", 0),
            ("10485760", 10_485_760),
            ("-1", -1),
            ("256KiB", 262_144),
            ("10MiB", 10_485_760),
            ("1GiB", 1_073_741_824),
            ("5kB", 5_000),
            ("5MB", 5_000_000),
            ("-2GB", -2_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        for text in ["", "KiB", "-", "--1", "1.5MiB", "1e6", "10 MiB", "1_000", "٣KiB", "0x10"] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, SizeError::NoNumber | SizeError::UnknownUnit { .. }), "{text}: {error}");
        }
        for unit in ["KB", "kb", "mib", "M", "B", "TiB", "KiBs"] {
            assert_eq!(parse(&format!("1{unit}")), Err(SizeError::UnknownUnit { unit: unit.to_owned() }));
        }
        for text in ["9223372036854775808", "8589934592GiB", "-99999999999999999999"] {
            assert_eq!(parse(text), Err(SizeError::TooLarge), "{text}");
        }
    }

    #[test]
    fn bytes_are_written_in_round_units() {
        assert_eq!(display(10_485_760), "10MiB");
        assert_eq!(display(65_536), "64KiB");
        assert_eq!(display(1_500), "1500");
        assert_eq!(display(0), "0");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(bytes in 0..=i64::MAX, shift in 0_u32..40) {
            let bytes = bytes.unsigned_abs() >> shift << shift;
            prop_assert_eq!(parse(&display(bytes)).map(i64::unsigned_abs), Ok(bytes));
        }

        #[test]
        fn a_unit_multiplies(count in -1000_i64..1000, unit in 0..UNITS.len()) {
            let (name, bytes) = UNITS[unit];
            prop_assert_eq!(parse(&format!("{count}{name}")), Ok(count * bytes));
        }
    }
}
