//! Attaching the kernel program to an interface: the ladder from the fastest way to the most
//! compatible one.

use std::fmt;
use std::io::ErrorKind;

use anyhow::{Context, Error, Result, anyhow, bail};
use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, TcAttachOptions, TcAttachType};
use aya::programs::xdp::XdpMode;
use aya::programs::{LinkOrder, Program, ProgramError, SchedClassifier, Xdp};
use gomon_common::kernel::names;

use super::Counter;
use super::capture::PcapCounter;
use super::clsact::{self, Claim};
use super::interface::{self, LinkState};
use super::kernel::{CounterConfig, KernelCounter};
use super::refusal::{explain, is_denied};

/// A way to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// XDP in the driver.
    Xdp,
    /// TC at the head of the chain, by a link (Linux 6.6).
    Tcx,
    /// XDP in the network stack.
    XdpGeneric,
    /// TC by a filter of the clsact qdisc.
    Clsact,
    /// No program: every frame comes up through libpcap.
    Pcap,
}

/// The ladder, from its top.
pub const FALLBACK_ORDER: [AttachMode; 5] = [
    AttachMode::Xdp,
    AttachMode::Tcx,
    AttachMode::XdpGeneric,
    AttachMode::Clsact,
    AttachMode::Pcap,
];

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "XDP (native)",
            Self::Tcx => "TCX",
            Self::XdpGeneric => "XDP (generic)",
            Self::Clsact => "TC (clsact)",
            Self::Pcap => "libpcap",
        })
    }
}

/// What counts, and by which way.
pub(super) struct Attached {
    pub(super) mode: AttachMode,
    pub(super) counter: Counter,
    /// For filters that stay behind when this process is killed.
    pub(super) claims: Vec<Claim>,
}

/// Attaches by the first of `modes` that works, and says which.
///
/// # Errors
///
/// When none does, with the reason of each.
pub(super) fn attach(
    interface: &str,
    modes: &[AttachMode],
    config: &CounterConfig,
) -> Result<Attached> {
    let attached = try_each(interface, modes, config)?;
    warn_of_silence(interface);
    Ok(attached)
}

fn try_each(interface: &str, modes: &[AttachMode], config: &CounterConfig) -> Result<Attached> {
    let (capture, programs): (Vec<AttachMode>, Vec<AttachMode>) =
        modes.iter().partition(|mode| **mode == AttachMode::Pcap);
    let capture = capture.first().copied();
    let otherwise = (modes.len() < FALLBACK_ORDER.len()).then_some("try --attach auto");
    let mut refusals = Vec::new();
    let mut refused = |error: Error, another_is_next: bool| {
        if another_is_next {
            log::info!("attaching to {interface}: {error:#}: trying the next way");
        }
        refusals.push(format!("{error:#}"));
    };
    if !programs.is_empty() {
        match kernel(interface, config) {
            Err(error) => refused(explain(error, interface, None, otherwise), capture.is_some()),
            Ok(mut kernel) => {
                for (&mode, left) in programs.iter().zip((0..programs.len()).rev()) {
                    let error = match step(&mut kernel, interface, mode) {
                        Ok(claim) => {
                            let mut claims = Vec::from_iter(claim);
                            if config.packets_per_host > 0 || config.sweeps {
                                claims.extend(answers(&mut kernel, interface, config));
                            }
                            let counter = Counter::Kernel(Box::new(kernel));
                            return Ok(Attached { mode, counter, claims });
                        }
                        Err(error) => error,
                    };
                    // What may not be attached in one way may not be in another.
                    let left = if is_denied(&error) { 0 } else { left };
                    let otherwise = otherwise.filter(|_| left == 0);
                    let error = explain(error, interface, Some(mode), otherwise);
                    let error = error.context(mode.to_string());
                    refused(error, left > 0 || capture.is_some());
                    if left == 0 {
                        break;
                    }
                }
            }
        }
    }
    if let Some(mode) = capture {
        match PcapCounter::open(interface, config) {
            Ok(capture) => {
                let counter = Counter::Capture(Box::new(capture));
                return Ok(Attached { mode, counter, claims: vec![] });
            }
            Err(error) => {
                let error = explain(error, interface, Some(mode), otherwise);
                refused(error.context(mode.to_string()), false);
            }
        }
    }
    Err(anyhow!(refusals.join("; ")))
}

/// The maps of the kernel's program, where it can have frames to count.
fn kernel(interface: &str, config: &CounterConfig) -> Result<KernelCounter> {
    inspect(interface)?;
    KernelCounter::new(config)
}

fn step(kernel: &mut KernelCounter, interface: &str, mode: AttachMode) -> Result<Option<Claim>> {
    match mode {
        AttachMode::Xdp => xdp(kernel, interface, XdpMode::Driver)?,
        AttachMode::XdpGeneric => xdp(kernel, interface, XdpMode::Skb)?,
        AttachMode::Tcx => tc(kernel, interface, TcAttachOptions::TcxOrder(LinkOrder::first()))?,
        AttachMode::Clsact => {
            let claim = clsact::prepare(interface)?;
            tc(kernel, interface, TcAttachOptions::Netlink(NlOptions::default()))?;
            return Ok(Some(claim));
        }
        AttachMode::Pcap => bail!("libpcap takes no program"),
    }
    Ok(None)
}

fn xdp(kernel: &mut KernelCounter, interface: &str, mode: XdpMode) -> Result<()> {
    let mut refused = None;
    // The program for frames in several buffers needs a kernel that has them.
    for name in [names::XDP_FRAGS, names::XDP] {
        let program: &mut Xdp = program(kernel, name)?.try_into()?;
        if let Err(error) = loaded(load(|| program.load())) {
            log::debug!("{name}: {error:#}");
            refused = Some(error);
            continue;
        }
        let id = program.attach(interface, mode)?;
        // Without a link the program would stay when this process is killed.
        let link = program.take_link(id)?;
        let link = FdLink::try_from(link).context("attaching XDP by a link takes Linux 5.9")?;
        program.attach_to_link(link.try_into()?)?;
        return Ok(());
    }
    Err(refused.unwrap_or_else(|| anyhow!("the object has no XDP program")))
}

fn tc(kernel: &mut KernelCounter, interface: &str, options: TcAttachOptions) -> Result<()> {
    classifier(kernel, names::TC, interface, TcAttachType::Ingress, options)
}

fn classifier(
    kernel: &mut KernelCounter,
    name: &str,
    interface: &str,
    direction: TcAttachType,
    options: TcAttachOptions,
) -> Result<()> {
    let program: &mut SchedClassifier = program(kernel, name)?.try_into()?;
    loaded(load(|| program.load()))?;
    program.attach_with_options(interface, direction, options)?;
    Ok(())
}

/// Has the answers to the bot looked at, which go out at its tap. Without them, artifacts hold one
/// direction and contacts by UDP can't be judged, and the log says so.
fn answers(kernel: &mut KernelCounter, interface: &str, config: &CounterConfig) -> Option<Claim> {
    let mut egress =
        |options| classifier(kernel, names::TC_EGRESS, interface, TcAttachType::Egress, options);
    let mut attach = || {
        if egress(TcAttachOptions::TcxOrder(LinkOrder::first())).is_ok() {
            return Ok(None);
        }
        let claim = clsact::prepare(interface)?;
        egress(TcAttachOptions::Netlink(NlOptions::default()))?;
        Ok(Some(claim))
    };
    let attached: Result<_> = attach();
    match attached {
        Ok(claim) => {
            kernel.see_answers();
            claim
        }
        Err(error) => {
            let lacking = match (config.packets_per_host > 0, config.sweeps) {
                (true, true) => {
                    "artifacts lack what goes back to the bot, and UDP sweeps can't be judged"
                }
                (true, false) => "artifacts lack what goes back to the bot",
                (false, _) => "UDP sweeps can't be judged",
            };
            log::warn!("{lacking}: attaching to what goes out of {interface}: {error:#}");
            None
        }
    }
}

fn program<'a>(kernel: &'a mut KernelCounter, name: &str) -> Result<&'a mut Program> {
    kernel.ebpf().program_mut(name).ok_or_else(|| anyhow!("the object has no program {name}"))
}

/// How often a program is tried to be loaded while signals come in between.
const LOAD_ATTEMPTS: usize = 100;

/// Has a program loaded by `attempt`, again where a signal came in between: the verifier then gives up
/// with `EAGAIN` (`bpf_check` in the kernel's `verifier.c`; libbpf tries again, too).
///
/// # Errors
///
/// Those of the last attempt.
pub fn load(mut attempt: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    let is_interrupted = |result: &Result<(), ProgramError>| {
        matches!(result, Err(ProgramError::LoadError { io_error, .. })
            if io_error.kind() == ErrorKind::WouldBlock)
    };
    let mut result = attempt();
    for _ in 1..LOAD_ATTEMPTS {
        if !is_interrupted(&result) {
            break;
        }
        result = attempt();
    }
    result
}

/// A program that an earlier mode loaded is as good.
fn loaded(result: Result<(), ProgramError>) -> Result<()> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(ProgramError::LoadError { io_error, verifier_log }) => {
            log::debug!("the verifier's log: {verifier_log}");
            Err(Error::from(io_error).context("loading the program"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Says why no frame can come in, where that is so.
fn warn_of_silence(interface: &str) {
    match interface::state(interface) {
        LinkState::Down => log::warn!(
            "{interface} is down: nothing is counted until it is up: ip link set {interface} up"
        ),
        LinkState::NoCarrier => log::warn!(
            "{interface} is up and has no carrier: nothing is counted until something is connected \
             to its other end"
        ),
        LinkState::Up => {}
    }
}

/// What the kernel says about an interface before a program is attached to it.
///
/// # Errors
///
/// When it carries no Ethernet frames.
fn inspect(interface: &str) -> Result<()> {
    let kind = interface::read(interface, "type").unwrap_or_default();
    // ARPHRD_ETHER, and the loopback interface, which has Ethernet headers too.
    if !matches!(kind.as_str(), "1" | "772" | "") {
        bail!("{interface} carries no Ethernet frames, which libpcap alone counts here");
    }
    Ok(())
}
