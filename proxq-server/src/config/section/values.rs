//! The values that keys may have: texts, choices, durations, sizes, counts, switches.

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use proxq_protocol::GoDuration;

use super::{At, Section, Written, shown_at};
use crate::config::raw::{Entry, Kind, Node, Scalar};
use crate::config::{HeaderPattern, size, suggest};

impl Section<'_> {
    /// A text; `None` if there is none, or an empty one.
    pub(in crate::config) fn text(&mut self, key: &'static str) -> Option<Written<String>> {
        self.text_of(key)
    }

    fn text_of(&mut self, key: &'static str) -> Option<Written<String>> {
        let (scalar, at) = self.scalar(key, "a text")?;
        (!scalar.text.is_empty()).then_some(Written { value: scalar.text, at })
    }

    /// A text that must be there.
    pub(in crate::config) fn required_text(&mut self, key: &'static str) -> Option<Written<String>> {
        if !self.has(key) {
            self.entry(key);
            self.reading.note(&self.at_of(key), "is required");
            return None;
        }
        let (scalar, at) = self.scalar(key, "a text")?;
        if scalar.text.is_empty() {
            self.reading.note(&at, "is required, but empty");
            return None;
        }
        Some(Written { value: scalar.text, at })
    }

    /// The texts of a list; `None` if there is no list.
    pub(in crate::config) fn texts(&mut self, key: &'static str) -> Option<Vec<Written<String>>> {
        let items = self.items(key)?;
        let text = |(node, at): (&Node, At)| {
            let scalar = self.scalar_of(node, &at, "a text")?;
            Some(Written { value: scalar.text, at })
        };
        Some(items.into_iter().filter_map(text).collect())
    }

    /// The texts of a mapping whose keys may be any, each with its key and the place of the key; none where there is no mapping.
    pub(in crate::config) fn text_map(&mut self, key: &'static str) -> Vec<(String, Written<String>)> {
        let section = self.section_under(key);
        let text = |entry: &Entry| {
            let at = section.at_key(entry);
            let scalar = section.scalar_of(&entry.value, &at, "a text")?;
            Some((entry.key.clone(), Written { value: scalar.text, at }))
        };
        section.entries.iter().filter_map(text).collect()
    }

    /// The names in a list of headers; none where there is no list.
    pub(in crate::config) fn header_names(&mut self, key: &'static str) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for Written { value, at } in self.texts(key).unwrap_or_default() {
            match HeaderName::from_bytes(value.as_bytes()) {
                Ok(name) => names.push(name),
                Err(_) => self.reading.note(&at, format!("{} is not the name of a header", shown_at(&at, &value))),
            }
        }
        names
    }

    /// The header names in a list, and beginnings of such (`x-name-*`); none where there is no list.
    pub(in crate::config) fn header_patterns(&mut self, key: &'static str) -> Vec<HeaderPattern> {
        let texts = self.texts(key).unwrap_or_default();
        texts.into_iter().filter_map(|text| Some(self.check(text, HeaderPattern::new)?.value)).collect()
    }

    /// A text that `check` turns into a value; `None` if there is none or it is wrong.
    pub(in crate::config) fn parsed<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Written<T>> {
        let written = self.text(key)?;
        self.check(written, check)
    }

    /// The value that `check` makes of a text; `None` if it is wrong.
    pub(in crate::config) fn check<T, E: fmt::Display>(
        &self,
        written: Written<String>,
        check: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Written<T>> {
        match check(&written.value) {
            Ok(value) => Some(Written { value, at: written.at }),
            Err(error) => {
                self.reading.note(&written.at, format!("{} {error}", shown_at(&written.at, &written.value)));
                None
            }
        }
    }

    /// One of a few words.
    pub(in crate::config) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<Written<T>> {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let written = self.text_of(key)?;
        self.check(written, |word| {
            let chosen = choices.iter().find_map(|(name, value)| (*name == word).then_some(*value));
            chosen
                .ok_or_else(|| format!("is none of {}{}", names.join(", "), did_you_mean(word, names.iter().copied())))
        })
    }

    /// `true` or `false`, which stand for `on` and for `off`, or one of a few words.
    pub(in crate::config) fn boolean_or<T: Copy>(
        &mut self,
        key: &'static str,
        [off, on]: [T; 2],
        choices: &[(&'static str, T)],
    ) -> Option<Written<T>> {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let expected = format!("true, false, {}", names.join(", "));
        let (scalar, at) = self.scalar(key, &expected)?;
        if let Kind::Bool(value) = scalar.kind {
            return Some(Written { value: if value { on } else { off }, at });
        }
        if scalar.text.is_empty() {
            return None;
        }
        self.check(Written { value: scalar.text, at }, |word| {
            let chosen = choices.iter().find_map(|(name, value)| (*name == word).then_some(*value));
            chosen.ok_or_else(|| format!("is none of {expected}{}", did_you_mean(word, names.iter().copied())))
        })
    }

    /// A duration; 0 is the default.
    pub(in crate::config) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        let Some((scalar, at)) = self.scalar(key, "a duration such as 30s") else { return default };
        let problem = match scalar.text.parse::<GoDuration>().map(GoDuration::to_std) {
            Ok(Some(Duration::ZERO)) => return default,
            Ok(Some(duration)) => return duration,
            Ok(None) => "must not be negative".to_owned(),
            Err(error) => format!("is not a duration: {error}"),
        };
        self.reading.note(&at, format!("{} {problem}", shown_at(&at, &scalar.text)));
        default
    }

    /// A duration within bounds, both allowed; 0 is the default.
    pub(in crate::config) fn duration_within(
        &mut self,
        key: &'static str,
        default: Duration,
        [least, most]: [Duration; 2],
    ) -> Duration {
        let duration = self.duration(key, default);
        if (least..=most).contains(&duration) {
            return duration;
        }
        let at = self.at_of(key);
        let [duration, least, most] = [duration, least, most].map(GoDuration::from);
        self.reading.note(&at, format!("{duration} must be at least {least} and at most {most}"));
        default
    }

    /// A size in bytes; 0 is the default.
    pub(in crate::config) fn size(&mut self, key: &'static str, default: u64) -> u64 {
        let Some(Written { value, at }) = self.size_of(key) else { return default };
        match u64::try_from(value) {
            Ok(0) => default,
            Ok(bytes) => bytes,
            Err(_) => {
                self.reading.note(&at, format!("{value} must not be negative"));
                default
            }
        }
    }

    /// A size in bytes as it is written, 0 and negative ones included.
    pub(in crate::config) fn signed_size(&mut self, key: &'static str) -> Option<Written<i64>> {
        self.size_of(key)
    }

    fn size_of(&mut self, key: &'static str) -> Option<Written<i64>> {
        let (scalar, at) = self.scalar(key, "a size such as 10485760 or 10MiB")?;
        let read = match scalar.kind {
            Kind::Integer(bytes) => i64::try_from(bytes).map_err(|_| size::SizeError::TooLarge),
            Kind::Text | Kind::Bool(_) | Kind::Fraction => size::parse(&scalar.text),
        };
        read.map(|value| Written { value, at: at.clone() })
            .map_err(|error| self.reading.note(&at, format!("{} is not a size: {error}", shown_at(&at, &scalar.text))))
            .ok()
    }

    /// A whole number, `least` or more.
    pub(in crate::config) fn count(&mut self, key: &'static str, least: u32) -> Option<Written<u32>> {
        let (scalar, at) = self.scalar(key, "a whole number")?;
        let number = self.whole_number(&scalar, &at)?;
        let count = u32::try_from(number).ok().filter(|count| *count >= least);
        if count.is_none() {
            let problem = match number {
                ..0 => "must not be negative".to_owned(),
                _ if number < i128::from(least) => format!("must be at least {least}"),
                _ => format!("must be at most {}", u32::MAX),
            };
            self.reading.note(&at, format!("{number} {problem}"));
        }
        count.map(|value| Written { value, at })
    }

    /// The whole numbers of a list, within bounds, both allowed; none where there is no list.
    pub(in crate::config) fn numbers(&mut self, key: &'static str, [least, most]: [u16; 2]) -> Vec<u16> {
        let mut numbers = Vec::new();
        for (node, at) in self.items(key).unwrap_or_default() {
            let scalar = self.scalar_of(node, &at, "a whole number");
            let Some(number) = scalar.and_then(|scalar| self.whole_number(&scalar, &at)) else { continue };
            match u16::try_from(number) {
                Ok(within) if (least..=most).contains(&within) => numbers.push(within),
                _ => self.reading.note(&at, format!("{number} must be at least {least} and at most {most}")),
            }
        }
        numbers
    }

    fn whole_number(&self, scalar: &Scalar, at: &At) -> Option<i128> {
        if let Kind::Integer(number) = scalar.kind {
            return Some(number);
        }
        self.reading.note(at, format!("expected a whole number, found {}", scalar.describe(at)));
        None
    }

    /// A number above 0, at most 1.
    pub(in crate::config) fn fraction(&mut self, key: &'static str) -> Option<f64> {
        let (scalar, at) = self.scalar(key, "a number such as 0.5")?;
        let number = match scalar.kind {
            Kind::Integer(1) => Some(1.0), // as 0x1, too
            Kind::Integer(_) | Kind::Fraction => scalar.text.parse().ok(),
            Kind::Text | Kind::Bool(_) => {
                self.reading.note(&at, format!("expected a number such as 0.5, found {}", scalar.describe(&at)));
                return None;
            }
        };
        let fraction = number.filter(|number| *number > 0.0 && *number <= 1.0);
        if fraction.is_none() {
            self.reading.note(&at, format!("{} must be above 0 and at most 1", scalar.text));
        }
        fraction
    }

    /// `true` or `false`.
    pub(in crate::config) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some((scalar, at)) = self.scalar(key, "true or false") else { return default };
        if let Kind::Bool(value) = scalar.kind {
            return value;
        }
        self.reading.note(&at, format!("expected true or false, found {}", scalar.describe(&at)));
        default
    }
}

/// `; did you mean "…"?`, where something near is known.
fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    suggest::nearest(written, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
