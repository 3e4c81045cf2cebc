//! Placeholders in paths: `{interface}`, `{sample_id}` and `{src_ip}`.

use anyhow::{Result, bail, ensure};

use crate::settings::did_you_mean;

/// The placeholders, and what they stand for.
pub(super) struct Placeholders<'a> {
    pub(super) interface: &'a str,
    pub(super) sample_id: Option<&'a str>,
    /// The first address, or `any`.
    pub(super) src_ip: &'a str,
}

const NAMES: [&str; 3] = ["interface", "sample_id", "src_ip"];

impl Placeholders<'_> {
    /// Replaces the placeholders in a path. A value can't refer to another directory.
    pub(super) fn fill(&self, path: &str) -> Result<String> {
        let mut filled = String::new();
        let mut rest = path;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                bail!("a {{ without }}: give {{interface}}, {{sample_id}} or {{src_ip}}");
            };
            let value = match name {
                "interface" => self.interface,
                "src_ip" => self.src_ip,
                "sample_id" => match self.sample_id {
                    Some(sample) => sample,
                    None => bail!("the bot has no sample_id: give one, or another placeholder"),
                },
                _ => bail!(
                    "unknown placeholder {{{name}}}{}: give {{interface}}, {{sample_id}} or {{src_ip}}",
                    did_you_mean(name, NAMES)
                ),
            };
            ensure!(!value.is_empty(), "{{{name}}} is empty: give a value");
            filled.push_str(before);
            filled.extend(value.chars().enumerate().map(|(at, c)| safe(at, c)));
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// Replaces the characters that separate directories or are special on a terminal, and a dot at the start: `..` is
/// another directory.
fn safe(at: usize, c: char) -> char {
    let is_special = ['/', '\\'].contains(&c) || c.is_control() || c.is_whitespace();
    if is_special || (at == 0 && c == '.') { '_' } else { c }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn fill(path: &str, sample_id: Option<&str>) -> Result<String> {
        Placeholders { interface: "vnet0", sample_id, src_ip: "10.0.0.5" }.fill(path)
    }

    #[test]
    fn placeholders_are_replaced() {
        assert_eq!(fill("/x/{interface}-{src_ip}.json", None).unwrap(), "/x/vnet0-10.0.0.5.json");
        assert_eq!(fill("{sample_id}", Some("a/b c")).unwrap(), "a_b_c");
        assert_eq!(fill("/plain", None).unwrap(), "/plain");
        for (path, expected) in [
            ("{sample_id}", "the bot has no sample_id: give one"),
            ("{interfce}", "unknown placeholder {interfce}: did you mean \"interface\"?: give"),
            ("{interface", "a { without }: give"),
        ] {
            let error = fill(path, None).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_value_does_not_refer_to_another_directory(sample in ".+") {
            let path = fill("/a/{sample_id}/b", Some(&sample)).unwrap();
            let components: Vec<_> = Path::new(&path).components().collect();
            prop_assert_eq!(components.len(), 4);
            prop_assert!(!components.contains(&Component::ParentDir));
        }
    }
}
