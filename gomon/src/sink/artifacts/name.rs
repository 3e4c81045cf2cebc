//! File names of artifacts, which can't refer to another directory.

use crate::core::Timestamp;
use crate::sink::calendar;

/// The maximum length of a part of a name in bytes. A name of four parts then stays below 255 bytes, the limit of most
/// file systems.
const MAX_PART: usize = 96;

/// Returns `<class>_<sample>_<subject>_<start>`, without empty parts.
pub(super) fn stem(class: &str, sample: Option<&str>, subject: &str, start: Timestamp) -> String {
    let start = calendar(start).strftime("%Y%m%dT%H%M%SZ").to_string();
    let parts = [class, sample.unwrap_or_default(), subject, &start].map(part);
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

/// Replaces the characters of a part that are special in a path or on a terminal.
fn part(text: &str) -> String {
    let mut part = String::new();
    for c in text.trim().chars() {
        let c = match c {
            '/' | '\\' | ':' => '-',
            c if c.is_whitespace() || c.is_control() => '_',
            c => c,
        };
        if part.len() + c.len_utf8() > MAX_PART {
            break;
        }
        part.push(c);
    }
    part
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_nanoseconds(1_769_680_800_123_456_789);

    #[test]
    fn parts_are_joined_and_special_characters_replaced() {
        assert_eq!(
            stem("attack", Some("be a/con:42"), "2001:db8::1", START),
            "attack_be_a-con-42_2001-db8--1_20260129T100000Z"
        );
        assert_eq!(stem("scan", None, "global", START), "scan_global_20260129T100000Z");
    }

    proptest! {
        #[test]
        fn a_name_never_refers_to_another_directory(sample in ".*") {
            let name = stem("attack", Some(&sample), "192.0.2.1", START);
            prop_assert!(name.len() < 250);
            prop_assert!(!name.contains(['/', '\0', '\n', '\x1b']));
            prop_assert!(name.starts_with("attack_"));
        }
    }
}
