//! Where a setting was given, for errors about its value.

use std::borrow::Cow;
use std::fmt;

/// Where a setting was given. A configuration file will add a variant with its path, line and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A flag, by its long form: `--window`.
    Flag(Cow<'static, str>),
    /// A positional argument, by the name of its value: `SRC_IP`.
    Positional(Cow<'static, str>),
}

impl SettingOrigin {
    /// Returns the origin of a flag, given by its long form.
    pub(super) const fn flag(name: &'static str) -> Self {
        Self::Flag(Cow::Borrowed(name))
    }

    /// Returns the origin of an argument, given as clap names it: `--window <TIME>`, `<INPUT>` or `[SRC_IP]`.
    pub(super) fn of_argument(argument: &str) -> Self {
        let name = argument.split_whitespace().next().unwrap_or_default();
        if name.starts_with('-') {
            return Self::Flag(Cow::Owned(name.to_owned()));
        }
        Self::Positional(Cow::Owned(name.trim_matches(['<', '>', '[', ']', '.']).to_owned()))
    }

    /// Returns the context of an error about `value`: `reading --window "x"`.
    pub(super) fn reading(&self, value: &str) -> String {
        format!("reading {self} {value:?}")
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Positional(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_named_without_their_placeholders() {
        let origin = |argument| SettingOrigin::of_argument(argument).to_string();
        assert_eq!(origin("--window <TIME>"), "--window");
        assert_eq!(origin("--ignore-dst [<ADDRESS>]"), "--ignore-dst");
        assert_eq!(origin("[SRC_IP]"), "SRC_IP");
        assert_eq!(SettingOrigin::of_argument("--quiet"), SettingOrigin::flag("--quiet"));
    }
}
