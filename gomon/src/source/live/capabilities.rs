//! The capabilities that this process lacks for an operation that failed.

use std::fs;

/// A capability with its number in `linux/capability.h` (see capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capability {
    NetAdmin = 12,
    NetRaw = 13,
    SysAdmin = 21,
    Perfmon = 38,
    Bpf = 39,
}

/// The capabilities that an operation requires.
#[derive(Debug)]
pub(super) struct Required {
    all: &'static [Capability],
    /// A single capability that is sufficient instead.
    or: Option<Capability>,
}

/// Required to load programs and to attach them by links.
pub(super) const PROGRAMS: Required = Required {
    all: &[Capability::Bpf, Capability::NetAdmin, Capability::Perfmon],
    or: Some(Capability::SysAdmin),
};
/// Required to change the TC filters of an interface.
pub(super) const FILTERS: Required = Required { all: &[Capability::NetAdmin], or: None };
/// Required to capture with libpcap.
pub(super) const CAPTURE: Required = Required { all: &[Capability::NetRaw], or: None };

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

/// Explains which of the `required` capabilities this process lacks. `None` if it lacks none.
pub(super) fn explain_missing(required: &Required) -> Option<String> {
    let held = parse_effective(&fs::read_to_string("/proc/self/status").ok()?)?;
    let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    explain(required, held, is_initial_namespace(&uid_map))
}

fn explain(required: &Required, held: u64, in_initial_namespace: bool) -> Option<String> {
    let has_other = required.or.is_some_and(|other| other.is_in(held));
    let missing = required.all.iter().filter(|capability| !has_other && !capability.is_in(held));
    let names: Vec<_> = missing.map(|capability| capability.name()).collect();
    match names.as_slice() {
        // BPF requires capabilities in the initial user namespace, and the interface may belong to
        // another one.
        [] if !in_initial_namespace => Some(
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

/// Parses the effective capabilities in `/proc/self/status`.
fn parse_effective(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// Returns whether this is the UID map of the initial user namespace, which maps every UID to itself.
fn is_initial_namespace(uid_map: &str) -> bool {
    uid_map.is_empty() || uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tgomon\nUmask:\t0022\nCapInh:\t0000000000000000\n\
        CapPrm:\t000001ffffffffff\nCapEff:\t000000c000003000\nCapBnd:\t000001ffffffffff\n";

    #[test]
    fn effective_capabilities_are_parsed() {
        let held = parse_effective(STATUS).unwrap();
        let effective: Vec<_> = (0..64).filter(|bit| held & (1 << bit) != 0).collect();
        assert_eq!(effective, [12, 13, 38, 39]);
        for wrong in ["", "CapEff:", "CapEff: xyz", "CapPrm:\t0000000000000001"] {
            assert_eq!(parse_effective(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_missing_capabilities_are_named() {
        use Capability::{Bpf, NetAdmin, NetRaw, Perfmon, SysAdmin};
        for (required, held, missing) in [
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
            let held = held.iter().fold(0, |held, &capability| held | 1 << capability as u64);
            let expected = missing
                .map(|names| format!("this process lacks {names}: grant that or run as root"));
            assert_eq!(explain(required, held, true), expected, "{required:?} {held:x}");
        }
    }

    #[test]
    fn capabilities_in_a_user_namespace_are_insufficient() {
        let message = |held| explain(&PROGRAMS, held, false).unwrap();
        assert!(message(u64::MAX).contains("in a user namespace only"));
        assert!(message(0).contains("this process lacks CAP_BPF"));
        assert!(
            is_initial_namespace("         0          0 4294967295\n") && is_initial_namespace("")
        );
        assert!(!is_initial_namespace("         0       1000          1\n"));
    }
}
