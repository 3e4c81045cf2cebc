//! Network interfaces, as listed in sysfs.

use std::fs;
use std::path::Path;

/// Contains a directory per interface, and files of drivers such as `bonding_masters`.
const SYSFS_DIRECTORY: &str = "/sys/class/net";

/// Returns the names of all interfaces, sorted.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(SYSFS_DIRECTORY).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().display().to_string());
    let mut names: Vec<_> = names.filter(|name| index(name).is_some()).collect();
    names.sort_unstable();
    names
}

/// Returns the index of an interface in decimal digits. It does not change when the interface is renamed.
pub(super) fn index(interface: &str) -> Option<String> {
    read_attribute(interface, "ifindex")
}

/// Whether an interface can receive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Up,
    /// Administratively down.
    Down,
    /// Administratively up, but nothing is connected to the other end.
    NoCarrier,
}

/// Returns the link state of an interface.
pub(super) fn state(interface: &str) -> LinkState {
    /// `IFF_UP` of netdevice(7).
    const UP: u32 = 1;
    let flags = read_attribute(interface, "flags");
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    // Reading the carrier of an interface that is down fails.
    let carrier = read_attribute(interface, "carrier");
    match (flags.is_none_or(|flags| flags & UP != 0), carrier.as_deref()) {
        (false, _) => LinkState::Down,
        (true, Some("0")) => LinkState::NoCarrier,
        (true, _) => LinkState::Up,
    }
}

/// Reads a sysfs attribute of an interface.
pub(super) fn read_attribute(interface: &str, attribute: &str) -> Option<String> {
    let path = Path::new(SYSFS_DIRECTORY).join(interface).join(attribute);
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
