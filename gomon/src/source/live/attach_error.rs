//! Explains why attaching failed: an error number alone says little.

use anyhow::{Error, anyhow};
use rustix::io::Errno;

use super::interface::{self, LinkState};
use super::mode::AttachMode;
use super::{capabilities, release};

/// Returns the error number of the kernel in an error, if there is one.
pub(super) fn errno(error: &Error) -> Option<Errno> {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>())?;
    io.raw_os_error().map(Errno::from_raw_os_error)
}

/// Returns whether the error is due to lacking capabilities that every program requires.
pub(super) fn lacks_capabilities(error: &Error) -> bool {
    matches!(errno(error), Some(Errno::PERM | Errno::ACCESS))
        && capabilities::explain_missing(&capabilities::PROGRAMS).is_some()
}

/// Adds to an error what it means and what to do. `mode` is `None` if the error occurred before the first
/// attempt to attach. `fallback_advice` is used if the error is unknown.
pub(super) fn explain(
    error: Error,
    interface: &str,
    mode: Option<AttachMode>,
    fallback_advice: Option<&str>,
) -> Error {
    let why = match (mode, errno(&error)) {
        // Errors of libpcap are text and have no number.
        (Some(AttachMode::Pcap), _) if interface::state(interface) == LinkState::Down => {
            Some(format!("run: ip link set {interface} up"))
        }
        (Some(AttachMode::Pcap), _) => {
            let is_denied = error.to_string().contains("not permitted");
            capabilities::explain_missing(&capabilities::CAPTURE).filter(|_| is_denied)
        }
        (_, None) => None,
        // EBUSY: another program is attached in the same mode. EEXIST: in the other XDP mode.
        (Some(AttachMode::Xdp | AttachMode::XdpGeneric), Some(Errno::BUSY | Errno::EXIST)) => {
            Some(format!(
                "another XDP program is attached to {interface}: detach it, or use --attach tc"
            ))
        }
        (mode, Some(number @ (Errno::PERM | Errno::ACCESS))) => explain_denied(mode, number),
        (_, Some(Errno::NODEV)) => Some("there is no such interface".to_owned()),
        (mode, Some(number)) => release::explain_unsupported(mode, number),
    };
    match why.as_deref().or(fallback_advice) {
        Some(why) => anyhow!("{error:#}: {why}"),
        None => error,
    }
}

fn explain_denied(mode: Option<AttachMode>, number: Errno) -> Option<String> {
    let missing = capabilities::explain_missing(&capabilities::PROGRAMS);
    let missing = missing.or_else(|| match mode {
        Some(AttachMode::Clsact) => capabilities::explain_missing(&capabilities::FILTERS),
        _ => None,
    });
    missing.or_else(|| match number {
        Errno::PERM => Some(
            "this process has the required capabilities: check whether a seccomp filter, a security \
             module, or kernel lockdown forbids BPF"
                .to_owned(),
        ),
        // EACCES: the verifier rejected the program.
        _ => Some("see the verifier's log with --log-level debug".to_owned()),
    })
}
