//! A string in a JSON document (RFC 8259 §7), from its opening quote on.

/// The longest string that anybody compares with: `stream_format`.
const KEPT: usize = 13;
/// What is kept of an escape that stands for no ASCII character, or for nothing at all. No string that anybody compares
/// with has it, so that it does not matter which character it is.
const ELSE: u8 = 0xFF;

/// A string while it is read. Keeps no more of it than is compared. Whatever is in it, it ends at the first quote that no
/// backslash stands before.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The first bytes, unescaped.
    start: [u8; KEPT],
    /// How long it is, unescaped.
    length: usize,
    place: Place,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Characters, an escape or the closing quote.
    #[default]
    Characters,
    /// What follows a backslash.
    Escape,
    /// Digits of a `\u` escape; `unit` holds those read before.
    Digits { missing: u8, unit: u16 },
}

impl Text {
    /// Reads on; what follows the closing quote, if it was found.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        while let Some((byte, after)) = bytes.split_first() {
            match self.place {
                Place::Characters => {
                    let (run, end) = bytes.split_at(memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len()));
                    self.keep(run);
                    let (special, after) = end.split_first()?;
                    if *special == b'"' {
                        return Some(after);
                    }
                    self.place = Place::Escape;
                    bytes = after;
                }
                Place::Escape => {
                    self.place = match byte {
                        b'u' => Place::Digits { missing: 4, unit: 0 },
                        _ => self.ends(unescaped(*byte)),
                    };
                    bytes = after;
                }
                Place::Digits { missing, unit } => match char::from(*byte).to_digit(16) {
                    Some(digit) => {
                        let unit = (unit << 4) | u16::try_from(digit).expect("a hexadecimal digit is below 16");
                        self.place = match missing {
                            1 => self.ends(u8::try_from(unit).ok().filter(u8::is_ascii)),
                            _ => Place::Digits { missing: missing - 1, unit },
                        };
                        bytes = after;
                    }
                    // The byte is none of the escape's: it may be the closing quote.
                    None => self.place = self.ends(None),
                },
            }
        }
        None
    }

    /// Whether the string, now that it has ended, reads like this.
    pub(super) fn is(&self, expected: &[u8]) -> bool {
        self.start.get(..self.length) == Some(expected)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(room) = self.start.get_mut(self.length..) {
            let kept = room.len().min(bytes.len());
            room[..kept].copy_from_slice(&bytes[..kept]);
        }
        self.length = self.length.saturating_add(bytes.len());
    }

    /// Keeps what an escape stands for.
    fn ends(&mut self, escape: Option<u8>) -> Place {
        self.keep(&[escape.unwrap_or(ELSE)]);
        Place::Characters
    }
}

/// What a backslash and this letter stand for.
fn unescaped(letter: u8) -> Option<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Some(letter),
        b'b' => Some(b'\x08'),
        b'f' => Some(b'\x0C'),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The string as far as it was kept, its length, and what follows.
    fn read(text: &[u8], size: usize) -> Option<(Vec<u8>, usize, usize)> {
        let mut string = Text::default();
        let mut before = 0;
        for piece in text.chunks(size) {
            if let Some(after) = string.read(piece) {
                let kept = string.start[..string.length.min(KEPT)].to_vec();
                return Some((kept, string.length, before + piece.len() - after.len()));
            }
            before += piece.len();
        }
        None
    }

    #[test]
    fn escapes_are_undone_wherever_they_are_cut() {
        for (text, expected) in [
            (&b"stream\""[..], &b"stream"[..]),
            (br#"str\u0065am""#, b"stream"),
            (br#"\"\\\/\b\f\n\r\t""#, b"\"\\/\x08\x0c\n\r\t"),
            (br#"\u00Df\uD83e\uDD80\u007f""#, b"\xff\xff\xff\x7f"),
            ("\u{7f}ß🦀\"".as_bytes(), "\u{7f}ß🦀".as_bytes()),
            (b"\"", b""),
        ] {
            for size in 1..=text.len() {
                let expected = Some((expected.to_owned(), expected.len(), text.len()));
                assert_eq!(read(text, size), expected, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_damaged_string_ends_at_its_quote_and_resembles_no_other() {
        for (text, expected) in [
            (&b"a\nb\0\""[..], &b"a\nb\0"[..]),
            (b"\xc3\xff\"", b"\xc3\xff"),
            (br#"\x""#, b"\xff"),
            (br#"\u12g4""#, b"\xffg4"),
            (br#"\u12""#, b"\xff"),
            (br#"\u12\n""#, b"\xff\n"),
            (br#"\u+123""#, b"\xff+123"),
            (br#"\uD800""#, b"\xff"),
            (br#"\uD800\u0041""#, b"\xffA"),
            (br#"\U0041""#, b"\xff0041"),
        ] {
            for size in 1..=text.len() {
                let expected = Some((expected.to_owned(), expected.len(), text.len()));
                assert_eq!(read(text, size), expected, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_long_string_is_only_counted() {
        assert_eq!(read(b"stream_format_x\" tail", 4), Some((b"stream_format".to_vec(), 15, 16)));
        let mut string = Text::default();
        string.keep(b"stream_format!");
        assert!(!string.is(b"stream_format"));
    }
}
