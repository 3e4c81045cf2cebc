//! Attaching the kernel program to an interface: the ladder from the fastest way to the most
//! compatible one.

use std::fmt;

use anyhow::{Context, Error, Result, anyhow, bail};
use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, TcAttachOptions, TcAttachType};
use aya::programs::xdp::XdpMode;
use aya::programs::{LinkOrder, Program, SchedClassifier, Xdp, tc};
use gomon_common::kernel::names;
use rustix::io::Errno;

use super::interface;
use super::kernel::Kernel;

/// A way to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// XDP in the driver.
    Xdp,
    /// TC at the head of the chain, by a link (Linux 6.6).
    Tcx,
    /// XDP in the network stack.
    XdpGeneric,
    /// TC by a filter of the clsact qdisc.
    Clsact,
}

/// The ladder, from its top.
pub const LADDER: [Rung; 4] = [Rung::Xdp, Rung::Tcx, Rung::XdpGeneric, Rung::Clsact];

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "XDP (native)",
            Self::Tcx => "TCX",
            Self::XdpGeneric => "XDP (generic)",
            Self::Clsact => "TC (clsact)",
        })
    }
}

/// Attaches by the first of `rungs` that the kernel takes, and says which.
///
/// # Errors
///
/// When it takes none, with its reason for the last.
pub(super) fn attach(kernel: &mut Kernel, interface: &str, rungs: &[Rung]) -> Result<Rung> {
    let mut last = anyhow!("there is no way to attach");
    for &rung in rungs {
        match step(kernel, interface, rung) {
            Ok(()) => return Ok(rung),
            Err(error) => {
                last = explain(error, interface, Some(rung)).context(rung.to_string());
                if rungs.len() > 1 {
                    log::info!("attaching to {interface}: {last:#}: trying the next way");
                }
            }
        }
    }
    Err(last)
}

fn step(kernel: &mut Kernel, interface: &str, rung: Rung) -> Result<()> {
    match rung {
        Rung::Xdp => xdp(kernel, interface, XdpMode::Driver),
        Rung::XdpGeneric => xdp(kernel, interface, XdpMode::Skb),
        Rung::Tcx => tc(kernel, interface, TcAttachOptions::TcxOrder(LinkOrder::first())),
        Rung::Clsact => {
            clsact(interface)?;
            tc(kernel, interface, TcAttachOptions::Netlink(NlOptions::default()))
        }
    }
}

fn xdp(kernel: &mut Kernel, interface: &str, mode: XdpMode) -> Result<()> {
    let mut refused = None;
    // The program for frames in several buffers needs a kernel that has them.
    for name in [names::XDP_FRAGS, names::XDP] {
        let program: &mut Xdp = program(kernel, name)?.try_into()?;
        if let Err(error) = loaded(program.load()) {
            refused = Some(error);
            continue;
        }
        let id = program.attach(interface, mode)?;
        // Without a link the program would stay when this process is killed.
        let link = program.take_link(id)?;
        let link = FdLink::try_from(link).context("this kernel attaches XDP without a link")?;
        program.attach_to_link(link.try_into()?)?;
        return Ok(());
    }
    Err(refused.unwrap_or_else(|| anyhow!("the object has no XDP program")))
}

fn tc(kernel: &mut Kernel, interface: &str, options: TcAttachOptions) -> Result<()> {
    classifier(kernel, names::TC, interface, TcAttachType::Ingress, options)
}

fn classifier(
    kernel: &mut Kernel,
    name: &str,
    interface: &str,
    direction: TcAttachType,
    options: TcAttachOptions,
) -> Result<()> {
    let program: &mut SchedClassifier = program(kernel, name)?.try_into()?;
    loaded(program.load())?;
    program.attach_with_options(interface, direction, options)?;
    Ok(())
}

/// Has the answers to the bot looked at, which go out at its tap. Without them, artifacts hold one
/// direction, and the log says so.
pub(super) fn answers(kernel: &mut Kernel, interface: &str) {
    let mut egress =
        |options| classifier(kernel, names::TC_EGRESS, interface, TcAttachType::Egress, options);
    let attached = egress(TcAttachOptions::TcxOrder(LinkOrder::first())).or_else(|_| {
        clsact(interface)?;
        egress(TcAttachOptions::Netlink(NlOptions::default()))
    });
    if let Err(error) = attached {
        log::warn!(
            "artifacts lack what goes back to the bot: attaching to what goes out: {error:#}"
        );
    }
}

/// Makes sure that the qdisc is there that filters hang on.
fn clsact(interface: &str) -> Result<()> {
    match tc::qdisc_add_clsact(interface).map_err(Error::from) {
        Err(error) if errno(&error) != Some(Errno::EXIST) => Err(error),
        _ => Ok(()),
    }
}

fn program<'a>(kernel: &'a mut Kernel, name: &str) -> Result<&'a mut Program> {
    kernel.ebpf().program_mut(name).ok_or_else(|| anyhow!("the object has no program {name}"))
}

/// A program that an earlier rung loaded is as good.
fn loaded(result: Result<(), aya::programs::ProgramError>) -> Result<()> {
    match result {
        Ok(()) | Err(aya::programs::ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The kernel's number in an error, if it has one.
fn errno(error: &Error) -> Option<Errno> {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>())?;
    io.raw_os_error().map(Errno::from_raw_os_error)
}

/// Adds what the kernel's number does not say.
pub(super) fn explain(error: Error, interface: &str, rung: Option<Rung>) -> Error {
    match errno(&error) {
        // Busy: held in the same mode. There already: held in the other one.
        Some(Errno::BUSY | Errno::EXIST) if matches!(rung, Some(Rung::Xdp | Rung::XdpGeneric)) => {
            error.context(format!("another XDP program holds {interface}"))
        }
        Some(Errno::PERM | Errno::ACCESS) => error.context(
            "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed: grant them or run as root",
        ),
        Some(Errno::NODEV) => error.context("there is no such interface"),
        _ => error,
    }
}

/// What the kernel says about an interface before anything is attached.
///
/// # Errors
///
/// When it carries no Ethernet frames.
pub(super) fn inspect(interface: &str) -> Result<()> {
    let read = |name: &str| interface::read(interface, name).unwrap_or_default();
    // ARPHRD_ETHER, and the loopback interface, which has Ethernet headers too.
    if !matches!(read("type").as_str(), "1" | "772" | "") {
        bail!("{interface} carries no Ethernet frames: name a tap or an Ethernet interface");
    }
    if read("operstate") == "down" {
        log::warn!("{interface} is down: nothing is counted until it is up");
    }
    Ok(())
}
