//! Which bots are wanted, which are counted, and what to do about the difference. Pure: events in, steps out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::config::conflict;
use super::hotplug::LinkChange;
use super::id::BotId;
use super::wanted::WantedBot;
use crate::core::Sources;
use crate::settings::BotSettings;

/// A bot on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BotKey {
    pub(crate) interface: String,
    /// The addresses, separated by commas, or `any`.
    pub(crate) src: String,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum FleetStep {
    /// Attach to an interface, and report with [`Roster::attached`].
    Attach { id: BotId, settings: Box<BotSettings>, pane_offset: Duration },
    /// End a bot whose interface exists, or existed a moment ago. `is_gone` is set in the latter case: the counting
    /// thread notices by itself, and knows the reason.
    Detach { id: BotId, is_gone: bool },
}

/// The state of a bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BotState {
    /// Its interface does not exist.
    Waiting,
    /// It is a pattern. The bots on the interfaces that match it have their own states.
    Pattern,
    /// It is being attached.
    Attaching,
    /// It is counted.
    Counting,
    /// It can't be attached, or counting failed. It is tried again.
    Failed(String),
}

/// A bot, for a list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedBot {
    pub(crate) key: BotKey,
    /// Not for a bot that waits, or a pattern.
    pub(crate) id: Option<BotId>,
    pub(crate) sample_id: Option<String>,
    pub(crate) state: BotState,
    /// Whether it was added while the fleet runs, and is not in the configuration.
    pub(crate) is_added: bool,
}

/// The bots that are wanted, and those on interfaces that exist.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    configured: Vec<Arc<WantedBot>>,
    added: Vec<Arc<WantedBot>>,
    /// Bots that were removed while the fleet runs, until their interface goes or the configuration is re-read.
    removed: BTreeSet<BotKey>,
    /// The index of each interface.
    links: BTreeMap<String, u32>,
    bots: BTreeMap<BotKey, RosterBot>,
    keys: BTreeMap<BotId, BotKey>,
    /// Bots that are no longer wanted, and are still being attached or detached. Meanwhile nothing else is attached to
    /// the interface: two bots must not count the same packets.
    ending: BTreeMap<BotId, String>,
    /// Whether windows end at different times.
    is_staggered: bool,
    last_id: u64,
}

#[derive(Debug)]
struct RosterBot {
    id: BotId,
    wanted: Arc<WantedBot>,
    settings: BotSettings,
    /// That of its interface.
    index: u32,
    state: BotState,
}

impl BotState {
    /// The names of all states.
    pub(crate) const NAMES: [&str; 5] = ["waiting", "pattern", "attaching", "counting", "failed"];

    /// Returns the name of the state.
    pub(crate) fn name(&self) -> &'static str {
        let at = match self {
            Self::Waiting => 0,
            Self::Pattern => 1,
            Self::Attaching => 2,
            Self::Counting => 3,
            Self::Failed(_) => 4,
        };
        Self::NAMES[at]
    }
}

impl fmt::Display for BotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interface, self.src)
    }
}

impl BotKey {
    pub(crate) fn new(interface: &str, sources: &Sources) -> Self {
        let src = match sources {
            Sources::Any => "any".to_owned(),
            sources @ Sources::Bot { .. } => {
                let addresses: Vec<_> =
                    sources.addresses().map(|address| address.to_string()).collect();
                addresses.join(",")
            }
        };
        Self { interface: interface.to_owned(), src }
    }
}

impl Roster {
    /// Replaces the bots of the configuration. Bots that were removed are wanted again, and those that were added stay,
    /// unless the configuration now has them.
    pub(crate) fn configure(&mut self, bots: Vec<WantedBot>, is_staggered: bool) {
        self.configured = bots.into_iter().map(Arc::new).collect();
        self.is_staggered = is_staggered;
        self.removed.clear();
        let is_free = |added: &Arc<WantedBot>| {
            self.configured.iter().all(|bot| conflict(bot, added).is_none())
        };
        self.added.retain(is_free);
    }

    /// Adds a bot.
    ///
    /// # Errors
    ///
    /// When another bot counts the same packets.
    pub(crate) fn add(&mut self, bot: WantedBot) -> Result<()> {
        for other in self.configured.iter().chain(&self.added) {
            let key = BotKey::new(other.interface(), other.sources());
            if let Some(why) = conflict(other, &bot)
                && !self.removed.contains(&key)
            {
                bail!("adding {}: {why} there already: remove that one first", bot.interface());
            }
        }
        self.added.push(Arc::new(bot));
        Ok(())
    }

    /// Finds a bot on an interface by its addresses, which are not needed if it is the only one.
    ///
    /// # Errors
    ///
    /// When there is no such bot, or several.
    pub(crate) fn find(&self, interface: &str, sources: Option<&Sources>) -> Result<BotKey> {
        let src = sources.map(|sources| BotKey::new(interface, sources).src);
        let bots = self.list().into_iter().map(|bot| bot.key);
        let keys: Vec<_> = bots.filter(|key| key.interface == interface).collect();
        let mut found = keys.iter().filter(|key| src.as_ref().is_none_or(|src| key.src == *src));
        match (found.next(), found.next()) {
            (Some(key), None) => Ok(key.clone()),
            _ if keys.is_empty() => {
                bail!("removing {interface}: there is no bot on it: see gomon ctl list")
            }
            _ => {
                let sources: Vec<_> = keys.iter().map(|key| key.src.as_str()).collect();
                bail!("removing {interface}: name the bot: give one of {}", sources.join(" "))
            }
        }
    }

    /// Removes a bot: one that was added for good, and one of the configuration until that is re-read or the interface
    /// goes.
    pub(crate) fn remove(&mut self, key: &BotKey) {
        let is_it = |bot: &Arc<WantedBot>| BotKey::new(bot.interface(), bot.sources()) == *key;
        match self.added.iter().position(is_it) {
            Some(at) => drop(self.added.remove(at)),
            None => drop(self.removed.insert(key.clone())),
        }
    }

    /// Records a change of the interfaces.
    pub(crate) fn record(&mut self, change: LinkChange) {
        match change {
            LinkChange::Appeared { index, name } => drop(self.links.insert(name, index)),
            LinkChange::Disappeared { index, name } => {
                if self.links.get(&name) == Some(&index) {
                    self.links.remove(&name);
                }
                self.removed.retain(|key| key.interface != name);
            }
            LinkChange::CameUp { index } => self.retry_where(|bot| bot.index == index),
        }
    }

    /// Tries failed bots again.
    pub(crate) fn retry(&mut self) {
        self.retry_where(|_| true);
    }

    fn retry_where(&mut self, is_tried: impl Fn(&RosterBot) -> bool) {
        let failed: Vec<_> = self
            .bots
            .iter()
            .filter(|(_, bot)| matches!(bot.state, BotState::Failed(_)) && is_tried(bot))
            .map(|(key, _)| key.clone())
            .collect();
        for key in failed {
            self.forget(&key);
        }
    }

    /// Returns whether a bot of an interface is still being attached or detached, although it is no longer wanted.
    pub(crate) fn is_busy(&self, interface: &str) -> bool {
        self.ending.values().any(|busy| busy == interface)
    }

    /// Returns whether some bots are being attached.
    pub(crate) fn is_attaching(&self) -> bool {
        self.bots.values().any(|bot| bot.state == BotState::Attaching)
    }

    /// Records that a bot is attached, or why not. Returns whether it is no longer wanted, and must be detached.
    pub(crate) fn attached(&mut self, id: BotId, outcome: Result<(), String>) -> bool {
        let Some(bot) = self.keys.get(&id).and_then(|key| self.bots.get_mut(key)) else {
            if outcome.is_err() {
                self.ending.remove(&id);
            }
            return outcome.is_ok();
        };
        bot.state = match outcome {
            Ok(()) => BotState::Counting,
            Err(why) => BotState::Failed(why),
        };
        false
    }

    /// Records that a bot was detached.
    pub(crate) fn detached(&mut self, id: BotId) {
        self.ending.remove(&id);
    }

    /// Records that a bot ended by itself, because of a failure or because its interface was removed. It is tried again
    /// later, unless the interface is known to be gone.
    pub(crate) fn ended(&mut self, id: BotId, why: String) {
        let _ = self.attached(id, Err(why));
    }

    /// Returns the state of a bot, if its interface exists.
    pub(crate) fn state(&self, key: &BotKey) -> Option<(BotId, &BotState)> {
        self.bots.get(key).map(|bot| (bot.id, &bot.state))
    }

    /// Returns the bot of an ID.
    pub(crate) fn key(&self, id: BotId) -> Option<&BotKey> {
        self.keys.get(&id)
    }

    /// Returns what to do so that the wanted bots on interfaces that exist are counted, and no others.
    pub(crate) fn steps(&mut self) -> Vec<FleetStep> {
        let wanted = self.wanted();
        let mut steps = Vec::new();
        let indexes: BTreeSet<u32> = self.links.values().copied().collect();
        let mut ending = Vec::new();
        for (key, bot) in &mut self.bots {
            let Some((index, wanted)) = wanted.get(key).filter(|(index, _)| *index == bot.index)
            else {
                ending.push((key.clone(), !indexes.contains(&bot.index)));
                continue;
            };
            if Arc::ptr_eq(wanted, &bot.wanted) {
                continue;
            }
            // The configuration was re-read. A bot whose settings are the same is not disturbed.
            match wanted.settings(&key.interface) {
                Ok(settings) if settings == bot.settings => bot.wanted = Arc::clone(wanted),
                _ => ending.push((key.clone(), !indexes.contains(index))),
            }
        }
        for (key, is_gone) in ending {
            let Some(RosterBot { id, state, .. }) = self.forget(&key) else { continue };
            let is_counting = state == BotState::Counting;
            if state == BotState::Attaching || (is_counting && !is_gone) {
                self.ending.insert(id, key.interface);
            }
            if is_counting {
                steps.push(FleetStep::Detach { id, is_gone });
            }
        }
        let busy: BTreeSet<&String> = self.ending.values().collect();
        let wanted: Vec<_> =
            wanted.into_iter().filter(|(key, _)| !busy.contains(&key.interface)).collect();
        for (key, (index, wanted)) in wanted {
            if self.bots.contains_key(&key) {
                continue;
            }
            // The settings were checked. The name of an interface does not change that.
            let Ok(settings) = wanted.settings(&key.interface) else { continue };
            self.last_id += 1;
            let id = BotId(self.last_id);
            let pane_offset = self.pane_offset(settings.policy.step);
            steps.push(FleetStep::Attach { id, settings: Box::new(settings.clone()), pane_offset });
            self.keys.insert(id, key.clone());
            self.bots
                .insert(key, RosterBot { id, wanted, settings, index, state: BotState::Attaching });
        }
        steps
    }

    fn forget(&mut self, key: &BotKey) -> Option<RosterBot> {
        let bot = self.bots.remove(key)?;
        self.keys.remove(&bot.id);
        Some(bot)
    }

    /// Returns how much later than those of the grid the panes of the latest bot end. The golden ratio spreads any number
    /// of bots evenly.
    #[expect(clippy::cast_precision_loss, reason = "only the fraction matters")]
    fn pane_offset(&self, step: Duration) -> Duration {
        const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;
        if self.is_staggered {
            step.mul_f64((self.last_id as f64 * GOLDEN_RATIO).fract())
        } else {
            Duration::ZERO
        }
    }

    /// Returns all wanted bots, and whether each was added while the fleet runs.
    fn all(&self) -> impl Iterator<Item = (&Arc<WantedBot>, bool)> {
        let configured = self.configured.iter().map(|bot| (bot, false));
        let all = configured.chain(self.added.iter().map(|bot| (bot, true)));
        all.filter(|(bot, is_added)| {
            *is_added || !self.removed.contains(&BotKey::new(bot.interface(), bot.sources()))
        })
    }

    /// Returns the bots to count, with the index of the interface. A pattern applies to the interfaces that no bot names.
    fn wanted(&self) -> BTreeMap<BotKey, (u32, Arc<WantedBot>)> {
        let mut by_name: BTreeMap<&str, Vec<&Arc<WantedBot>>> = BTreeMap::new();
        for (bot, _) in self.all().filter(|(bot, _)| !bot.is_pattern()) {
            by_name.entry(bot.interface()).or_default().push(bot);
        }
        let patterns: Vec<_> = self.all().filter(|(bot, _)| bot.is_pattern()).collect();
        let mut wanted = BTreeMap::new();
        for (name, &index) in &self.links {
            let mut bots = by_name.remove(name.as_str()).unwrap_or_default();
            if bots.is_empty() {
                let pattern = patterns.iter().find(|(bot, _)| bot.is_on(name));
                let is_wanted = |key| !self.removed.contains(&key);
                bots.extend(
                    pattern
                        .map(|(bot, _)| *bot)
                        .filter(|bot| is_wanted(BotKey::new(name, bot.sources()))),
                );
            }
            for bot in bots {
                wanted.insert(BotKey::new(name, bot.sources()), (index, Arc::clone(bot)));
            }
        }
        wanted
    }

    /// Returns all bots, and the patterns.
    pub(crate) fn list(&self) -> Vec<ListedBot> {
        let mut listed: BTreeMap<BotKey, ListedBot> = BTreeMap::new();
        for (bot, is_added) in self.all() {
            let key = BotKey::new(bot.interface(), bot.sources());
            let state = if bot.is_pattern() { BotState::Pattern } else { BotState::Waiting };
            let sample_id = bot.sample_id().map(str::to_owned);
            listed.insert(key.clone(), ListedBot { key, id: None, sample_id, state, is_added });
        }
        for (key, bot) in &self.bots {
            let own = listed.get(key).or_else(|| {
                let pattern = BotKey::new(bot.wanted.interface(), bot.wanted.sources());
                listed.get(&pattern)
            });
            let is_added = own.is_some_and(|own| own.is_added);
            let bot = ListedBot {
                key: key.clone(),
                id: Some(bot.id),
                sample_id: bot.settings.sample_id.clone(),
                state: bot.state.clone(),
                is_added,
            };
            listed.insert(key.clone(), bot);
        }
        listed.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
