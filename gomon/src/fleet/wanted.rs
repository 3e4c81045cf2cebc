//! A bot to watch, on an interface or on all interfaces whose names match a pattern.

use anyhow::{Context, Result, bail, ensure};
use glob::Pattern;

use super::template::Placeholders;
use crate::core::Sources;
use crate::run::attach::attach_modes;
use crate::settings::{BotGiven, BotSettings, GivenSetting, GivenValue};

/// The maximum length of an interface's name (`IFNAMSIZ` of the kernel, with its terminating zero).
const MAX_NAME: usize = 15;

/// The settings whose values may contain placeholders.
const TEMPLATES: [&str; 2] = ["capture_dir", "eve_log_path"];

/// The names of the interfaces of a bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InterfaceNames {
    /// One interface.
    Is(String),
    /// All whose names match a pattern: `vnet*`.
    Match(Pattern),
}

/// A bot to watch. All its settings are valid.
#[derive(Clone, Debug)]
pub(crate) struct WantedBot {
    names: InterfaceNames,
    given: BotGiven,
    sources: Sources,
    sample_id: Option<String>,
}

impl InterfaceNames {
    fn parse(text: &str) -> Result<Self> {
        ensure!(
            !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace()),
            "not the name of an interface: give one like vnet0, or a pattern like vnet*"
        );
        if text.contains(['*', '?', '[']) {
            let pattern = Pattern::new(text);
            return Ok(Self::Match(pattern.context("not a pattern: give one like vnet*")?));
        }
        ensure!(text.len() <= MAX_NAME, "longer than {MAX_NAME} bytes: no interface has this name");
        Ok(Self::Is(text.to_owned()))
    }
}

impl WantedBot {
    /// Checks the settings of a bot. `interface` is that of `given`, with its origin.
    ///
    /// # Errors
    ///
    /// When a setting is not accepted, or is not for bots on interfaces.
    pub(crate) fn new(interface: &GivenSetting, given: BotGiven) -> Result<Self> {
        let names = InterfaceNames::parse(&given.interface)
            .with_context(|| interface.origin.reading(&given.interface))?;
        let mut bot = Self { names, given, sources: Sources::Any, sample_id: None };
        let is_any = bot.given.src.value.text().trim().eq_ignore_ascii_case("any");
        if matches!(bot.names, InterfaceNames::Match(_)) && !is_any {
            bail!(
                "{}: on several interfaces ({:?}), a bot has no fixed address: give any",
                bot.given.src.origin.reading(&bot.given.src.value.text()),
                bot.given.interface
            );
        }
        let settings = bot.settings(&bot.given.interface)?;
        attach_modes(&settings).with_context(|| interface.origin.reading(&bot.given.interface))?;
        (bot.sources, bot.sample_id) = (settings.sources, settings.sample_id);
        Ok(bot)
    }

    /// Returns the interface, or the pattern of interfaces.
    pub(crate) fn interface(&self) -> &str {
        &self.given.interface
    }

    /// Returns the bot's addresses.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Returns the name of the sample.
    pub(crate) fn sample_id(&self) -> Option<&str> {
        self.sample_id.as_deref()
    }

    /// Returns whether the bot is on all interfaces that match a pattern.
    pub(crate) fn is_pattern(&self) -> bool {
        matches!(self.names, InterfaceNames::Match(_))
    }

    /// Returns whether the bot is on an interface of this name.
    pub(crate) fn is_on(&self, interface: &str) -> bool {
        match &self.names {
            InterfaceNames::Is(name) => name == interface,
            InterfaceNames::Match(pattern) => pattern.matches(interface),
        }
    }

    /// Returns the settings of the bot on one of its interfaces.
    ///
    /// # Errors
    ///
    /// When a path with the name of the interface is not accepted.
    pub(crate) fn settings(&self, interface: &str) -> Result<BotSettings> {
        let mut given = BotGiven { interface: interface.to_owned(), ..self.given.clone() };
        let sample = given.settings.iter().find(|setting| setting.key == "sample_id");
        let sample = sample.map(|setting| setting.value.text());
        let src = given.src.value.text();
        let placeholders = Placeholders {
            interface,
            sample_id: sample.as_deref().filter(|sample| !sample.is_empty()),
            src_ip: src.split(',').next().unwrap_or_default().trim(),
        };
        let paths = given.settings.iter_mut();
        for setting in paths.filter(|setting| TEMPLATES.contains(&setting.key.as_str())) {
            let text = setting.value.text();
            let filled = placeholders.fill(&text).with_context(|| setting.origin.reading(&text))?;
            setting.value = GivenValue::Text(filled);
        }
        Ok(given.resolve()?.bot)
    }
}
