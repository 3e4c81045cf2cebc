//! The interfaces of a network namespace, kept up to date from notifications and listings. Pure: messages in, changes
//! out.

use std::collections::{BTreeMap, BTreeSet};

/// An interface, as a notification or a listing describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// Unique in its network namespace, and never changed by a rename.
    pub(super) index: u32,
    pub(super) name: String,
    /// Whether it is administratively up.
    pub(super) is_up: bool,
}

/// A change of the interfaces. An interface with another name is another interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum LinkChange {
    /// There is an interface of this name and index.
    Appeared { index: u32, name: String },
    /// There is no such interface any more: it was removed, renamed or moved to another namespace.
    Disappeared { index: u32, name: String },
    /// An interface that was down is up.
    CameUp { index: u32 },
}

/// The known interfaces.
#[derive(Debug, Default)]
pub(super) struct LinkTable {
    links: BTreeMap<u32, (String, bool)>,
    /// The interfaces that the listing in progress contains, or that were announced meanwhile.
    listed: Option<BTreeSet<u32>>,
}

impl LinkTable {
    /// Records an interface that exists.
    pub(super) fn seen(&mut self, link: LinkInfo, changes: &mut Vec<LinkChange>) {
        let LinkInfo { index, name, is_up } = link;
        if let Some(listed) = &mut self.listed {
            listed.insert(index);
        }
        match self.links.get_mut(&index) {
            Some((known, was_up)) if *known == name => {
                if is_up && !*was_up {
                    changes.push(LinkChange::CameUp { index });
                }
                *was_up = is_up;
                return;
            }
            Some(_) => self.remove(index, changes),
            None => {}
        }
        // A name is unique, so another interface that had it was removed or renamed, and the notification was lost.
        let stale = self.links.iter().find(|(_, (known, _))| *known == name);
        if let Some((&stale, _)) = stale {
            self.remove(stale, changes);
        }
        self.links.insert(index, (name.clone(), is_up));
        changes.push(LinkChange::Appeared { index, name });
    }

    /// Records that an interface does not exist any more.
    pub(super) fn gone(&mut self, index: u32, changes: &mut Vec<LinkChange>) {
        if let Some(listed) = &mut self.listed {
            listed.remove(&index);
        }
        self.remove(index, changes);
    }

    /// Begins a listing of all interfaces. Each is then recorded as [`LinkTable::seen`], in the order in which the
    /// messages arrive.
    pub(super) fn begin_list(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    /// Ends a listing: an interface that it does not contain does not exist.
    pub(super) fn end_list(&mut self, changes: &mut Vec<LinkChange>) {
        let Some(listed) = self.listed.take() else { return };
        let missing: Vec<_> =
            self.links.keys().copied().filter(|index| !listed.contains(index)).collect();
        for index in missing {
            self.remove(index, changes);
        }
    }

    fn remove(&mut self, index: u32, changes: &mut Vec<LinkChange>) {
        if let Some((name, _)) = self.links.remove(&index) {
            changes.push(LinkChange::Disappeared { index, name });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens in the kernel.
    #[derive(Clone, Debug)]
    enum Happening {
        Created(u8),
        Removed(u8),
        Renamed(u8, u8),
        SetUp(u8, bool),
        /// The notifications from here to the next listing are lost.
        Overflow,
        Listing,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        use Happening::{Created, Listing, Overflow, Removed, Renamed, SetUp};
        let name = 0..6u8;
        prop_oneof![
            4 => name.clone().prop_map(Created),
            3 => name.clone().prop_map(Removed),
            2 => (name.clone(), name.clone()).prop_map(|(old, new)| Renamed(old, new)),
            2 => (name, any::<bool>()).prop_map(|(name, is_up)| SetUp(name, is_up)),
            1 => Just(Overflow),
            1 => Just(Listing),
        ]
    }

    /// The kernel's interfaces by name, and whether notifications arrive.
    #[derive(Default)]
    struct NaiveKernel {
        links: BTreeMap<u8, (u32, bool)>,
        last_index: u32,
        is_deaf: bool,
    }

    fn info(name: u8, (index, is_up): (u32, bool)) -> LinkInfo {
        LinkInfo { index, name: format!("vnet{name}"), is_up }
    }

    impl NaiveKernel {
        /// Performs what can happen, and passes on what the kernel sends.
        fn perform(&mut self, happening: &Happening, table: &mut LinkTable) -> Vec<LinkChange> {
            let mut changes = Vec::new();
            let mut notice = None;
            match *happening {
                Happening::Created(name) if !self.links.contains_key(&name) => {
                    self.last_index += 1;
                    self.links.insert(name, (self.last_index, false));
                    notice = Some(info(name, self.links[&name]));
                }
                Happening::Removed(name) => {
                    if let Some((index, _)) = self.links.remove(&name)
                        && !self.is_deaf
                    {
                        table.gone(index, &mut changes);
                    }
                }
                Happening::Renamed(old, new) if !self.links.contains_key(&new) => {
                    if let Some(link) = self.links.remove(&old) {
                        self.links.insert(new, link);
                        notice = Some(info(new, link));
                    }
                }
                Happening::SetUp(name, is_up) => {
                    if let Some(link) = self.links.get_mut(&name) {
                        link.1 = is_up;
                        notice = Some(info(name, *link));
                    }
                }
                Happening::Overflow => self.is_deaf = true,
                Happening::Listing => {
                    self.is_deaf = false;
                    table.begin_list();
                    for (&name, &link) in &self.links {
                        table.seen(info(name, link), &mut changes);
                    }
                    table.end_list(&mut changes);
                }
                Happening::Created(_) | Happening::Renamed(..) => {}
            }
            if let Some(notice) = notice.filter(|_| !self.is_deaf) {
                table.seen(notice, &mut changes);
            }
            changes
        }
    }

    proptest! {
        #[test]
        fn changes_add_up_to_the_interfaces_that_exist(
            happenings in proptest::collection::vec(happening(), 0..80)
        ) {
            let (mut kernel, mut table) = (NaiveKernel::default(), LinkTable::default());
            let mut attached: BTreeMap<u32, String> = BTreeMap::new();
            for happening in happenings.iter().chain([&Happening::Listing]) {
                for change in kernel.perform(happening, &mut table) {
                    match change {
                        LinkChange::Appeared { index, name } => {
                            prop_assert!(!attached.values().any(|other| *other == name));
                            prop_assert_eq!(attached.insert(index, name), None);
                        }
                        LinkChange::Disappeared { index, name } => {
                            prop_assert_eq!(attached.remove(&index), Some(name));
                        }
                        LinkChange::CameUp { index } => prop_assert!(attached.contains_key(&index)),
                    }
                }
                if !kernel.is_deaf {
                    let expected: BTreeMap<_, _> =
                        kernel.links.iter().map(|(name, link)| (link.0, format!("vnet{name}"))).collect();
                    prop_assert_eq!(&attached, &expected);
                }
            }
        }
    }

    #[test]
    fn an_interface_that_is_removed_during_a_listing_is_gone() {
        let mut table = LinkTable::default();
        let mut changes = Vec::new();
        table.seen(info(0, (1, false)), &mut changes);
        table.seen(info(1, (2, true)), &mut changes);
        table.begin_list();
        table.seen(info(0, (1, true)), &mut changes);
        table.gone(1, &mut changes);
        table.seen(info(2, (3, false)), &mut changes);
        changes.clear();
        table.end_list(&mut changes);
        assert_eq!(changes, [LinkChange::Disappeared { index: 2, name: "vnet1".into() }]);
        assert_eq!(table.links.len(), 1);
    }
}
