//! `config.yaml.example`: every key with what is said of it and its default.

use super::listing::{Content, Entry, defaults};

/// The longest line of a comment, in characters.
const LINE_LENGTH: usize = 120;

/// The text of the file.
#[must_use]
pub fn example() -> String {
    let keys = defaults();
    let fixed: Vec<_> = keys.iter().filter(|entry| entry.key.is_fixed).map(|entry| entry.key.name).collect();
    let (last, others) = fixed.split_last().unwrap_or((&"none", &[]));
    let head = [
        "Every key of proxq's configuration with its default. Only `upstreams` is required, and of each upstream only \
         `prefix` and `url`. Unknown keys are mistakes. Only keys at the top that begin with x- are allowed: they can hold \
         YAML anchors and have no meaning to proxq. `proxq check FILE` prints what a file means.",
        "Durations: 300ms, 1.5h, 1h30m. Sizes: bytes, or with KiB, MiB, GiB, kB, MB, GB. For both, 0 means the default. \
         Values may contain environment variables: ${NAME}, ${NAME:-default}; $${ is a literal ${.",
        &format!(
            "On SIGHUP, proxq reads its file again. Only {} and {last} need a restart: proxq refuses a whole file if it \
             changes one of these.",
            others.join(", ")
        ),
    ];
    let mut lines = vec!["# yaml-language-server: $schema=config.schema.json".to_owned(), String::new()];
    let paragraphs = head.map(|paragraph| comment(paragraph, LINE_LENGTH));
    lines.extend(paragraphs.join(&"#".to_owned()));
    lines.extend(lines_of(&keys, LINE_LENGTH, Spacing::Apart));
    lines.join("\n") + "\n"
}

/// How the keys of a section stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spacing {
    /// One below the other.
    Close,
    /// The same, and the section is a comment: its keys are not comments within it.
    Commented,
    /// With an empty line before each that is a section, or of which something is said.
    Apart,
}

/// The keys of a section, each below what is said of it.
fn lines_of(entries: &[Entry], length: usize, spacing: Spacing) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in entries {
        let stands_apart = !entry.key.about.is_empty() || !matches!(entry.content, Content::Value(..));
        if spacing == Spacing::Apart && stands_apart {
            lines.push(String::new());
        }
        lines.extend(comment(entry.key.about, length));
        let is_unused_section = !entry.applies && !matches!(entry.content, Content::Value(..));
        let (margin, inside) = match spacing {
            Spacing::Commented => ("", Spacing::Commented),
            Spacing::Close | Spacing::Apart if entry.key.is_commented_out || is_unused_section => {
                ("#", Spacing::Commented)
            }
            Spacing::Close | Spacing::Apart => ("", Spacing::Close),
        };
        lines.extend(without_comment(entry, length - margin.len(), inside).iter().map(|line| indented(margin, line)));
    }
    lines
}

/// A key and what is under it; `spacing` is that of a section's keys.
fn without_comment(entry: &Entry, length: usize, spacing: Spacing) -> Vec<String> {
    let name = entry.key.name;
    let mut lines = vec![format!("{name}:")];
    match &entry.content {
        Content::Value(..) => lines[0].extend([" ", &entry.example().unwrap_or_default()]),
        Content::Section(inside) => {
            lines.extend(lines_of(inside, length - 2, spacing).iter().map(|line| indented("  ", line)));
        }
        Content::Sections(items) => {
            for (_, inside) in items {
                let spacing = if spacing == Spacing::Commented { Spacing::Commented } else { Spacing::Apart };
                let inside = lines_of(inside, length - 4, spacing);
                let begin = inside.iter().take_while(|line| line.is_empty()).count();
                let inside = &inside[begin..]; // the list begins without an empty line
                let comments = inside.iter().take_while(|line| line.starts_with('#')).count();
                for (index, line) in inside.iter().enumerate() {
                    let margin = match index {
                        _ if index < comments => "  ",
                        _ if index == comments => "  - ",
                        _ => "    ",
                    };
                    lines.push(indented(margin, line));
                }
            }
        }
    }
    lines
}

fn indented(margin: &str, line: &str) -> String {
    if line.is_empty() { String::new() } else { format!("{margin}{line}") }
}

/// A text as a comment, in as many lines as it takes.
fn comment(text: &str, length: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= length) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(format!("# {word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
