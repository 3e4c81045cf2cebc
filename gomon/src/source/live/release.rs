//! Which Linux brought what the running one may lack.

use std::fs;

use rustix::io::Errno;

use super::AttachMode;

/// Major and minor number.
type Release = (u32, u32);

/// What a mode takes, the first release that has it, and what the kernel says without it.
const FEATURES: [(&[AttachMode], &str, Release, &[Errno]); 2] = [
    (&[AttachMode::Tcx], "TCX", (6, 6), UNKNOWN),
    // A program for frames in one buffer is refused where a frame may take several.
    (
        &[AttachMode::Xdp, AttachMode::XdpGeneric],
        "XDP on frames larger than a page",
        (5, 18),
        &[Errno::INVAL, Errno::RANGE],
    ),
];
/// What a kernel says to what it has never heard of.
const UNKNOWN: &[Errno] = &[Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::TOOBIG];
/// The first release whose maps and programs are those gomon is built for.
const OLDEST: Release = (5, 10);

/// What the kernel that is running is too old for, as far as its number `errno` may mean that: on
/// `mode`, or before any.
pub(super) fn missing(mode: Option<AttachMode>, errno: Errno) -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    explain(text.trim(), mode, errno)
}

fn explain(text: &str, mode: Option<AttachMode>, errno: Errno) -> Option<String> {
    if mode.is_none() && errno == Errno::NOSYS {
        return Some(format!("this Linux, {text}, is built without BPF"));
    }
    let running = parse(text)?;
    let lacking = FEATURES.iter().find(|(modes, _, release, errnos)| {
        mode.is_some_and(|mode| modes.contains(&mode))
            && running < *release
            && errnos.contains(&errno)
    });
    let old = (running < OLDEST && UNKNOWN.contains(&errno)).then_some(("this", OLDEST));
    let (what, (major, minor)) = lacking.map(|&(_, what, release, _)| (what, release)).or(old)?;
    Some(format!("{what} takes Linux {major}.{minor}, and here runs {text}"))
}

/// The release in a text like `6.1.0-13-amd64`.
fn parse(text: &str) -> Option<Release> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_whatever_follows() {
        for (text, release) in [
            ("6.1.0-13-amd64", Some((6, 1))),
            ("5.10", Some((5, 10))),
            ("7.2-rc1", Some((7, 2))),
            ("5.15.153.1-microsoft-standard-WSL2", Some((5, 15))),
            ("six", None),
            ("6", None),
            ("", None),
        ] {
            assert_eq!(parse(text), release, "{text:?}");
        }
    }

    #[test]
    fn a_kernel_that_is_too_old_is_told_what_it_lacks() {
        let said = |text, mode, errno| explain(text, mode, errno).unwrap_or_default();
        let (xdp, tcx, clsact) =
            (Some(AttachMode::Xdp), Some(AttachMode::Tcx), Some(AttachMode::Clsact));
        for (text, mode, errno, expected) in [
            ("6.5.9", tcx, Errno::INVAL, "TCX takes Linux 6.6, and here runs 6.5.9"),
            ("6.6.0", tcx, Errno::INVAL, ""),
            ("6.1.0", tcx, Errno::BUSY, ""),
            (
                "5.15.1",
                xdp,
                Errno::RANGE,
                "XDP on frames larger than a page takes Linux 5.18, and here runs 5.15.1",
            ),
            ("5.15.1", xdp, Errno::OPNOTSUPP, ""),
            ("5.15.1", clsact, Errno::INVAL, ""),
            ("5.4.0-1", None, Errno::INVAL, "this takes Linux 5.10, and here runs 5.4.0-1"),
            ("6.1.0", None, Errno::NOSYS, "this Linux, 6.1.0, is built without BPF"),
            ("unheard of", tcx, Errno::INVAL, ""),
        ] {
            assert_eq!(said(text, mode, errno), expected, "{text} {mode:?}");
        }
    }
}
