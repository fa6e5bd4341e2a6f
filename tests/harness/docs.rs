//! The project's documents as tests read them: fenced blocks by what they are and where they stand, and prose line by line.

use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file of the checkout.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its path below the checkout: `docs/http.md`.
    pub name: String,
    lines: Vec<Line>,
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The document: `docs/http.md`.
    pub file: String,
    /// The line of its fence, from 1.
    pub line: usize,
    /// The nearest heading above it.
    pub heading: String,
    /// What the fence says it is: `yaml`, `console`, …
    pub info: String,
    /// Its lines, without the indentation of the fence.
    pub text: String,
}

impl Block {
    /// Where it is, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

#[derive(Clone, Debug)]
struct Line {
    number: usize,
    text: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Prose,
    Fence { info: String, indent: usize },
    Inside { indent: usize },
}

/// The folder of the checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

impl Document {
    /// The one with this path below the checkout.
    pub fn named(name: &str) -> Self {
        let path = checkout().join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::of(name, &text)
    }

    /// Every one of the checkout, by name. What is built, installed or hidden is none of it.
    pub fn all() -> Vec<Self> {
        let mut folders = vec![checkout().to_owned()];
        let mut names = Vec::new();
        while let Some(folder) = folders.pop() {
            for path in entries(&folder) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with('.') || ["node_modules", "target"].contains(&&*name) {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "md") {
                    let below = path.strip_prefix(checkout()).expect("it was found there");
                    names.push(below.to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names.iter().map(|name| Self::named(name)).collect()
    }

    fn of(name: &str, text: &str) -> Self {
        let mut lines = Vec::new();
        let mut open: Option<usize> = None;
        for (index, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let place = match (open, line.trim_start().strip_prefix("```")) {
                (None, Some(info)) => {
                    open = Some(indent);
                    Place::Fence { info: info.trim().to_owned(), indent }
                }
                (Some(indent), Some("")) => {
                    open = None;
                    Place::Inside { indent }
                }
                (Some(indent), _) => Place::Inside { indent },
                (None, None) => Place::Prose,
            };
            lines.push(Line { number: index + 1, text: line.to_owned(), place });
        }
        assert!(open.is_none(), "{name}: a block is not closed");
        Self { name: name.to_owned(), lines }
    }

    /// The lines outside of blocks, with their numbers.
    pub fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let prose = self.lines.iter().filter(|line| line.place == Place::Prose);
        prose.map(|line| (line.number, line.text.as_str()))
    }

    /// The headings, in order.
    pub fn headings(&self) -> impl Iterator<Item = &str> {
        self.prose().filter_map(|(_, line)| heading(line))
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut above = "";
        for line in &self.lines {
            match &line.place {
                Place::Prose => above = heading(&line.text).unwrap_or(above),
                Place::Fence { info, .. } => blocks.push(Block {
                    file: self.name.clone(),
                    line: line.number,
                    heading: above.to_owned(),
                    info: info.clone(),
                    text: String::new(),
                }),
                Place::Inside { .. } if line.text.trim() == "```" => {}
                Place::Inside { indent } => {
                    let block = blocks.last_mut().expect("its fence comes before");
                    let indent = (*indent).min(line.text.len() - line.text.trim_start().len());
                    block.text.extend([&line.text[indent..], "\n"]);
                }
            }
        }
        blocks
    }

    /// The blocks of one kind below one heading.
    pub fn blocks_below(&self, heading: &str, info: &str) -> Vec<Block> {
        let below = |block: &Block| block.heading == heading && block.info == info;
        let found: Vec<_> = self.blocks().into_iter().filter(below).collect();
        assert!(!found.is_empty(), "{} has no {info} below {heading:?}", self.name);
        found
    }
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len()).then_some(text.strip_prefix(' ')?)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry of the checkout").path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_know_where_they_stand() {
        let text = "# One\na\n```yaml\nb: 1\n  c: 2\n```\n## Two\n1. d\n\n   ```sh\n   e\n   ```\n";
        let document = Document::of("x.md", text);
        let blocks = document.blocks();
        let seen: Vec<_> =
            blocks.iter().map(|block| (block.line, &block.heading[..], &block.info[..], &block.text[..])).collect();
        assert_eq!(seen, [(3, "One", "yaml", "b: 1\n  c: 2\n"), (10, "Two", "sh", "e\n")]);
        let prose: Vec<_> = document.prose().map(|(_, line)| line).collect();
        assert_eq!(prose, ["# One", "a", "## Two", "1. d", ""]);
        assert_eq!(document.headings().collect::<Vec<_>>(), ["One", "Two"]);
    }
}
