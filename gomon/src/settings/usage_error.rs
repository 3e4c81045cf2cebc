//! Errors of the command line, each as one line.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::origin::SettingOrigin;

/// Formats an error of the command line as one line.
///
/// For a value that its parser rejected, this is the origin of the value and the parser's error. For any other error,
/// it is the first paragraph of clap's message, with the flag that clap suggests. `command` is the command whose help has
/// the arguments: `gomon`.
#[must_use]
pub fn usage_error(error: &clap::Error, command: &str) -> String {
    if let Some(text) = invalid_value(error) {
        return text;
    }
    let text = error.render().to_string();
    let paragraph: Vec<_> =
        text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let what = paragraph.join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let similar = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => format!(", a similar one is {flag}"),
        _ => String::new(),
    };
    format!("reading the command line: {what}{similar}: see {command} --help")
}

/// Returns the error of a value parser, without the origin of the value.
pub(super) fn rejection(error: &clap::Error) -> Option<String> {
    error.source().filter(|_| error.kind() == ErrorKind::ValueValidation).map(ToString::to_string)
}

/// Formats the error of a value parser, with the origin and the text of the value.
fn invalid_value(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    let reason = rejection(error)?;
    let origin = SettingOrigin::of_argument(text(ContextKind::InvalidArg)?);
    Some(format!("{}: {reason}", origin.reading(text(ContextKind::InvalidValue)?)))
}
