//! Where output goes: a terminal with a size, or elsewhere.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

use super::error::CommandError;

/// The size of a terminal that does not say its own.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// The size of the terminal that a stream leads to; `None` if it leads to none.
pub(super) fn size(stream: &(impl AsFd + IsTerminal)) -> Option<Size> {
    if !stream.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(stream).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    Some(size.map_or(USUAL, |size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() }))
}

/// Prints to standard output.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        // Whoever has closed it wants no more of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|source| CommandError::Write { what: "standard output".to_owned(), source }),
    }
}

/// Prints a line to standard error, if it can be written to.
pub(super) fn complain(line: &str) {
    let _closed = writeln!(io::stderr(), "{line}");
}

/// The beginning of a text, up to so many characters.
pub(super) fn cut(text: &str, columns: usize) -> &str {
    text.char_indices().nth(columns).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((cut("größe", 3), cut("größe", 5), cut("größe", 9), cut("", 0)), ("grö", "größe", "größe", ""));
    }
}
