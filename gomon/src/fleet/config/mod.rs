//! The configuration of a fleet: a TOML file whose settings are the flags of the command line.

mod conflict;
mod document;

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use log::LevelFilter;

use self::document::{Document, Section};
use super::wanted::WantedBot;
use crate::settings::{
    BotGiven, CONTROL_SOCKET, GivenSetting, GivenValue, SettingOrigin, Settings, did_you_mean,
};

pub(crate) use self::conflict::conflict;

/// The largest configuration file, in bytes: thousands of bots.
const MAX_SIZE: u64 = 4 << 20;
/// The default address of the metrics.
const METRICS: &str = "127.0.0.1:9477";

/// The configuration of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct FleetConfig {
    /// The lowest level to log.
    pub(crate) log_level: LevelFilter,
    /// Whether the fleet ends when the parent process exits.
    pub(crate) die_with_parent: bool,
    /// Whether the ends of windows are spread over the step.
    pub(crate) stagger: bool,
    /// The address of the metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// The path of the control socket.
    pub(crate) control: Option<PathBuf>,
    /// The settings of `[defaults]`, which also apply to bots that are added later.
    pub(crate) defaults: Vec<GivenSetting>,
    /// The bots, in the order of the file.
    pub(crate) bots: Vec<WantedBot>,
}

impl FleetConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// When it can't be read or is wrong. The error names the line, the key, and what to give instead.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let what = || format!("reading configuration {:?}", path.display().to_string());
        let mut text = String::new();
        let file = File::open(path)
            .map_err(|error| anyhow!("{error}: give a readable file with --config"))
            .with_context(what)?;
        file.take(MAX_SIZE + 1)
            .read_to_string(&mut text)
            .map_err(|error| anyhow!("{error}: give a text file"))
            .with_context(what)?;
        if text.len() as u64 > MAX_SIZE {
            return Err(anyhow!("more than {} MiB: give a smaller file", MAX_SIZE >> 20))
                .with_context(what);
        }
        Self::parse(path, &text)
    }

    /// Parses the text of a configuration file.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let path: Arc<Path> = path.into();
        let document = Document::parse(Arc::clone(&path), text)?;
        for setting in &document.defaults {
            setting.check(true)?;
        }
        let process = process(&path, &document.defaults)?.process;
        let mut bots: Vec<(WantedBot, GivenSetting)> = Vec::new();
        for (line, section) in document.bots {
            let (interface, given) = bot(&path, line, section, &document.defaults)?;
            let wanted = WantedBot::new(&interface, given)?;
            for (other, origin) in &bots {
                if let Some(why) = conflict(other, &wanted) {
                    bail!(
                        "{}: {why} in {}: remove one",
                        interface.origin.reading(&interface.value.text()),
                        origin.origin
                    );
                }
            }
            bots.push((wanted, interface));
        }
        let mut stagger = false;
        for setting in document.root {
            let GivenValue::Switch(is_on) = setting.value else {
                bail!("{}: not a switch: give true or false", reading(&setting));
            };
            stagger = is_on;
        }
        Ok(Self {
            log_level: process.log_level,
            die_with_parent: process.die_with_parent,
            stagger,
            metrics: document.metrics.map(metrics).transpose()?,
            control: document.control.map(control).transpose()?,
            defaults: document.defaults,
            bots: bots.into_iter().map(|(bot, _)| bot).collect(),
        })
    }
}

/// Returns the context of an error about a setting.
fn reading(setting: &GivenSetting) -> String {
    setting.origin.reading(&setting.value.text())
}

/// Resolves the defaults as those of some bot, for the settings of the process.
fn process(path: &Arc<Path>, defaults: &Section) -> Result<Settings> {
    let origin = SettingOrigin::File { path: Arc::clone(path), line: 1, key: "src".into() };
    let src = GivenSetting { key: "src".into(), value: GivenValue::Text("any".into()), origin };
    // A path in the defaults may have placeholders, which are checked for each bot.
    BotGiven { interface: "any".into(), src, settings: defaults.clone() }.resolve()
}

/// Splits the section of a bot into its interface and its other settings, with the defaults.
fn bot(
    path: &Arc<Path>,
    line: usize,
    section: Section,
    defaults: &Section,
) -> Result<(GivenSetting, BotGiven)> {
    let (mut interface, mut src, mut settings) = (None, None, Vec::new());
    for setting in section {
        match setting.key.as_str() {
            "interface" => interface = Some(setting),
            "src" => src = Some(setting),
            _ => {
                setting.check(false)?;
                settings.push(setting);
            }
        }
    }
    let missing = |key: &str, example: &str| {
        let path = path.display();
        anyhow!("reading {path}:{line}: bot: without {key}: give one like {key} = {example:?}")
    };
    let interface = interface.ok_or_else(|| missing("interface", "vnet0"))?;
    let GivenValue::Text(name) = &interface.value else {
        bail!("{}: not a text: give a name, or a pattern like vnet*", reading(&interface));
    };
    let name = name.clone();
    let src = src.ok_or_else(|| missing("src", "10.10.0.20"))?;
    Ok((interface, BotGiven { interface: name, src, settings: with_defaults(settings, defaults) }))
}

/// Adds the defaults to the settings of a bot that it does not give itself, and the name of this host as that of the
/// sensor.
pub(crate) fn with_defaults(
    mut settings: Vec<GivenSetting>,
    defaults: &[GivenSetting],
) -> Vec<GivenSetting> {
    let is_given = |settings: &[GivenSetting], key: &str| settings.iter().any(|s| s.key == key);
    for default in defaults {
        if !is_given(&settings, &default.key) {
            settings.push(default.clone());
        }
    }
    if !is_given(&settings, "sensor_name") {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let origin = SettingOrigin::Request("the name of this host".into());
        let value = GivenValue::Text(name);
        settings.push(GivenSetting { key: "sensor_name".into(), value, origin });
    }
    settings
}

/// Takes the only key that a section may have. Without it, the value is `default`.
fn only(section: Section, name: &str, key: &str, default: &str) -> Result<GivenSetting> {
    let value = GivenValue::Text(default.to_owned());
    let mut only =
        GivenSetting { key: key.into(), value, origin: SettingOrigin::Request(key.into()) };
    for setting in section {
        if setting.key != key {
            let similar = did_you_mean(&setting.key, [key]);
            bail!("reading {}: unknown key{similar}: [{name}] has {key}", setting.origin);
        }
        only = setting;
    }
    Ok(only)
}

fn metrics(section: Section) -> Result<SocketAddr> {
    let setting = only(section, "metrics", "listen", METRICS)?;
    let Ok(address) = setting.value.text().parse() else {
        bail!("{}: not an address with a port: give one like {METRICS}", reading(&setting));
    };
    Ok(address)
}

fn control(section: Section) -> Result<PathBuf> {
    let setting = only(section, "control", "socket", CONTROL_SOCKET)?;
    let text = setting.value.text();
    // The kernel's limit is 108 bytes with a terminating zero (unix(7)).
    ensure!(
        text.starts_with('/') && text.len() < 108 && !text.contains('\0'),
        "{}: not an absolute path of less than 108 bytes: give one like {CONTROL_SOCKET}",
        reading(&setting)
    );
    Ok(text.into())
}

#[cfg(test)]
mod tests;
