//! Tests of the roster, against a naive model.

use std::path::Path;

use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::super::config::FleetConfig;
use super::*;

fn config(bots: &[(&str, &str, u8)]) -> Vec<WantedBot> {
    let bots = bots.iter().map(|(interface, src, window)| {
        format!("[[bot]]\ninterface='{interface}'\nsrc='{src}'\nwindow={window}\n")
    });
    let bots = bots.collect::<Vec<_>>().concat();
    FleetConfig::parse(Path::new("x"), &bots).unwrap().bots
}

fn appeared(index: u32, name: &str) -> LinkChange {
    LinkChange::Appeared { index, name: name.into() }
}

fn disappeared(index: u32, name: &str) -> LinkChange {
    LinkChange::Disappeared { index, name: name.into() }
}

/// The bots that a roster attached, which are counted at once.
#[derive(Default)]
struct Counted {
    roster: Roster,
    bots: BTreeMap<BotId, BotKey>,
}

impl Counted {
    fn step(&mut self) -> usize {
        let mut performed = 0;
        loop {
            let steps = self.roster.steps();
            if steps.is_empty() {
                return performed;
            }
            performed += steps.len();
            for step in steps {
                match step {
                    FleetStep::Attach { id, settings, .. } => {
                        let interface = settings.input.display().to_string();
                        let key = BotKey::new(&interface, &settings.sources);
                        assert!(!self.bots.values().any(|other| *other == key), "{key} twice");
                        self.bots.insert(id, key);
                        assert!(!self.roster.attached(id, Ok(())));
                    }
                    FleetStep::Detach { id, .. } => {
                        assert!(self.bots.remove(&id).is_some(), "{id:?} was not attached");
                        self.roster.detached(id);
                    }
                }
            }
        }
    }

    fn keys(&self) -> BTreeSet<String> {
        self.bots.values().map(ToString::to_string).collect()
    }
}

fn set(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

#[test]
fn interfaces_that_come_and_go_are_followed() {
    let mut counted = Counted::default();
    counted.roster.configure(config(&[("vnet0", "::1", 30), ("tap*", "any", 30)]), false);
    assert_eq!(counted.step(), 0);
    for change in [appeared(1, "lo"), appeared(2, "vnet0"), appeared(3, "tap0")] {
        counted.roster.record(change);
    }
    counted.step();
    assert_eq!(counted.keys(), set(&["vnet0 ::1", "tap0 any"]));
    // Recreated under the same name, and renamed.
    for change in [disappeared(2, "vnet0"), appeared(4, "vnet0")] {
        counted.roster.record(change);
    }
    assert_eq!(counted.step(), 2);
    for change in [disappeared(4, "vnet0"), appeared(4, "tap9")] {
        counted.roster.record(change);
    }
    counted.step();
    assert_eq!(counted.keys(), set(&["tap0 any", "tap9 any"]));
    let states: Vec<_> =
        counted.roster.list().into_iter().map(|bot| (bot.key.to_string(), bot.state)).collect();
    let expected = [
        ("tap* any", BotState::Pattern),
        ("tap0 any", BotState::Counting),
        ("tap9 any", BotState::Counting),
        ("vnet0 ::1", BotState::Waiting),
    ];
    assert_eq!(states, expected.map(|(key, state)| (key.to_owned(), state)));
}

#[test]
fn a_new_configuration_disturbs_only_the_bots_that_it_changes() {
    let mut counted = Counted::default();
    counted.roster.configure(config(&[("a", "::1", 30), ("b", "::1", 30)]), false);
    for (index, name) in [(1, "a"), (2, "b"), (3, "c")] {
        counted.roster.record(appeared(index, name));
    }
    counted.step();
    let before = counted.bots.clone();
    counted
        .roster
        .configure(config(&[("c", "::1", 30), ("b", "::1", 30), ("a", "::1", 60)]), false);
    // The bot on `a` is detached and attached again, the one on `c` is new.
    assert_eq!(counted.step(), 3);
    assert_eq!(counted.keys(), set(&["a ::1", "b ::1", "c ::1"]));
    let kept: Vec<_> = before.iter().filter(|(id, _)| counted.bots.contains_key(id)).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1.interface, "b");
}

#[test]
fn bots_are_added_and_removed_while_it_runs() {
    let mut counted = Counted::default();
    counted.roster.configure(config(&[("a", "::1", 30), ("tap*", "any", 30)]), false);
    for (index, name) in [(1, "a"), (2, "tap0")] {
        counted.roster.record(appeared(index, name));
    }
    let bot = |interface, src| config(&[(interface, src, 30)]).remove(0);
    let roster = &mut counted.roster;
    let error = roster.add(bot("a", "::1")).unwrap_err().to_string();
    assert!(error.starts_with("adding a: the same interface and address are there"), "{error}");
    roster.add(bot("a", "::2")).unwrap();
    roster.add(bot("tap0", "::3")).unwrap();
    counted.step();
    assert_eq!(counted.keys(), set(&["a ::1", "a ::2", "tap0 ::3"]));

    let roster = &mut counted.roster;
    let error = roster.find("a", None).unwrap_err().to_string();
    assert_eq!(error, "removing a: name the bot: give one of ::1 ::2");
    assert!(roster.find("b", None).unwrap_err().to_string().contains("there is no bot on it"));
    let tap0 = roster.find("tap0", None).unwrap();
    assert_eq!(tap0.to_string(), "tap0 ::3");
    roster.remove(&tap0);
    let one = bot("a", "::1");
    let key = roster.find("a", Some(one.sources())).unwrap();
    roster.remove(&key);
    counted.step();
    assert_eq!(counted.keys(), set(&["a ::2", "tap0 any"]));
    counted.roster.add(one).unwrap();
    counted.step();
    assert_eq!(counted.keys(), set(&["a ::1", "a ::2", "tap0 any"]));
    // The configuration has the first one, and the second one stays.
    counted.roster.configure(config(&[("a", "::1", 30)]), false);
    counted.step();
    assert_eq!(counted.keys(), set(&["a ::1", "a ::2"]));
    assert_eq!(counted.roster.list().iter().filter(|bot| bot.is_added).count(), 1);
}

#[test]
fn a_bot_that_fails_is_tried_again_and_one_that_is_not_wanted_any_more_is_detached() {
    let mut roster = Roster::default();
    roster.configure(config(&[("a", "::1", 30)]), false);
    roster.record(appeared(1, "a"));
    let attach = |roster: &mut Roster| match &roster.steps()[..] {
        [FleetStep::Attach { id, .. }] => *id,
        other => panic!("{other:?}"),
    };
    let first = attach(&mut roster);
    assert!(!roster.attached(first, Err("busy".into())));
    let failed = BotState::Failed("busy".into());
    assert_eq!(roster.list()[0].state, failed);
    assert!(roster.steps().is_empty());
    roster.record(LinkChange::CameUp { index: 1 });
    let second = attach(&mut roster);
    // The interface is recreated while the bot is attached: to which of the two is unknown.
    roster.record(disappeared(1, "a"));
    roster.record(appeared(2, "a"));
    assert!(roster.steps().is_empty());
    assert!(roster.attached(second, Ok(())));
    assert!(roster.steps().is_empty());
    roster.detached(second);
    let third = attach(&mut roster);
    assert!(!roster.attached(third, Ok(())));
    roster.ended(third, "its interface was removed".into());
    roster.record(disappeared(2, "a"));
    assert!(roster.steps().is_empty());
    assert_eq!(roster.list()[0].state, BotState::Waiting);
}

#[test]
fn the_panes_of_staggered_bots_end_at_different_times() {
    let mut roster = Roster::default();
    roster.configure(config(&[("tap*", "any", 30)]), true);
    for index in 0..64 {
        roster.record(appeared(index, &format!("tap{index}")));
    }
    let mut offsets: Vec<_> = roster
        .steps()
        .iter()
        .map(|step| match step {
            FleetStep::Attach { pane_offset, .. } => pane_offset.as_secs_f64(),
            FleetStep::Detach { .. } => panic!("{step:?}"),
        })
        .collect();
    offsets.sort_by(f64::total_cmp);
    let gaps = offsets.windows(2).map(|pair| pair[1] - pair[0]);
    let widest = gaps.fold(offsets[0] + 30.0 - offsets[63], f64::max);
    assert!(widest < 3.0 * 30.0 / 64.0, "{widest} s without the end of a pane");
}

#[derive(Clone, Debug)]
enum RosterEvent {
    Appear(u8),
    Disappear(u8),
    Rename(u8, u8),
    Configure(Vec<(u8, u8, bool)>),
    Fail(u8),
    Retry,
}

fn event() -> impl Strategy<Value = RosterEvent> {
    let name = 0..5u8;
    prop_oneof![
        4 => name.clone().prop_map(RosterEvent::Appear),
        2 => name.clone().prop_map(RosterEvent::Disappear),
        2 => (name.clone(), name.clone()).prop_map(|(old, new)| RosterEvent::Rename(old, new)),
        2 => proptest::collection::vec((0..5u8, 0..2u8, any::<bool>()), 0..5).prop_map(RosterEvent::Configure),
        1 => name.prop_map(RosterEvent::Fail),
        1 => Just(RosterEvent::Retry),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_counted_bots_are_those_that_are_wanted_on_interfaces_that_exist(
        events in proptest::collection::vec(event(), 0..40)
    ) {
        let mut counted = Counted::default();
        // The model: interfaces by name, and the bots of the configuration.
        let mut links: BTreeMap<u8, u32> = BTreeMap::new();
        let mut bots: Vec<(u8, u8)> = Vec::new();
        let mut has_pattern = false;
        let mut last_index = 0;
        let name = |number: u8| format!("tap{number}");
        for event in events.into_iter().chain([RosterEvent::Retry]) {
            match event {
                RosterEvent::Appear(number) if !links.contains_key(&number) => {
                    last_index += 1;
                    links.insert(number, last_index);
                    counted.roster.record(appeared(last_index, &name(number)));
                }
                RosterEvent::Disappear(number) => if let Some(index) = links.remove(&number) {
                    counted.roster.record(disappeared(index, &name(number)));
                },
                RosterEvent::Rename(old, new) if !links.contains_key(&new) => {
                    if let Some(index) = links.remove(&old) {
                        links.insert(new, index);
                        counted.roster.record(disappeared(index, &name(old)));
                        counted.roster.record(appeared(index, &name(new)));
                    }
                }
                RosterEvent::Configure(entries) => {
                    bots = entries.iter().map(|&(name, src, _)| (name, src)).collect();
                    bots.sort_unstable();
                    bots.dedup();
                    has_pattern = entries.iter().any(|entry| entry.2);
                    let window = u8::try_from(entries.len()).unwrap() + 1;
                    let text: Vec<_> =
                        bots.iter().map(|(number, src)| (name(*number), format!("::{src}"))).collect();
                    let mut text: Vec<_> =
                        text.iter().map(|(name, src)| (name.as_str(), src.as_str(), window)).collect();
                    if has_pattern {
                        text.push(("tap*", "any", window));
                    }
                    counted.roster.configure(config(&text), false);
                }
                RosterEvent::Fail(number) => {
                    let failing: Vec<_> =
                        counted.bots.iter().filter(|(_, key)| key.interface == name(number)).map(|(id, _)| *id).collect();
                    for id in failing {
                        counted.bots.remove(&id);
                        counted.roster.ended(id, "failed".into());
                    }
                }
                RosterEvent::Retry => counted.roster.retry(),
                RosterEvent::Appear(_) | RosterEvent::Rename(..) => {}
            }
            counted.step();
        }
        let mut expected = BTreeSet::new();
        for &number in links.keys() {
            let own: Vec<_> = bots.iter().filter(|bot| bot.0 == number).collect();
            expected.extend(own.iter().map(|bot| {
                let src: std::net::IpAddr = format!("::{}", bot.1).parse().unwrap();
                format!("{} {src}", name(number))
            }));
            if own.is_empty() && has_pattern {
                expected.insert(format!("{} any", name(number)));
            }
        }
        prop_assert_eq!(counted.keys(), expected);
        prop_assert!(counted.roster.steps().is_empty() && !counted.roster.is_attaching());
    }
}
