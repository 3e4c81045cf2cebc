//! What the kernel shows of its network interfaces.

use std::fs;
use std::path::Path;

/// A folder for each interface, and files of drivers beside them.
const FOLDER: &str = "/sys/class/net";

/// The names of all interfaces, sorted.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().display().to_string());
    let mut names: Vec<_> = names.filter(|name| number(name).is_some()).collect();
    names.sort_unstable();
    names
}

/// The number of an interface, as the kernel writes it; it outlasts a change of the name.
pub(super) fn number(interface: &str) -> Option<String> {
    read(interface, "ifindex")
}

/// Whether frames can come in through an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Up,
    /// It is switched off.
    Down,
    /// It is switched on, and nothing is at its other end.
    NoCarrier,
}

/// The state of an interface.
pub(super) fn state(interface: &str) -> LinkState {
    /// `IFF_UP` of netdevice(7).
    const UP: u32 = 1;
    let flags = read(interface, "flags");
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    // Of an interface that is down the kernel does not show the carrier.
    match (flags.is_none_or(|flags| flags & UP != 0), read(interface, "carrier").as_deref()) {
        (false, _) => LinkState::Down,
        (true, Some("0")) => LinkState::NoCarrier,
        (true, _) => LinkState::Up,
    }
}

/// What the kernel has to say about an interface under `name`.
pub(super) fn read(interface: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(FOLDER).join(interface).join(name)).ok()?;
    Some(text.trim().to_owned())
}
