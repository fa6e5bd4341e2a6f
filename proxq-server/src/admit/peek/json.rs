//! Looks for `stream` and `stream_format` among the members of a JSON document's outermost object.
//!
//! In: the document in pieces. Out: [`Wanted`]. As a later member of the same name replaces an earlier one, and a
//! document that breaks off says nothing, the answer is known at the end; that there is nothing to find, at the first
//! mistake. Exactly what RFC 8259 allows is valid, whatever a number's size.

use super::Wanted;

mod nesting;
mod number;
mod text;
mod utf8;

use nesting::{Container, Nesting};
use number::Number;
use text::Text;
use utf8::Utf8;

/// The document is not JSON, or no object.
#[derive(Debug)]
struct Unusable;

/// Reads a JSON document.
#[derive(Debug, Default)]
pub(super) struct JsonScanner {
    encoding: Utf8,
    place: Place,
    nesting: Nesting,
    /// The string that is being read or was read last.
    text: Text,
    /// The member of the outermost object that is being read.
    member: Member,
    stream_is_true: bool,
    format_is_sse: bool,
}

/// What may come next.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// The document.
    #[default]
    Start,
    /// A member's name, or the end of an object without any.
    FirstName,
    /// A member's name.
    Name,
    /// The rest of a string.
    Text(Role),
    /// The colon after a member's name.
    Colon,
    /// An element, or the end of an array without any.
    FirstElement,
    /// A value.
    Value,
    /// The rest of `true`, `false` or `null`.
    Literal { rest: &'static [u8], value: Value },
    /// The rest of a number.
    Number(Number),
    /// A comma, or the end of the container.
    Comma,
    /// White space.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Name,
    Value,
}

/// A value, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    True,
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
    /// Reads on. `None` as long as the document may still be an object.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Wanted> {
        // Outside strings only ASCII is allowed anyway, so that the encoding can be checked at one go.
        let read = self.encoding.check(bytes).and_then(|()| self.read(bytes));
        read.err().map(|Unusable| Wanted::Whole)
    }

    /// What the document asks for, now that it is complete.
    pub(super) fn finish(&self) -> Wanted {
        match self.place {
            Place::End => self.wanted_so_far(),
            Place::Start
            | Place::FirstName
            | Place::Name
            | Place::Text(_)
            | Place::Colon
            | Place::FirstElement
            | Place::Value
            | Place::Literal { .. }
            | Place::Number(_)
            | Place::Comma => Wanted::Whole,
        }
    }

    /// What the members that have been read ask for.
    pub(super) fn wanted_so_far(&self) -> Wanted {
        if self.stream_is_true || self.format_is_sse { Wanted::Stream } else { Wanted::Whole }
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Unusable> {
        while let Some((byte, after)) = bytes.split_first() {
            let Place::Text(role) = self.place else {
                self.step(self.place, *byte)?;
                bytes = after;
                continue;
            };
            let Some(after) = self.text.read(bytes)? else { break };
            self.text_ended(role);
            bytes = after;
        }
        Ok(())
    }

    /// Takes a byte outside a string.
    fn step(&mut self, place: Place, byte: u8) -> Result<(), Unusable> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match (place, byte) {
            (Place::Literal { rest, value }, _) => match rest.split_first() {
                Some((next, [])) if *next == byte => self.value_ended(value),
                Some((next, rest)) if *next == byte => self.place = Place::Literal { rest, value },
                _ => return Err(Unusable),
            },
            (Place::Number(number), _) => match number.next(byte) {
                Some(longer) => self.place = Place::Number(longer),
                None if number.may_end() => {
                    self.value_ended(Value::Other);
                    return self.step(self.place, byte);
                }
                None => return Err(Unusable),
            },
            _ if is_space => {}
            (Place::Start | Place::FirstElement | Place::Value, b'{') => self.open(Container::Object)?,
            (Place::FirstElement | Place::Value, b'[') => self.open(Container::Array)?,
            (Place::FirstElement, b']') | (Place::FirstName, b'}') => self.close(),
            (Place::FirstElement | Place::Value, _) => self.place = self.begin_scalar(byte)?,
            (Place::FirstName | Place::Name, b'"') => self.place = self.begin_text(Role::Name),
            (Place::Colon, b':') => self.place = Place::Value,
            (Place::Comma, _) => match (self.nesting.innermost(), byte) {
                (Some(Container::Object), b',') => self.place = Place::Name,
                (Some(Container::Array), b',') => self.place = Place::Value,
                (Some(Container::Object), b'}') | (Some(Container::Array), b']') => self.close(),
                _ => return Err(Unusable),
            },
            _ => return Err(Unusable),
        }
        Ok(())
    }

    fn begin_scalar(&mut self, byte: u8) -> Result<Place, Unusable> {
        Ok(match byte {
            b'"' => self.begin_text(Role::Value),
            b't' => Place::Literal { rest: b"rue", value: Value::True },
            b'f' => Place::Literal { rest: b"alse", value: Value::Other },
            b'n' => Place::Literal { rest: b"ull", value: Value::Other },
            _ => Place::Number(Number::begin(byte).ok_or(Unusable)?),
        })
    }

    fn begin_text(&mut self, role: Role) -> Place {
        self.text = Text::default();
        Place::Text(role)
    }

    fn text_ended(&mut self, role: Role) {
        match role {
            Role::Value => self.value_ended(Value::Text),
            Role::Name => {
                if self.nesting.depth() == 1 {
                    self.member = if self.text.is(b"stream") {
                        Member::Stream
                    } else if self.text.is(b"stream_format") {
                        Member::StreamFormat
                    } else {
                        Member::Other
                    };
                }
                self.place = Place::Colon;
            }
        }
    }

    fn open(&mut self, container: Container) -> Result<(), Unusable> {
        self.nesting.open(container).ok_or(Unusable)?;
        self.place = match container {
            Container::Object => Place::FirstName,
            Container::Array => Place::FirstElement,
        };
        Ok(())
    }

    fn close(&mut self) {
        self.nesting.close();
        self.value_ended(Value::Other);
    }

    fn value_ended(&mut self, value: Value) {
        self.place = if self.nesting.depth() == 0 { Place::End } else { Place::Comma };
        if self.nesting.depth() == 1 {
            match self.member {
                Member::Stream => self.stream_is_true = value == Value::True,
                Member::StreamFormat => self.format_is_sse = value == Value::Text && self.text.is(b"sse"),
                Member::Other => {}
            }
        }
    }
}
