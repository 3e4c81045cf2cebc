//! From the command line to the exit status.

use std::io;
use std::process::ExitCode;

use anyhow::Error;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::run::{Damaged, Listing, Run};
use crate::settings::{Args, Settings};
use crate::sink::{console, one_line};

/// Something failed while running: records or artifacts are missing.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong, and nothing was started.
const WRONG: u8 = 2;
/// The input is damaged, all before that is analysed and written, and nothing else failed.
const DAMAGED: u8 = 3;

/// Runs gomon with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let status = run();
    console::finish();
    status
}

fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return match error.print() {
                // A reader that has seen enough is no failure.
                Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
                    complain(FAILED, &format!("writing to standard output: {why}: make room"))
                }
                _ => ExitCode::SUCCESS,
            };
        }
        // A closed standard error is not gomon's to complain about, here as everywhere.
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitCode::from(WRONG);
        }
        Err(error) => return complain(WRONG, &usage(&error)),
    };
    let performed = Settings::new(&args).and_then(|settings| {
        if settings.list_sources {
            return Listing::prepare(settings).map(Listing::perform);
        }
        Run::prepare(settings).map(Run::perform)
    });
    match performed {
        Err(error) => complain(WRONG, &format!("{error:#}")),
        Ok(failures) => {
            let damaged = failures.iter().all(Error::is::<Damaged>);
            let mut status = ExitCode::SUCCESS;
            for error in failures {
                let failed = if damaged { DAMAGED } else { FAILED };
                status = complain(failed, &format!("{error:#}"));
            }
            status
        }
    }
}

/// Says in one line what is wrong, and returns the exit status.
fn complain(status: u8, text: &str) -> ExitCode {
    console::line(format_args!("gomon: {}", one_line(text)));
    ExitCode::from(status)
}

/// A parse error in one line: the first paragraph of what clap has to say, and of its tips the flag
/// that was probably meant.
fn usage(error: &clap::Error) -> String {
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
