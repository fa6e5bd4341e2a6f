//! The environment file of a systemd unit (`EnvironmentFile=`): what the variables of a service are, for a command that is
//! typed beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The file beside the configuration that `packaging/proxq.service` reads.
const NAME: &str = "environment";

/// Variables of a service.
#[derive(Debug, Default)]
pub(super) struct EnvironmentFile {
    path: PathBuf,
    variables: HashMap<String, String>,
    /// Why they are not known, where the file is there and cannot be read.
    unreadable: Option<io::Error>,
}

impl EnvironmentFile {
    /// The file beside a configuration file. None is as good as an empty one.
    pub(super) fn beside(config: &Path) -> Self {
        let path = config.with_file_name(NAME);
        match fs::read_to_string(&path) {
            Ok(text) => Self { path, variables: parse(&text), unreadable: None },
            Err(error) => {
                let is_there = path.is_file();
                Self { path, variables: HashMap::new(), unreadable: Some(error).filter(|_| is_there) }
            }
        }
    }

    /// A variable.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why it is of no use, where it is there.
    pub(super) fn unreadable(&self) -> Option<&io::Error> {
        self.unreadable.as_ref()
    }
}

/// Where in a line the reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Name,
    Comment,
    /// Before a value, or between quoted parts of one.
    Gap,
    Plain,
    Single,
    Double,
}

/// The variables of a text, as systemd reads it: lines `NAME=value`, comments that begin with `#` or `;`, quotes, and `\`
/// before a character that stands for itself or before the end of a line, which is then none.
fn parse(text: &str) -> HashMap<String, String> {
    let mut variables = HashMap::new();
    let (mut name, mut value, mut at) = (String::new(), String::new(), At::Name);
    // How much of the value is more than white space at its end.
    let mut kept = 0;
    let mut characters = text.chars();
    loop {
        let next = characters.next();
        let character = next.unwrap_or('\n');
        match (at, character) {
            (At::Single | At::Double, _) if next.is_none() => break, // not closed: no value
            (At::Name, '#' | ';') if name.trim().is_empty() => at = At::Comment,
            (At::Comment, '\\') => drop(characters.next()),
            (At::Name | At::Comment, '\n') => {
                name.clear();
                at = At::Name;
            }
            (At::Gap | At::Plain, '\n') => {
                value.truncate(kept);
                variables.insert(name.trim().to_owned(), std::mem::take(&mut value));
                name.clear();
                (at, kept) = (At::Name, 0);
            }
            (At::Gap, '\'') => at = At::Single,
            (At::Gap, '"') => at = At::Double,
            (At::Name, '=') | (At::Single, '\'') | (At::Double, '"') => at = At::Gap,
            (At::Name, other) => name.push(other),
            (At::Comment, _) => {}
            (At::Gap, space) if space.is_whitespace() => {}
            (At::Gap | At::Plain, '\\') => {
                at = At::Plain;
                value.extend(characters.next().filter(|escaped| *escaped != '\n'));
                kept = value.len();
            }
            (At::Double, '\\') => {
                match characters.next() {
                    Some(escaped @ ('"' | '\\' | '`' | '$')) => value.push(escaped),
                    Some('\n') | None => {}
                    Some(other) => value.extend(['\\', other]),
                }
                kept = value.len();
            }
            (At::Gap | At::Plain, other) => {
                at = At::Plain;
                value.push(other);
                if !other.is_whitespace() {
                    kept = value.len();
                }
            }
            (At::Single | At::Double, other) => {
                value.push(other);
                kept = value.len();
            }
        }
        if next.is_none() {
            break;
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variables_are_read_as_systemd_reads_them() {
        for (text, name, value) in [
            ("A=b", "A", Some("b")),
            ("# A=x\n; A=y\n\n  A = b c \t\nB=d\n", "A", Some("b c")),
            ("A=", "A", Some("")),
            ("A='b  \"c\" \\n'\n", "A", Some("b  \"c\" \\n")),
            ("A=\"b \\\"c\\\" \\$d \\n\"", "A", Some("b \"c\" $d \\n")),
            ("A=\"b\" 'c'\n", "A", Some("bc")),
            ("A=b\\\nc\n", "A", Some("bc")),
            ("A=b\\ \n", "A", Some("b ")),
            ("A=b'c'#d\n", "A", Some("b'c'#d")),
            ("A='b\nc'\nB=d\n", "B", Some("d")),
            ("A=b=c", "A", Some("b=c")),
            ("A=1\nA=2\n", "A", Some("2")),
            ("no sign\nA=b", "A", Some("b")),
            ("# a comment \\\nA=b\nA=c", "A", Some("c")),
            ("A='b", "A", None),
            ("", "A", None),
        ] {
            assert_eq!(parse(text).get(name).map(String::as_str), value, "{text:?}");
        }
    }

    #[test]
    fn a_folder_or_no_file_has_no_variables() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.yaml");
        let none = EnvironmentFile::beside(&config);
        assert!(none.get("A").is_none() && none.unreadable().is_none());
        fs::create_dir(dir.path().join(NAME)).unwrap();
        assert!(EnvironmentFile::beside(&config).unreadable().is_none());
        fs::remove_dir(dir.path().join(NAME)).unwrap();
        fs::write(dir.path().join(NAME), b"A=\xff").unwrap();
        assert!(EnvironmentFile::beside(&config).unreadable().is_some());
        fs::write(dir.path().join(NAME), "A=b").unwrap();
        assert_eq!(EnvironmentFile::beside(&config).get("A").as_deref(), Some("b"));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_as_it_is(value in "[^']{0,20}") {
            prop_assert_eq!(parse(&format!("A='{value}'\n")).remove("A"), Some(value));
        }

        #[test]
        fn no_text_panics(text in "[A-c=\\\\'\"#; \n]{0,40}") {
            let _ = parse(&text);
        }
    }
}
