//! Which arrays and objects of a JSON document are open.

/// How deep containers may be nested. Far beyond what programs write; most parsers give up earlier (some at 128,
/// Python's at about 1000).
const DEPTH_MAX: usize = 1024;
const WORDS: usize = DEPTH_MAX / u64::BITS as usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Object,
}

/// The open containers, a bit each: set for an object.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    objects: [u64; WORDS],
    depth: usize,
}

impl Nesting {
    /// How many are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// `None` if that would be too deep.
    pub(super) fn open(&mut self, container: Container) -> Option<()> {
        let word = self.objects.get_mut(self.depth / u64::BITS as usize)?;
        let bit = 1 << (self.depth % u64::BITS as usize);
        match container {
            Container::Array => *word &= !bit,
            Container::Object => *word |= bit,
        }
        self.depth += 1;
        Some(())
    }

    /// Closes the innermost one.
    pub(super) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn innermost(&self) -> Option<Container> {
        let at = self.depth.checked_sub(1)?;
        let word = self.objects.get(at / u64::BITS as usize)?;
        let is_object = (word >> (at % u64::BITS as usize)) & 1 == 1;
        Some(if is_object { Container::Object } else { Container::Array })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_close_in_the_reverse_order_of_opening() {
        let kind = |i: usize| if i.is_multiple_of(3) { Container::Object } else { Container::Array };
        let mut nesting = Nesting::default();
        for _ in 0..2 {
            for i in 0..DEPTH_MAX {
                nesting.open(kind(i)).unwrap();
            }
            assert_eq!(nesting.open(Container::Array), None, "deeper than allowed");
            for i in (0..DEPTH_MAX).rev() {
                assert_eq!(nesting.innermost(), Some(kind(i)));
                nesting.close();
            }
            assert_eq!((nesting.innermost(), nesting.depth()), (None, 0));
        }
    }
}
