//! The spelling of names and bytes for people and other programs.

use std::fmt::Write;

use http::HeaderName;

/// A header's name as people and Go write it: `X-Request-Id`.
pub(crate) fn canonical(name: &HeaderName) -> String {
    let mut begins = true;
    let spelled = name.as_str().bytes().map(|byte| {
        let byte = if begins { byte.to_ascii_uppercase() } else { byte };
        begins = byte == b'-';
        byte
    });
    String::from_utf8(spelled.collect()).expect("a header's name is ASCII")
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes whatever is written to it");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_name_begins_with_a_capital() {
        for (name, spelled) in
            [("host", "Host"), ("x-request-id", "X-Request-Id"), ("-a--b-", "-A--B-"), ("1a-2b", "1a-2b")]
        {
            assert_eq!(canonical(&HeaderName::from_static(name)), spelled);
        }
    }

    #[test]
    fn each_byte_is_two_digits() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
    }
}
