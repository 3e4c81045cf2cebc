//! The command line interface: parses the arguments, runs the command, and returns the exit status.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Error;
use clap::error::ErrorKind;

use crate::fleet::{self, Fleet};
use crate::run::{Damaged, Listing, Run};
use crate::settings::{Args, Command, CtlArgs, FleetArgs, RunMode, Settings, usage_error};
use crate::sink::{console, one_line};

/// Exit status: something failed during the run, and records or artifacts are missing.
const FAILED: u8 = 1;
/// Exit status: the command line is wrong, or an input or output can't be opened. Nothing was started.
const USAGE: u8 = 2;
/// Exit status: the input is damaged. Everything before the damage was analysed and written, and nothing else
/// failed.
const DAMAGED: u8 = 3;

/// Runs gomon with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let status = run();
    console::finish();
    status
}

fn run() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    let command = match Command::parse(&args) {
        Ok(command) => command,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return match error.print() {
                // A reader that closes the pipe early is not a failure.
                Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
                    fail(FAILED, &format!("writing to standard output: {why}: free some space"))
                }
                _ => ExitCode::SUCCESS,
            };
        }
        // Errors when writing to standard error are ignored, as in `console`.
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitCode::from(USAGE);
        }
        Err(error) => return fail(USAGE, &usage_error(&error, Command::name(&args))),
    };
    match command {
        Command::Watch(args) => watch(*args),
        Command::Fleet(FleetArgs { config, check: true }) => match fleet::check(&config) {
            Ok(text) => print(&text),
            Err(error) => fail(USAGE, &format!("{error:#}")),
        },
        Command::Fleet(FleetArgs { config, check: false }) => {
            finish(Fleet::prepare(config).map(Fleet::perform))
        }
        Command::Ctl(args) => control(args),
    }
}

/// Sends a request to a running fleet, and prints its answer.
fn control(args: CtlArgs) -> ExitCode {
    match fleet::control_request(args) {
        Ok((text, None)) => print(&text),
        Ok((text, Some(error))) => {
            print(&text);
            fail(FAILED, &format!("{error:#}"))
        }
        Err(error) => fail(USAGE, &format!("{error:#}")),
    }
}

/// Writes text to standard output. A reader that closes it early is not a failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(FAILED, &format!("writing to standard output: {error}: free some space"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Watches one bot.
fn watch(args: Args) -> ExitCode {
    let performed = Settings::new(args).and_then(|settings| match settings.process.mode {
        RunMode::ListSources => Listing::prepare(settings).map(Listing::perform),
        RunMode::Detect | RunMode::Calibrate => Run::prepare(settings).map(Run::perform),
    });
    finish(performed)
}

/// Reports the failures of a command, and returns the exit status. An error means that nothing was started.
fn finish(performed: Result<Vec<Error>, Error>) -> ExitCode {
    match performed {
        Err(error) => fail(USAGE, &format!("{error:#}")),
        Ok(failures) => {
            let is_damaged = failures.iter().all(Error::is::<Damaged>);
            let mut status = ExitCode::SUCCESS;
            for error in failures {
                status = fail(if is_damaged { DAMAGED } else { FAILED }, &format!("{error:#}"));
            }
            status
        }
    }
}

/// Writes an error as one line, and returns the exit status.
fn fail(status: u8, text: &str) -> ExitCode {
    console::line(format_args!("gomon: {}", one_line(text)));
    ExitCode::from(status)
}
