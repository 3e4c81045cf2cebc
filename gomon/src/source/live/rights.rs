//! Which capabilities this process lacks for what it was refused.

use std::fs;

/// A capability, by its number (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capability {
    NetAdmin = 12,
    NetRaw = 13,
    SysAdmin = 21,
    Perfmon = 38,
    Bpf = 39,
}

/// The capabilities that something takes.
#[derive(Debug)]
pub(super) struct Needed {
    all: &'static [Capability],
    /// Or this one alone.
    or: Option<Capability>,
}

/// To load programs, and to attach them by links.
pub(super) const PROGRAMS: Needed = Needed {
    all: &[Capability::Bpf, Capability::NetAdmin, Capability::Perfmon],
    or: Some(Capability::SysAdmin),
};
/// To change the filters of an interface.
pub(super) const FILTERS: Needed = Needed { all: &[Capability::NetAdmin], or: None };
/// To capture through libpcap.
pub(super) const CAPTURE: Needed = Needed { all: &[Capability::NetRaw], or: None };

impl Capability {
    fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    fn is_in(self, held: u64) -> bool {
        held & (1 << self as u64) != 0
    }
}

/// Why this process was refused what takes `needed`, if it is for a lack of capabilities: which.
pub(super) fn lacking(needed: &Needed) -> Option<String> {
    let held = effective(&fs::read_to_string("/proc/self/status").ok()?)?;
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    explain(needed, held, is_initial(&map))
}

fn explain(needed: &Needed, held: u64, initial: bool) -> Option<String> {
    let enough = needed.or.is_some_and(|other| other.is_in(held));
    let lacks: Vec<_> = needed.all.iter().filter(|one| !enough && !one.is_in(held)).collect();
    let names: Vec<_> = lacks.iter().map(|capability| capability.name()).collect();
    match names.as_slice() {
        // Programs are of the whole machine, and some interfaces belong to another namespace.
        [] if !initial => Some(
            "this process has its capabilities in a user namespace only, which is not enough here: \
             run it outside of one"
                .to_owned(),
        ),
        [] => None,
        [first @ .., last] => {
            let names = match first {
                [] => (*last).to_owned(),
                first => format!("{} and {last}", first.join(", ")),
            };
            Some(format!("this process lacks {names}: grant that or run as root"))
        }
    }
}

/// The effective capabilities in the text of `/proc/self/status`.
fn effective(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// Whether a map of user numbers is that of the user namespace all others are in: every number is
/// itself.
fn is_initial(map: &str) -> bool {
    map.is_empty() || map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tgomon\nUmask:\t0022\nCapInh:\t0000000000000000\n\
        CapPrm:\t000001ffffffffff\nCapEff:\t000000c000003000\nCapBnd:\t000001ffffffffff\n";

    #[test]
    fn the_effective_capabilities_are_those_in_force() {
        let held = effective(STATUS).unwrap();
        let in_force: Vec<_> = (0..64).filter(|bit| held & (1 << bit) != 0).collect();
        assert_eq!(in_force, [12, 13, 38, 39]);
        for wrong in ["", "CapEff:", "CapEff: xyz", "CapPrm:\t0000000000000001"] {
            assert_eq!(effective(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_lacking_is_named_and_nothing_else() {
        use Capability::{Bpf, NetAdmin, NetRaw, Perfmon, SysAdmin};
        for (needed, held, named) in [
            (&PROGRAMS, &[][..], Some("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")),
            (&PROGRAMS, &[NetRaw, Bpf], Some("CAP_NET_ADMIN and CAP_PERFMON")),
            (&PROGRAMS, &[NetAdmin, Bpf], Some("CAP_PERFMON")),
            (&PROGRAMS, &[NetAdmin, Bpf, Perfmon], None),
            (&PROGRAMS, &[SysAdmin], None),
            (&FILTERS, &[SysAdmin], Some("CAP_NET_ADMIN")),
            (&FILTERS, &[NetAdmin], None),
            (&CAPTURE, &[SysAdmin, NetAdmin, Bpf, Perfmon], Some("CAP_NET_RAW")),
            (&CAPTURE, &[NetRaw], None),
        ] {
            let held = held.iter().fold(0, |held, &one| held | 1 << one as u64);
            let said =
                named.map(|names| format!("this process lacks {names}: grant that or run as root"));
            assert_eq!(explain(needed, held, true), said, "{needed:?} {held:x}");
        }
    }

    #[test]
    fn capabilities_of_a_user_namespace_are_told_apart() {
        let said = |held| explain(&PROGRAMS, held, false).unwrap();
        assert!(said(u64::MAX).contains("in a user namespace only"));
        assert!(said(0).contains("this process lacks CAP_BPF"));
        assert!(is_initial("         0          0 4294967295\n") && is_initial(""));
        assert!(!is_initial("         0       1000          1\n"));
    }
}
