//! From RE2's notation, as Go's `regexp` reads it, to that of the crate `regex`.
//!
//! What both read alike is passed on, mistakes included, for the crate to name. Sources: RE2's page "Syntax", and what
//! Go's package `regexp/syntax` says of the same.

use std::iter::Peekable;
use std::str::CharIndices;

/// The classes that `[[:name:]]` knows.
const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Translates a pattern. What is wrong with it may also be left to the crate.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translation = Translation { text: pattern, rest: pattern.char_indices().peekable(), done: String::new() };
    while let Some(character) = translation.next() {
        match character {
            '\\' => translation.escape()?,
            '[' => translation.class()?,
            '(' => translation.group()?,
            '{' if !repeats(translation.remaining()) => translation.done += r"\{",
            other => translation.done.push(other),
        }
    }
    Ok(translation.done)
}

struct Translation<'p> {
    text: &'p str,
    rest: Peekable<CharIndices<'p>>,
    done: String,
}

impl<'p> Translation<'p> {
    fn next(&mut self) -> Option<char> {
        self.rest.next().map(|(_, character)| character)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, character)| *character)
    }

    fn remaining(&mut self) -> &'p str {
        self.rest.peek().map_or("", |(at, _)| &self.text[*at..])
    }

    /// Goes on behind `text`, with which what remains begins.
    fn skip(&mut self, text: &str) {
        for _ in text.chars() {
            self.next();
        }
    }

    /// What follows a `\` outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        let remaining = self.remaining();
        match self.peek() {
            None => return Err(r"\ at the end escapes nothing".to_owned()),
            Some('Q') => {
                let quoted = remaining[1..].split_once(r"\E").map_or(&remaining[1..], |(quoted, _)| quoted);
                self.done += &regex::escape(quoted);
                self.skip("Q");
                self.skip(quoted);
                self.skip(r"\E"); // or what there is of it: nothing at the end
            }
            Some('C') => {
                return Err(
                    r"\C is not supported: patterns see characters; write . with the flag s, as in (?s:.)".to_owned()
                );
            }
            // In a group, so that a { behind it is no part of the boundary's name.
            Some(boundary @ ('b' | 'B')) => {
                self.next();
                self.done += r"(?-u:\";
                self.done.extend([boundary, ')']);
            }
            Some(other) => {
                if self.shorthand()? {
                    return Ok(());
                }
                if let Some(character) = self.escaped_character()? {
                    self.done += &regex::escape(character.encode_utf8(&mut [0; 4]));
                } else {
                    self.next();
                    self.done.extend(['\\', other]);
                }
            }
        }
        Ok(())
    }

    /// A class without brackets: `\d`, `\pL`. Of Perl's classes, those of ASCII.
    fn shorthand(&mut self) -> Result<bool, String> {
        let Some(letter) = self.peek() else { return Ok(false) };
        let is_negated = letter.is_ascii_uppercase();
        let members = match letter.to_ascii_lowercase() {
            'd' => "0-9",
            's' => r"\t\n\x0C\r\x20",
            'w' => "0-9A-Z_a-z",
            'p' => {
                self.next();
                self.property(is_negated)?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.next();
        self.done.extend([if is_negated { "[^" } else { "[" }, members, "]"]);
        Ok(true)
    }

    /// `L`, `{Greek}` or `{^Greek}` behind `\p`, or behind `\P` where it is negated.
    fn property(&mut self, is_negated: bool) -> Result<(), String> {
        let mut is_negated = is_negated;
        let name = if self.peek() == Some('{') {
            let remaining = self.remaining();
            let (in_braces, _) = remaining[1..].split_once('}').ok_or(r"\p{ is not closed by }")?;
            self.skip("{");
            self.skip(in_braces);
            self.skip("}");
            is_negated ^= in_braces.starts_with('^');
            in_braces.strip_prefix('^').unwrap_or(in_braces).to_owned()
        } else {
            self.next().map_or_else(String::new, String::from)
        };
        self.done.extend([if is_negated { r"\P{" } else { r"\p{" }, &name, "}"]);
        Ok(())
    }

    /// The character that an escape stands for; none, and nothing is read, where it stands for something else.
    fn escaped_character(&mut self) -> Result<Option<char>, String> {
        let Some(first) = self.peek() else { return Err(r"\ at the end escapes nothing".to_owned()) };
        let digits = self.remaining().chars().take(3).take_while(|digit| ('0'..='7').contains(digit)).count();
        let character = match first {
            'x' => return self.hexadecimal().map(Some),
            // One digit alone is a back-reference, which RE2 has not.
            '0' => return self.number(digits, 8).map(Some),
            '1'..='7' if digits > 1 => return self.number(digits, 8).map(Some),
            'a' => '\x07',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0B',
            _ if first.is_ascii() && !first.is_ascii_alphanumeric() => first,
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(character))
    }

    /// `x41` or `x{1F600}`.
    fn hexadecimal(&mut self) -> Result<char, String> {
        self.skip("x");
        let Some((in_braces, _)) = self.remaining().strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return self.number(2, 16);
        };
        let length = in_braces.chars().count();
        self.skip("{");
        let character = self.number(length, 16)?;
        self.skip("}");
        Ok(character)
    }

    /// The character with the number that the next `length` digits make.
    fn number(&mut self, length: usize, radix: u32) -> Result<char, String> {
        let digits: String = self.remaining().chars().take(length).collect();
        let is_number = digits.chars().count() == length && digits.chars().all(|digit| digit.is_digit(radix));
        let number = u32::from_str_radix(&digits, radix).ok().filter(|_| is_number);
        let character = number.and_then(char::from_u32);
        self.skip(&digits);
        character.ok_or_else(|| format!("{digits:?} is not the number of a character"))
    }

    /// What follows a `(`: of a group with a name, the name is left out; nobody asks for it.
    fn group(&mut self) -> Result<(), String> {
        let remaining = self.remaining();
        self.done.push('(');
        let Some(head) = remaining.strip_prefix('?') else { return Ok(()) };
        let name = head.strip_prefix("P<").or_else(|| head.strip_prefix('<')).and_then(|rest| rest.split_once('>'));
        if let Some((name, behind)) = name
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            self.skip(&remaining[..remaining.len() - behind.len()]);
            self.done += "?:";
            return Ok(());
        }
        // The crate has more flags, one of which changes how all the rest is read.
        let flags = head.split([':', ')']).next().unwrap_or_default();
        match flags.chars().find(|flag| flag.is_ascii_lowercase() && !"ims".contains(*flag) || *flag == 'R') {
            Some(other) if flags.chars().all(|flag| flag.is_ascii_alphabetic() || flag == '-') => {
                Err(format!("the flags are i, m, s and U; {other} is none of them"))
            }
            _ => Ok(()),
        }
    }

    /// What follows a `[`, to its `]`. In Go's classes there are neither classes within nor operators such as `&&`.
    fn class(&mut self) -> Result<(), String> {
        self.done.push('[');
        if self.peek() == Some('^') {
            self.next();
            self.done.push('^');
        }
        let mut is_first = true;
        while self.peek() != Some(']') || is_first {
            is_first = false;
            self.member()?;
        }
        self.next();
        self.done.push(']');
        Ok(())
    }

    /// One member of a class: a class with a name, a range or a character.
    fn member(&mut self) -> Result<(), String> {
        let remaining = self.remaining();
        if let Some((name, _)) = remaining.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
            let bare = name.strip_prefix('^').unwrap_or(name);
            if !NAMED.contains(&bare) {
                let (last, others) = NAMED.split_last().expect("there are some");
                return Err(format!("[:{name}:] is not a class; these are {} and {last}", others.join(", ")));
            }
            self.done.extend(["[:", name, ":]"]);
            self.skip(&remaining[..name.len() + 4]);
            return Ok(());
        }
        if remaining.starts_with('\\') && remaining[1..].starts_with(['d', 'D', 's', 'S', 'w', 'W', 'p', 'P']) {
            self.next();
            self.shorthand()?;
            return Ok(());
        }
        let first = self.character()?;
        let behind = self.remaining();
        if !behind.starts_with('-') || behind[1..].starts_with(']') || behind.len() == 1 {
            self.done += &code(first);
            return Ok(());
        }
        self.next();
        let last = self.character()?;
        if last < first {
            let (from, to) = (first.escape_default(), last.escape_default());
            return Err(format!("{from}-{to} is not a range: its end comes before its beginning"));
        }
        self.done.extend([code(first).as_str(), "-", &code(last)]);
        Ok(())
    }

    /// A character of a class, perhaps escaped.
    fn character(&mut self) -> Result<char, String> {
        let character = self.next().ok_or("[ is not closed by ]")?;
        if character != '\\' {
            return Ok(character);
        }
        let escape = self.peek();
        self.escaped_character()?.ok_or_else(|| {
            let escape = escape.map_or_else(String::new, String::from);
            format!(r"\{escape} is not supported inside [ ]")
        })
    }
}

/// A character as a class of the crate has it, whatever it means there.
fn code(character: char) -> String {
    format!(r"\x{{{:X}}}", u32::from(character))
}

/// Whether a text goes on as a repetition behind its `{`: `3}`, `3,}` or `3,5}`. Else the `{` stands for itself.
fn repeats(behind: &str) -> bool {
    let is_number = |text: &str| {
        text == "0" || !text.starts_with('0') && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let Some((inside, _)) = behind.split_once('}') else { return false };
    match inside.split_once(',') {
        None => is_number(inside),
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
    }
}
