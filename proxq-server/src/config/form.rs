//! The form of a value: what the key accepts, whatever it means.

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
    /// `true` or `false`, or one of a few words.
    BooleanOr(Vec<&'static str>),
    /// A whole number that is not below this.
    Count(u32),
    /// A number above 0, at most 1.
    Fraction,
    /// A duration as Go writes it.
    Duration,
    /// Bytes, or a number with a unit.
    Size,
    /// The same, below 0 as well.
    SignedSize,
    /// A list of texts.
    Texts,
    /// Texts, each under a name that may be any.
    TextMap,
    /// A list of whole numbers from the first to the last of these.
    Numbers([u16; 2]),
}
