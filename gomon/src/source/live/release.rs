//! The Linux releases that introduced features the running kernel may lack.

use std::fs;

use rustix::io::Errno;

use super::mode::AttachMode;

/// Major and minor version.
type Release = (u32, u32);

/// Modes, the feature they require, the first release with it, and the errors of kernels without it.
const FEATURES: [(&[AttachMode], &str, Release, &[Errno]); 2] = [
    (&[AttachMode::Tcx], "TCX", (6, 6), UNSUPPORTED),
    // The XDP program for single-buffer frames cannot be attached if a frame may need several buffers.
    (
        &[AttachMode::Xdp, AttachMode::XdpGeneric],
        "XDP on frames larger than a page",
        (5, 18),
        &[Errno::INVAL, Errno::RANGE],
    ),
];
/// The errors of a kernel that does not know a feature.
const UNSUPPORTED: &[Errno] = &[Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::TOOBIG];
/// The oldest supported release.
const OLDEST: Release = (5, 10);

/// Explains which feature the running kernel is too old for, if `errno` may mean that. `mode` is `None`
/// if the error occurred before the first attempt to attach.
pub(super) fn explain_unsupported(mode: Option<AttachMode>, errno: Errno) -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    explain(text.trim(), mode, errno)
}

fn explain(text: &str, mode: Option<AttachMode>, errno: Errno) -> Option<String> {
    if mode.is_none() && errno == Errno::NOSYS {
        return Some(format!("this kernel, {text}, is built without BPF"));
    }
    let running = parse(text)?;
    let missing = FEATURES.iter().find(|(modes, _, release, errnos)| {
        mode.is_some_and(|mode| modes.contains(&mode))
            && running < *release
            && errnos.contains(&errno)
    });
    let too_old = (running < OLDEST && UNSUPPORTED.contains(&errno)).then_some(("gomon", OLDEST));
    let (what, (major, minor)) =
        missing.map(|&(_, what, release, _)| (what, release)).or(too_old)?;
    Some(format!("{what} requires Linux {major}.{minor}; this is {text}"))
}

/// Parses a release like `6.1.0-13-amd64`.
fn parse(text: &str) -> Option<Release> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_parsed_with_any_suffix() {
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
    fn missing_features_of_old_kernels_are_named() {
        let message = |text, mode, errno| explain(text, mode, errno).unwrap_or_default();
        let (xdp, tcx, clsact) =
            (Some(AttachMode::Xdp), Some(AttachMode::Tcx), Some(AttachMode::Clsact));
        for (text, mode, errno, expected) in [
            ("6.5.9", tcx, Errno::INVAL, "TCX requires Linux 6.6; this is 6.5.9"),
            ("6.6.0", tcx, Errno::INVAL, ""),
            ("6.1.0", tcx, Errno::BUSY, ""),
            (
                "5.15.1",
                xdp,
                Errno::RANGE,
                "XDP on frames larger than a page requires Linux 5.18; this is 5.15.1",
            ),
            ("5.15.1", xdp, Errno::OPNOTSUPP, ""),
            ("5.15.1", clsact, Errno::INVAL, ""),
            ("5.4.0-1", None, Errno::INVAL, "gomon requires Linux 5.10; this is 5.4.0-1"),
            ("6.1.0", None, Errno::NOSYS, "this kernel, 6.1.0, is built without BPF"),
            ("unknown", tcx, Errno::INVAL, ""),
        ] {
            assert_eq!(message(text, mode, errno), expected, "{text} {mode:?}");
        }
    }
}
