//! Where a setting was given, for errors about its value.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A flag, by its long form: `--window`.
    Flag(Cow<'static, str>),
    /// A positional argument, by the name of its value: `SRC_IP`.
    Positional(Cow<'static, str>),
    /// A key of a configuration file: `gomon.toml:12: window`.
    File {
        /// The path of the file.
        path: Arc<Path>,
        /// The line, counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// A setting in a request to a running fleet, by its key: `window`.
    Request(String),
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
    pub(crate) fn reading(&self, value: &str) -> String {
        format!("reading {self} {value:?}")
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Positional(name) => f.write_str(name),
            Self::File { path, line, key } => write!(f, "{}:{line}: {key}", path.display()),
            Self::Request(key) => f.write_str(key),
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
