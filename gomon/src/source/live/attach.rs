//! Attaches to an interface: tries the modes in order, from the one that slows the traffic least.

use std::io::ErrorKind;

use anyhow::{Context, Error, Result, anyhow, bail};
use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, TcAttachOptions, TcAttachType};
use aya::programs::xdp::XdpMode;
use aya::programs::{LinkOrder, Program, ProgramError, SchedClassifier, Xdp};
use gomon_common::kernel::names;

use super::attach_error::{explain, lacks_capabilities};
use super::capture::PcapCounter;
use super::clsact::{self, LivenessSocket};
use super::config::CounterConfig;
use super::counter::Counter;
use super::interface::{self, LinkState};
use super::kernel::KernelCounter;
use super::mode::{AttachMode, FALLBACK_ORDER};

/// A counter that is attached.
pub(super) struct Attached {
    pub(super) mode: AttachMode,
    pub(super) counter: Counter,
    /// For filters that remain when this process is killed.
    pub(super) liveness: Vec<LivenessSocket>,
}

/// Attaches in the first of `modes` that works.
///
/// # Errors
///
/// When no mode works, with the reason of each.
pub(super) fn attach(
    interface: &str,
    modes: &[AttachMode],
    config: &CounterConfig,
) -> Result<Attached> {
    let mut attempts = Attempts {
        interface,
        config,
        advice: (modes.len() < FALLBACK_ORDER.len()).then_some("try --attach auto"),
        falls_back_to_pcap: modes.contains(&AttachMode::Pcap),
        errors: Vec::new(),
    };
    let programs: Vec<_> = modes.iter().copied().filter(|mode| *mode != AttachMode::Pcap).collect();
    let attached = match attempts.attach_program(&programs) {
        None if attempts.falls_back_to_pcap => attempts.attach_pcap(),
        attached => attached,
    };
    let attached = attached.ok_or_else(|| anyhow!(attempts.errors.join("; ")))?;
    warn_if_not_receiving(interface);
    Ok(attached)
}

/// The attempts to attach to an interface.
struct Attempts<'a> {
    interface: &'a str,
    config: &'a CounterConfig,
    /// What to do about an unknown error.
    advice: Option<&'a str>,
    /// Whether libpcap is tried last.
    falls_back_to_pcap: bool,
    /// The errors so far.
    errors: Vec<String>,
}

impl Attempts<'_> {
    /// Attaches eBPF programs in the first of `modes` that works.
    fn attach_program(&mut self, modes: &[AttachMode]) -> Option<Attached> {
        if modes.is_empty() {
            return None;
        }
        let mut kernel = match create_kernel_counter(self.interface, self.config) {
            Ok(kernel) => kernel,
            Err(error) => {
                let error = explain(error, self.interface, None, self.advice);
                self.record(&error, self.falls_back_to_pcap);
                return None;
            }
        };
        for (&mode, modes_left) in modes.iter().zip((0..modes.len()).rev()) {
            let error = match attach_mode(&mut kernel, self.interface, mode) {
                Ok(liveness) => {
                    let mut liveness = Vec::from_iter(liveness);
                    if self.config.packets_per_host > 0 || self.config.sweeps {
                        liveness.extend(attach_egress(&mut kernel, self.interface, self.config));
                    }
                    let counter = Counter::Kernel(Box::new(kernel));
                    return Some(Attached { mode, counter, liveness });
                }
                Err(error) => error,
            };
            // Without the capabilities, the other modes fail too.
            let is_last = modes_left == 0 || lacks_capabilities(&error);
            let advice = self.advice.filter(|_| is_last);
            let error = explain(error, self.interface, Some(mode), advice);
            self.record(&error.context(mode.to_string()), !is_last || self.falls_back_to_pcap);
            if is_last {
                break;
            }
        }
        None
    }

    /// Captures with libpcap.
    fn attach_pcap(&mut self) -> Option<Attached> {
        let mode = AttachMode::Pcap;
        match PcapCounter::open(self.interface, self.config) {
            Ok(capture) => {
                let counter = Counter::Pcap(Box::new(capture));
                Some(Attached { mode, counter, liveness: vec![] })
            }
            Err(error) => {
                let error = explain(error, self.interface, Some(mode), self.advice);
                self.record(&error.context(mode.to_string()), false);
                None
            }
        }
    }

    /// Records the error of an attempt, and logs it if another mode will be tried.
    fn record(&mut self, error: &Error, tries_next: bool) {
        let error = format!("{error:#}");
        if tries_next {
            log::info!("attaching to {}: {error}: trying the next mode", self.interface);
        }
        self.errors.push(error);
    }
}

/// Creates the maps of the eBPF programs, if the interface carries frames that they can count.
fn create_kernel_counter(interface: &str, config: &CounterConfig) -> Result<KernelCounter> {
    check_link_type(interface)?;
    KernelCounter::new(config)
}

fn attach_mode(
    kernel: &mut KernelCounter,
    interface: &str,
    mode: AttachMode,
) -> Result<Option<LivenessSocket>> {
    match mode {
        AttachMode::Xdp => attach_xdp(kernel, interface, XdpMode::Driver)?,
        AttachMode::XdpGeneric => attach_xdp(kernel, interface, XdpMode::Skb)?,
        AttachMode::Tcx => {
            attach_ingress(kernel, interface, TcAttachOptions::TcxOrder(LinkOrder::first()))?;
        }
        AttachMode::Clsact => {
            let liveness = clsact::prepare(interface)?;
            attach_ingress(kernel, interface, TcAttachOptions::Netlink(NlOptions::default()))?;
            return Ok(Some(liveness));
        }
        AttachMode::Pcap => bail!("libpcap uses no program"),
    }
    Ok(None)
}

fn attach_xdp(kernel: &mut KernelCounter, interface: &str, mode: XdpMode) -> Result<()> {
    let mut last_error = None;
    // Kernels without multi-buffer support reject the first program.
    for name in [names::XDP_FRAGS, names::XDP] {
        let program: &mut Xdp = program(kernel, name)?.try_into()?;
        if let Err(error) = check_load(load_with_retry(|| program.load())) {
            log::debug!("{name}: {error:#}");
            last_error = Some(error);
            continue;
        }
        let id = program.attach(interface, mode)?;
        // A program attached without a link would remain when this process is killed.
        let link = program.take_link(id)?;
        let link = FdLink::try_from(link).context("attaching XDP by a link requires Linux 5.9")?;
        program.attach_to_link(link.try_into()?)?;
        return Ok(());
    }
    Err(last_error.unwrap_or_else(|| anyhow!("the object has no XDP program")))
}

fn attach_ingress(
    kernel: &mut KernelCounter,
    interface: &str,
    options: TcAttachOptions,
) -> Result<()> {
    attach_classifier(kernel, names::TC, interface, TcAttachType::Ingress, options)
}

fn attach_classifier(
    kernel: &mut KernelCounter,
    name: &str,
    interface: &str,
    direction: TcAttachType,
    options: TcAttachOptions,
) -> Result<()> {
    let program: &mut SchedClassifier = program(kernel, name)?.try_into()?;
    check_load(load_with_retry(|| program.load()))?;
    program.attach_with_options(interface, direction, options)?;
    Ok(())
}

/// Attaches the egress program, which sees the packets to the bot. Without it artifacts lack that
/// direction and UDP contacts cannot be judged, which is logged as a warning.
fn attach_egress(
    kernel: &mut KernelCounter,
    interface: &str,
    config: &CounterConfig,
) -> Option<LivenessSocket> {
    let mut egress = |options| {
        attach_classifier(kernel, names::TC_EGRESS, interface, TcAttachType::Egress, options)
    };
    let mut attach = || {
        if egress(TcAttachOptions::TcxOrder(LinkOrder::first())).is_ok() {
            return Ok(None);
        }
        let liveness = clsact::prepare(interface)?;
        egress(TcAttachOptions::Netlink(NlOptions::default()))?;
        Ok(Some(liveness))
    };
    let attached: Result<_> = attach();
    match attached {
        Ok(liveness) => {
            kernel.set_sees_replies();
            liveness
        }
        Err(error) => {
            let consequence = match (config.packets_per_host > 0, config.sweeps) {
                (true, true) => "artifacts lack packets to the bot, and UDP sweeps can't be judged",
                (true, false) => "artifacts lack packets to the bot",
                (false, _) => "UDP sweeps can't be judged",
            };
            log::warn!("{consequence}: attaching to the egress of {interface}: {error:#}");
            None
        }
    }
}

fn program<'a>(kernel: &'a mut KernelCounter, name: &str) -> Result<&'a mut Program> {
    kernel.ebpf().program_mut(name).ok_or_else(|| anyhow!("the object has no program {name}"))
}

/// The maximum number of attempts to load a program that signals interrupt.
const LOAD_ATTEMPTS: usize = 100;

/// Loads a program by calling `attempt`, and retries if a signal interrupts the verifier, which then
/// fails with `EAGAIN` (`bpf_check` in the kernel's `verifier.c`). libbpf retries too.
///
/// # Errors
///
/// The error of the last attempt.
pub fn load_with_retry(
    mut attempt: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), ProgramError> {
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

/// Converts the result of loading a program. A program that was already loaded for an earlier mode is
/// usable.
fn check_load(result: Result<(), ProgramError>) -> Result<()> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(ProgramError::LoadError { io_error, verifier_log }) => {
            log::debug!("verifier log: {verifier_log}");
            Err(Error::from(io_error).context("loading the program"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Warns if the interface cannot receive frames.
fn warn_if_not_receiving(interface: &str) {
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

/// Checks that an interface carries Ethernet frames, which the programs require.
fn check_link_type(interface: &str) -> Result<()> {
    let link_type = interface::read_attribute(interface, "type").unwrap_or_default();
    // ARPHRD_ETHER and ARPHRD_LOOPBACK. The loopback interface has Ethernet headers too.
    if !matches!(link_type.as_str(), "1" | "772" | "") {
        bail!("{interface} carries no Ethernet frames: only libpcap can count there");
    }
    Ok(())
}
