//! The command line interface: parses the arguments, runs the command, and returns the exit status.

use std::io;
use std::process::ExitCode;

use anyhow::Error;
use clap::Parser;
use clap::error::ErrorKind;

use crate::run::{Damaged, Listing, Run};
use crate::settings::{Args, RunMode, Settings, usage_error};
use crate::sink::{console, one_line};

/// Exit status: something failed while running; records or artifacts are missing.
const FAILED: u8 = 1;
/// Exit status: the command line or the configuration is wrong; nothing was started.
const USAGE: u8 = 2;
/// Exit status: the input is damaged, all before that was analysed and written, and nothing else failed.
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
                // A reader that closes the pipe early is no failure.
                Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
                    complain(FAILED, &format!("writing to standard output: {why}: make room"))
                }
                _ => ExitCode::SUCCESS,
            };
        }
        // Errors of writing to standard error are ignored, as everywhere.
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitCode::from(USAGE);
        }
        Err(error) => return complain(USAGE, &usage_error(&error)),
    };
    let performed = Settings::new(args).and_then(|settings| match settings.process.mode {
        RunMode::ListSources => Listing::prepare(settings).map(Listing::perform),
        RunMode::Detect | RunMode::Calibrate => Run::prepare(settings).map(Run::perform),
    });
    match performed {
        Err(error) => complain(USAGE, &format!("{error:#}")),
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

/// Writes an error as one line, and returns the exit status.
fn complain(status: u8, text: &str) -> ExitCode {
    console::line(format_args!("gomon: {}", one_line(text)));
    ExitCode::from(status)
}
