//! Why the kernel refuses to attach, in words: its number says little on its own.

use anyhow::{Error, anyhow};
use rustix::io::Errno;

use super::interface::{self, LinkState};
use super::{AttachMode, release, rights};

/// The kernel's number in an error, if it has one.
pub(super) fn errno(error: &Error) -> Option<Errno> {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>())?;
    io.raw_os_error().map(Errno::from_raw_os_error)
}

/// Whether the error is for a lack of the rights that every program takes.
pub(super) fn is_denied(error: &Error) -> bool {
    matches!(errno(error), Some(Errno::PERM | Errno::ACCESS))
        && rights::lacking(&rights::PROGRAMS).is_some()
}

/// Adds to an error on `mode`, or before any program was attached, what it means and what to do;
/// `otherwise` is what to do where nothing is known of the error.
pub(super) fn explain(
    error: Error,
    interface: &str,
    mode: Option<AttachMode>,
    otherwise: Option<&str>,
) -> Error {
    let why = match (mode, errno(&error)) {
        // libpcap has words, and no numbers.
        (Some(AttachMode::Pcap), _) if interface::state(interface) == LinkState::Down => {
            Some(format!("type: ip link set {interface} up"))
        }
        (Some(AttachMode::Pcap), _) => {
            let denied = error.to_string().contains("not permitted");
            rights::lacking(&rights::CAPTURE).filter(|_| denied)
        }
        (_, None) => None,
        // Busy: held in the same mode. There already: held in the other one.
        (Some(AttachMode::Xdp | AttachMode::XdpGeneric), Some(Errno::BUSY | Errno::EXIST)) => {
            Some(format!("another XDP program holds {interface}: take it off, or give --attach tc"))
        }
        (mode, Some(number @ (Errno::PERM | Errno::ACCESS))) => denied(mode, number),
        (_, Some(Errno::NODEV)) => Some("there is no such interface".to_owned()),
        (mode, Some(number)) => release::missing(mode, number),
    };
    match why.as_deref().or(otherwise) {
        Some(why) => anyhow!("{error:#}: {why}"),
        None => error,
    }
}

fn denied(mode: Option<AttachMode>, number: Errno) -> Option<String> {
    let lacking = rights::lacking(&rights::PROGRAMS);
    let lacking = lacking.or_else(|| match mode {
        Some(AttachMode::Clsact) => rights::lacking(&rights::FILTERS),
        _ => None,
    });
    lacking.or_else(|| match number {
        Errno::PERM => Some(
            "this process has the capabilities it takes: see whether a seccomp filter, a security \
             module or lockdown forbids BPF"
                .to_owned(),
        ),
        // The verifier refuses a program with this number.
        _ => Some("see the verifier's log with --log-level debug".to_owned()),
    })
}
