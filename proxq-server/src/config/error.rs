//! What is wrong with a configuration, told so that it can be put right: where, what, and what was expected.

use std::fmt;

use super::hiding::{hide_at, hide_below_tokens, hide_secrets};

/// Where something stands in a text, from 1; `width` in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) width: usize,
}

/// Everything that is wrong with a configuration: at least one mistake, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    mistakes: Vec<Mistake>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `config.yaml:7:15`, or `config.yaml` where no place is known, or empty.
    position: String,
    /// `upstreams[1].prefix`, `--listen`, or empty.
    path: String,
    message: String,
    /// The line and a caret under what is wrong in it.
    snippet: Option<String>,
}

impl ConfigErrors {
    /// A mistake in no text: a flag's, or the lack of a file. `path` may be empty.
    pub(crate) fn single(path: &str, message: impl Into<String>) -> Self {
        let mistake =
            Mistake { position: String::new(), path: path.to_owned(), message: message.into(), snippet: None };
        Self { mistakes: vec![mistake] }
    }

    /// The same, and a mistake that is in no text.
    pub(crate) fn and(mut self, path: &str, message: impl Into<String>) -> Self {
        self.mistakes.extend(Self::single(path, message).mistakes);
        self
    }

    /// Mistakes in a text. `found` must not be empty.
    pub(super) fn in_text(source_name: &str, text: &str, mut found: Vec<Found>) -> Self {
        found.sort_by_key(|mistake| mistake.place);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        hide_below_tokens(&mut lines);
        for Found { place, path, .. } in &found {
            let Some(Place { line, column, width }) = *place else { continue };
            if let Some(line) = line.checked_sub(1).and_then(|index| lines.get_mut(index)) {
                hide_at(path, column, width, line);
            }
        }
        let mistakes = found.into_iter().map(|mistake| mistake.located(source_name, &lines)).collect();
        Self { mistakes }
    }

    /// The mistakes.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl Mistake {
    /// The key, as `upstreams[1].prefix`, or the flag; empty where it is neither's mistake.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong, and what was expected.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for head in [&self.position, &self.path] {
            if !head.is_empty() {
                write!(f, "{head}: ")?;
            }
        }
        f.write_str(&self.message)?;
        self.snippet.as_ref().map_or(Ok(()), |snippet| write!(f, "\n{snippet}"))
    }
}

/// A mistake as it is found, before the text is at hand to show.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: Option<Place>,
    pub(super) path: String,
    pub(super) message: String,
}

impl Found {
    fn located(self, source_name: &str, lines: &[String]) -> Mistake {
        let position = match self.place {
            Some(Place { line, column, .. }) => format!("{source_name}:{line}:{column}"),
            None => source_name.to_owned(),
        };
        let snippet = self.place.and_then(|place| snippet(lines, place));
        Mistake { position, path: self.path, message: self.message, snippet }
    }
}

/// The line, and a caret under the place. `None` for an empty line.
fn snippet(lines: &[String], place: Place) -> Option<String> {
    /// As much of a line as fits beside its number on a usual screen.
    const SHOWN: usize = 110;
    let line = hide_secrets(lines.get(place.line.checked_sub(1)?)?);
    let before = place.column.saturating_sub(1);
    let cut = if before < SHOWN { 0 } else { before - SHOWN / 2 };
    let shown: String = line.chars().skip(cut).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let shown = shown.trim_end();
    if shown.is_empty() {
        return None;
    }
    let indent = (before - cut).min(shown.chars().count());
    let width = place.width.clamp(1, (shown.chars().count() - indent).max(1));
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let (indent, caret) = (" ".repeat(indent), "^".repeat(width));
    Some(format!("{margin} |\n{number} | {shown}\n{margin} | {indent}{caret}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mistake_shows_where_it_is() {
        let found = |line, column, width, message: &str| Found {
            place: Some(Place { line, column, width }),
            path: "b.c".to_owned(),
            message: message.to_owned(),
        };
        let errors = ConfigErrors::in_text(
            "config.yaml",
            "a: 1\nb:\n  c: nonsense # why\n",
            vec![found(3, 6, 8, "must not be so"), found(1, 4, 1, "is first")],
        );
        assert_eq!(
            errors.to_string(),
            "config.yaml:1:4: b.c: is first\n  |\n1 | a: 1\n  |    ^\n\
             config.yaml:3:6: b.c: must not be so\n  |\n3 |   c: nonsense # why\n  |      ^^^^^^^^"
        );
        assert_eq!(ConfigErrors::single("--listen", "is wrong").to_string(), "--listen: is wrong");
    }

    #[test]
    fn a_url_without_a_scheme_is_hidden_in_every_mistake_of_its_line() {
        let text = "upstreams: [{prefix: x, url: me:secret@host/x?key=1}]";
        let found = |path: &str, column, width| Found {
            place: Some(Place { line: 1, column, width }),
            path: path.to_owned(),
            message: "is wrong".to_owned(),
        };
        let found = vec![found("upstreams[0].prefix", 22, 1), found("upstreams[0].url", 30, 22)];
        let errors = ConfigErrors::in_text("c", text, found).to_string();
        assert_eq!(errors.matches("url: *********@host/x?*****}]").count(), 2, "{errors}");
    }

    proptest! {
        #[test]
        fn no_place_panics(text in "(.|\n){0,200}", line in 0_usize..9, column: usize, width: usize) {
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            let place = Place { line, column, width };
            let _ = snippet(&lines, place);
        }
    }
}
