//! Lists who sends packets, instead of counting what one bot sends.

use anyhow::{Context, Error, Result, anyhow};

use super::failure::{incomplete_input, opening};
use super::input::{self, NamedInput};
use super::open_source::OpenSource;
use crate::core::Talkers;
use crate::settings::Settings;
use crate::sink::console::{self, Progress};
use crate::sink::talkers;
use crate::source::replay::Reader;
use crate::source::{Stop, listing};

/// The most sources that are listed, each a pair of IP and MAC address. A source with many destinations
/// takes 4 KiB, so this bounds memory to about 20 MiB.
const MAX_SOURCES: usize = 4096;

/// A list of sources that is ready to be made: its input is open.
pub struct Listing {
    settings: Settings,
    source: OpenSource,
    size: Option<u64>,
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
        let path = &settings.bot.input;
        let context = || opening(path);
        let mut size = None;
        let source = match input::find(path, stop.clone()).with_context(context)? {
            NamedInput::Interface(name) => OpenSource::Interface(name, Vec::new()),
            NamedInput::Capture(input) => {
                size = input.size();
                OpenSource::of_capture(input).with_context(context)?
            }
        };
        Ok(Self { settings, source, size, stop })
    }

    /// Makes the list and shows it. If something fails, the list holds all that could be read; if that is
    /// nothing, no list is shown.
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { settings: Settings { process, bot, .. }, source, size, stop } = self;
        let mut talkers = Talkers::new(MAX_SOURCES);
        let mut read = |reader| {
            let progress = if process.quiet {
                Progress::none()
            } else {
                Progress::new(size, bot.eve.target.is_stdout())
            };
            let enter = |frames, bytes| progress.enter(frames, bytes);
            let outcome = listing::record_capture(reader, &stop, &mut talkers, enter);
            progress.finish();
            outcome.map_err(|incomplete| incomplete_input(&bot.input, incomplete, "is listed"))
        };
        let outcome = match source {
            OpenSource::Reader(reader) => read(*reader),
            OpenSource::Stream(input) => {
                Reader::new(input).with_context(|| opening(&bot.input)).and_then(read)
            }
            OpenSource::Interface(name, _) => {
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
            shown.err().map(|error| anyhow!("writing to standard output: {error}: make room")),
        );
        failures
    }
}
