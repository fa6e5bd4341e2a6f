//! The grammar of JSON's numbers (RFC 8259 §6), a byte at a time.

/// The part of a number that was read last.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Number {
    /// The number that begins with this byte, if one does.
    pub(super) fn begin(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Integer),
            _ => None,
        }
    }

    /// The number with this byte added, if it may be.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Some(Self::ExponentDigits),
            _ => None,
        }
    }

    /// Whether it is a number as it stands.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_number(text: &str) -> bool {
        let (first, rest) = text.as_bytes().split_first().unwrap();
        rest.iter().try_fold(Number::begin(*first), |n, b| Some(n?.next(*b))).flatten().is_some_and(Number::may_end)
    }

    #[test]
    fn numbers_are_what_rfc_8259_says() {
        for text in ["0", "-0", "7", "10", "-12.50", "0.0", "1e5", "1E+05", "0e-0", "9.9e99999"] {
            assert!(is_number(text), "{text}");
        }
        for text in ["-", "+1", "01", "-01", "1.", ".5", "1.e5", "1e", "1e+", "1e5.0", "1.2.3", "0x1", "1_0", "NaN"] {
            assert!(!is_number(text), "{text}");
        }
    }
}
