//! What keys may be, as the readers of sections ask for them: reading a text leaves behind the form of every key that
//! can be read, whether it is written or not.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// What the value of a key may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Any single value, taken as a text.
    Text,
    /// The same, and it must be there.
    RequiredText,
    /// One of a few words.
    Choice(Vec<&'static str>),
    /// `true` or `false`.
    Boolean,
    /// A whole number that is not below this.
    Count(u32),
    /// A duration as Go writes it.
    Duration,
    /// Bytes, or a number with a unit.
    Size,
    /// The same, below 0 as well.
    SignedSize,
    /// A list of texts.
    Texts,
    /// A mapping with keys of its own.
    Section,
    /// A list of mappings, one at least.
    Sections,
}

/// A key that can be read, and its form.
pub(super) type Key = (&'static str, Form);

/// The keys of every section by the path of the section, in the order in which they are read. The path of the whole text
/// is empty; of lists, all items have the same, as in `upstreams[]`.
#[derive(Debug, Default)]
pub(super) struct Forms {
    sections: RefCell<BTreeMap<String, Vec<Key>>>,
}

impl Forms {
    /// Notes the keys of the section at a path such as `upstreams[3].tls`.
    pub(super) fn note(&self, path: &str, keys: Vec<Key>) {
        self.sections.borrow_mut().insert(of_any_item(path), keys);
    }

    pub(super) fn into_sections(self) -> BTreeMap<String, Vec<Key>> {
        self.sections.into_inner()
    }
}

fn of_any_item(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|&character| {
            inside = character == '[' || inside && character != ']';
            !inside || character == '['
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_list_share_a_path() {
        for (path, shared) in [
            ("", ""),
            ("redis.tls", "redis.tls"),
            ("upstreams[0]", "upstreams[]"),
            ("upstreams[12].tls", "upstreams[].tls"),
            ("a[1][23].b[4]", "a[][].b[]"),
        ] {
            assert_eq!(of_any_item(path), shared);
        }
    }
}
