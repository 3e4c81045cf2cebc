//! Announcements of interfaces by the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use gomon::fleet::hotplug::{Hotplug, LinkChange};
use gomon_xdpgen::within;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::privileged;
use crate::program::Namespace;

/// The interfaces, as their changes add up.
struct Followed {
    runtime: Runtime,
    hotplug: Hotplug,
    links: BTreeMap<u32, String>,
    /// The names of those that disappeared.
    gone: Vec<String>,
}

impl Followed {
    /// Opens the socket in the namespace, where it stays.
    fn new(namespace: &Namespace, buffer: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let hotplug = within(&namespace.0, || {
            let _entered = runtime.enter();
            Hotplug::with_buffer(buffer)
        });
        let hotplug = hotplug.unwrap();
        Self { runtime, hotplug, links: BTreeMap::new(), gone: Vec::new() }
    }

    /// Follows changes until `reached`.
    #[track_caller]
    fn until(&mut self, what: &str, reached: impl Fn(&BTreeMap<u32, String>) -> bool) {
        while !reached(&self.links) {
            let hotplug = &mut self.hotplug;
            let next = async { timeout(Duration::from_secs(20), hotplug.changes()).await };
            let changes = self.runtime.block_on(next);
            for change in
                changes.unwrap_or_else(|_| panic!("not {what}: {:?}", self.links)).unwrap()
            {
                match change {
                    LinkChange::Appeared { index, name } => {
                        assert_eq!(self.links.insert(index, name), None);
                    }
                    LinkChange::Disappeared { index, name } => {
                        assert_eq!(self.links.remove(&index).as_ref(), Some(&name));
                        self.gone.push(name);
                    }
                    LinkChange::CameUp { index } => assert!(self.links.contains_key(&index)),
                }
            }
        }
    }
}

fn has(links: &BTreeMap<u32, String>, name: &str) -> bool {
    links.values().any(|known| known == name)
}

#[test]
fn interfaces_are_followed_through_all_that_can_happen_to_them() {
    if !privileged() {
        return;
    }
    let (namespace, other) = (Namespace::new(), Namespace::new());
    namespace.create("early");
    let mut followed = Followed::new(&namespace, 1 << 20);
    followed.until("listed", |links| has(links, "early") && has(links, "lo"));
    namespace.create("late");
    followed.until("created", |links| has(links, "late"));
    namespace.ip("link set late name later");
    followed.until("renamed", |links| has(links, "later") && !has(links, "late"));
    // A port that leaves a bridge still exists.
    namespace.ip("link add name bridge0 type bridge");
    namespace.ip("link set later master bridge0");
    namespace.ip("link set later nomaster");
    namespace.ip("link del bridge0");
    namespace.create("marker");
    followed.until("bridged", |links| has(links, "marker") && !has(links, "bridge0"));
    assert!(!followed.gone.contains(&"later".into()), "{:?}", followed.gone);
    namespace.ip(&format!("link set later netns {}", other.0));
    followed.until("moved", |links| !has(links, "later"));
    let before = followed.links.clone();
    namespace.ip("link del early");
    namespace.create("early");
    followed.until("recreated", |links| {
        links.iter().any(|(index, name)| name == "early" && !before.contains_key(index))
    });
}

#[test]
fn lost_notifications_lead_to_a_new_listing() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new();
    // Room for a few notifications.
    let mut followed = Followed::new(&namespace, 4096);
    followed.until("listed", |links| has(links, "lo"));
    for number in 0..40 {
        namespace.ip(&format!("link add a{number} type veth peer name b{number}"));
    }
    namespace.ip("link del a7");
    followed.until("listed again", |links| links.len() == 1 + 2 * 39);
    assert!(!has(&followed.links, "a7") && has(&followed.links, "b39"));
    for number in (0..40).filter(|number| *number != 7) {
        namespace.ip(&format!("link del a{number}"));
    }
    followed.until("gone", |links| links.len() == 1);
}
