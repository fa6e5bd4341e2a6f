//! A scanner that looks for `stream` and `stream_format` among the members of a JSON document's outermost object.
//!
//! In: the document in pieces. Out: [`Wanted`], at the end of that object: a later member of the same name replaces an
//! earlier one. A document that breaks off says nothing.
//!
//! A valid document gives the same result as with any parser. Of an invalid one only the structure has to hold: strings
//! end at their quote, brackets open and close, commas separate the outermost members. A damaged member says nothing, and
//! the others still count. Bytes without a meaning outside strings (a byte order mark) count as white space.
//!
//! It is not a serde `Deserializer`, because that needs the whole document in memory and rejects an invalid one.

use super::Wanted;

mod text;

use text::Text;

/// Reads a JSON document.
#[derive(Debug, Default)]
pub(super) struct JsonScanner {
    place: Place,
    /// What comes after the string that is being read; `None` outside strings.
    place_after_text: Option<Place>,
    /// The string that is being read or was read last.
    text: Text,
    /// How many arrays and objects are open.
    depth: usize,
    /// The member of the outermost object that is being read.
    member: Member,
    found: Found,
}

/// What the members read so far say.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    stream: Option<bool>,
    format_is_sse: bool,
}

/// What comes next in the outermost object.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// The object itself.
    #[default]
    Start,
    /// A member's name.
    Name,
    /// The colon after a member's name.
    Colon,
    /// A member's value.
    Value,
    /// The rest of `true` or `false`.
    Literal { rest: &'static [u8], value: Value },
    /// A comma, or the end of the object.
    End(Value),
}

/// A value, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    True,
    False,
    Text,
    Other,
}

#[derive(Clone, Copy, Debug, Default)]
enum Member {
    Stream,
    StreamFormat,
    #[default]
    Other,
}

impl JsonScanner {
    /// Reads on. `None` as long as the document may still be an object, or is one that has not ended.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<Wanted> {
        while let Some((byte, after)) = bytes.split_first() {
            if self.place_after_text.is_some() {
                bytes = self.text.read(bytes)?;
                self.text_ended();
                continue;
            }
            match (self.depth, byte) {
                (0, b'{') => self.open(Place::Name),
                (0, byte) if is_space(*byte) => {}
                (0, _) => return Some(Wanted::Unsaid),
                (_, b'"') => self.begin_text(),
                (1, b'{' | b'[') => self.open(Place::End(Value::Other)),
                (_, b'{' | b'[') => self.open(self.place),
                (1, b'}' | b']') => {
                    self.member_ended();
                    return Some(self.found.wanted());
                }
                (_, b'}' | b']') => self.depth -= 1,
                (1, byte) => self.step(*byte),
                _ => {}
            }
            bytes = after;
        }
        None
    }

    /// What the members that have been read so far ask for.
    pub(super) fn wanted_so_far(&self) -> Wanted {
        let mut found = self.found;
        if let (Some(value), 1, None) = (self.place.value(), self.depth, self.place_after_text) {
            found.note(self.member, value, &self.text);
        }
        found.wanted()
    }

    /// Takes a byte of the outermost object that is outside strings and nested brackets.
    fn step(&mut self, byte: u8) {
        let ended = self.place.value().unwrap_or(Value::Other);
        self.place = match (self.place, byte) {
            (_, b',') => {
                self.member_ended();
                Place::Name
            }
            (Place::Literal { .. }, byte) if is_space(byte) => Place::End(ended),
            (place, byte) if is_space(byte) => place,
            (Place::Colon, b':') => Place::Value,
            (Place::Value, b't') => Place::Literal { rest: b"rue", value: Value::True },
            (Place::Value, b'f') => Place::Literal { rest: b"alse", value: Value::False },
            (Place::Literal { rest: [next, rest @ ..], value }, byte) if *next == byte => {
                Place::Literal { rest, value }
            }
            _ => Place::End(Value::Other),
        };
    }

    fn begin_text(&mut self) {
        self.place_after_text = Some(match self.place {
            place if self.depth > 1 => place,
            Place::Name => Place::Colon,
            Place::Value => Place::End(Value::Text),
            Place::Start | Place::Colon | Place::Literal { .. } | Place::End(_) => Place::End(Value::Other),
        });
        self.text = Text::default();
    }

    fn text_ended(&mut self) {
        self.place = self.place_after_text.take().unwrap_or_default();
        if self.depth == 1 && matches!(self.place, Place::Colon) {
            self.member = if self.text.is(b"stream") {
                Member::Stream
            } else if self.text.is(b"stream_format") {
                Member::StreamFormat
            } else {
                Member::Other
            };
        }
    }

    fn open(&mut self, place: Place) {
        self.depth += 1;
        self.place = place;
    }

    fn member_ended(&mut self) {
        let member = std::mem::take(&mut self.member);
        self.found.note(member, self.place.value().unwrap_or(Value::Other), &self.text);
    }
}

impl Place {
    /// The value that has been read, if one has.
    fn value(self) -> Option<Value> {
        match self {
            Self::Literal { rest: [], value } | Self::End(value) => Some(value),
            Self::Start | Self::Name | Self::Colon | Self::Value | Self::Literal { .. } => None,
        }
    }
}

impl Found {
    /// Notes the value of a member; `text` is the last string that was read.
    fn note(&mut self, member: Member, value: Value, text: &Text) {
        match member {
            Member::Stream => {
                self.stream = match value {
                    Value::True => Some(true),
                    Value::False => Some(false),
                    Value::Text | Value::Other => None,
                };
            }
            Member::StreamFormat => self.format_is_sse = value == Value::Text && text.is(b"sse"),
            Member::Other => {}
        }
    }

    fn wanted(self) -> Wanted {
        match self.stream {
            Some(true) => Wanted::Stream,
            _ if self.format_is_sse => Wanted::Stream,
            Some(false) => Wanted::Whole,
            None => Wanted::Unsaid,
        }
    }
}

/// Whether a byte outside strings is white space, or means nothing there.
fn is_space(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7F
}
