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

/// Whether an interface is switched off, or nobody is at the other end.
pub(super) fn is_down(interface: &str) -> bool {
    read(interface, "operstate").is_some_and(|state| state == "down")
}

/// What the kernel has to say about an interface under `name`.
pub(super) fn read(interface: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(FOLDER).join(interface).join(name)).ok()?;
    Some(text.trim().to_owned())
}
