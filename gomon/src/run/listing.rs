//! Lists the sources of packets, instead of counting those of a bot.

use anyhow::{Context, Error, Result, anyhow};

use super::failure::{incomplete_input, opening};
use super::input::OpenInput;
use crate::core::Talkers;
use crate::settings::Settings;
use crate::sink::console::{self, Progress};
use crate::sink::talkers;
use crate::source::replay::Reader;
use crate::source::{Stop, listing};

/// The maximum number of listed sources, each a pair of IP and MAC address. A source with many destinations takes
/// 4 KiB, so this bounds memory to about 20 MiB.
const MAX_SOURCES: usize = 4096;

/// A listing that is ready to start: its input is open.
pub struct Listing {
    settings: Settings,
    input: OpenInput,
    stop: Stop,
}

impl Listing {
    /// Opens the input.
    ///
    /// # Errors
    ///
    /// When it can't be opened. Nothing was started then.
    pub fn prepare(settings: Settings) -> Result<Self> {
        console::start_log(settings.process.log_level);
        let stop = Stop::on_signals().context("listening to signals")?;
        let input = OpenInput::open(&settings.bot.input, stop.clone())?;
        Ok(Self { settings, input, stop })
    }

    /// Lists the sources, and shows the list. After a failure, the list contains what could be read. It is not shown if
    /// that is nothing.
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { settings: Settings { process, bot, .. }, input, stop } = self;
        let size = input.size();
        let mut talkers = Talkers::new(MAX_SOURCES);
        let mut read = |reader| {
            let progress = if process.quiet {
                Progress::none()
            } else {
                Progress::new(size, bot.eve.target.is_stdout())
            };
            let update = |frames, bytes| progress.update(frames, bytes);
            let outcome = listing::record_capture(reader, &stop, &mut talkers, update);
            progress.finish();
            outcome.map_err(|incomplete| incomplete_input(&bot.input, incomplete, "is listed"))
        };
        let outcome = match input {
            OpenInput::File { reader, .. } => read(*reader),
            OpenInput::Stream(input) => {
                Reader::new(input).with_context(|| opening(&bot.input)).and_then(read)
            }
            OpenInput::Interface(name) => {
                let time = bot.policy.window;
                log::info!("listening on {name} for {}", humantime::format_duration(time));
                listing::record_interface(&name, time, &stop, &mut talkers)
                    .with_context(|| format!("listening on {name}"))
            }
        };
        let mut failures = Vec::from_iter(outcome.err().filter(|_| !stop.is_requested()));
        if !failures.is_empty() && talkers.ledger().seen() == 0 {
            return failures;
        }
        let shown = talkers::show(&talkers);
        failures.extend(
            shown
                .err()
                .map(|error| anyhow!("writing to standard output: {error}: free some space")),
        );
        failures
    }
}
