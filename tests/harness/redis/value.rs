//! An answer of Redis, read from its bytes.

use std::fmt;
use std::io::{self, BufRead};

/// An answer of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// A number.
    Number(i64),
    /// Bytes, or a simple text.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
}

impl Value {
    /// A number.
    pub fn number(&self) -> i64 {
        let Self::Number(number) = self else { panic!("not a number: {self:?}") };
        *number
    }

    /// A text.
    pub fn text(&self) -> String {
        let Self::Bytes(bytes) = self else { panic!("not a text: {self:?}") };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The texts of a list.
    pub fn texts(&self) -> Vec<String> {
        let Self::List(items) = self else { panic!("not a list: {self:?}") };
        items.iter().map(Self::text).collect()
    }
}

/// A command as it travels.
pub(super) fn command(words: &[&str]) -> String {
    let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(bulk).collect::<String>())
}

/// Reads one answer.
pub(super) fn read(from: &mut impl BufRead) -> io::Result<Value> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    let wrong = |what: &dyn fmt::Display| io::Error::other(format!("{what}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| wrong(&"no answer"))?;
    let number = || rest.parse::<i64>().map_err(|error| wrong(&error));
    match kind {
        "+" => Ok(Value::Bytes(rest.into())),
        "-" => Err(wrong(&rest)),
        ":" => Ok(Value::Number(number()?)),
        "$" => {
            let Ok(length) = usize::try_from(number()?) else { return Ok(Value::Nil) };
            let mut bytes = vec![0; length + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(Value::Bytes(bytes))
        }
        "*" => (0..number()?).map(|_| read(from)).collect::<io::Result<_>>().map(Value::List),
        _ => Err(wrong(&line)),
    }
}
