//! Errors of the command line, each as one line.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::origin::SettingOrigin;

/// Returns what is wrong with the command line, in one line.
///
/// A value that a parser refused is reported by its origin and the parser's reason. Anything else is the
/// first paragraph of clap's message, and of its tips the flag that was probably meant.
#[must_use]
pub fn usage_error(error: &clap::Error) -> String {
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
    format!("reading the command line: {what}{similar}: see gomon --help")
}

/// The error of a value parser, with the origin and the text of the value.
fn invalid_value(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    let reason = error.source().filter(|_| error.kind() == ErrorKind::ValueValidation)?;
    let origin = SettingOrigin::of_argument(text(ContextKind::InvalidArg)?);
    Some(format!("{}: {reason}", origin.reading(text(ContextKind::InvalidValue)?)))
}
