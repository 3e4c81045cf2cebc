//! Attaches to an interface: tries the modes in order, from the one that slows the traffic least.

use anyhow::{Context, Error, Result, anyhow, bail};
use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, TcAttachOptions, TcAttachType};
use aya::programs::xdp::XdpMode;
use aya::programs::{LinkOrder, SchedClassifier, Xdp};
use gomon_common::kernel::names;

use super::attach_error::{explain, lacks_capabilities};
use super::attached_programs::{InterfacePrograms, ProgramLink};
use super::capture::PcapCounter;
use super::clsact;
use super::config::CounterConfig;
use super::counter::Counter;
use super::interface::{self, LinkState};
use super::kernel::KernelCounter;
use super::mode::{AttachMode, FALLBACK_ORDER};
use super::object::{KernelObject, SharedObject};
use super::program_load::{check_load, load_with_retry};

/// A counter that is attached.
pub(super) struct Attached {
    pub(super) mode: AttachMode,
    pub(super) counter: Counter,
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
    object: &SharedObject,
) -> Result<Attached> {
    let mut attempts = Attempts {
        interface,
        config,
        object,
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
    object: &'a SharedObject,
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
        let (index, mut kernel) = match self.create_kernel_counter() {
            Ok(created) => created,
            Err(error) => {
                let error = explain(error, self.interface, None, self.advice);
                self.record(&error, self.falls_back_to_pcap);
                return None;
            }
        };
        if let Some(mode) = self.share_programs(index, modes) {
            kernel.set_attached();
            return Some(Attached { mode, counter: Counter::Kernel(Box::new(kernel)) });
        }
        for (&mode, modes_left) in modes.iter().zip((0..modes.len()).rev()) {
            let error = match self.attach_mode(index, mode) {
                Ok(()) => {
                    kernel.set_attached();
                    return Some(Attached { mode, counter: Counter::Kernel(Box::new(kernel)) });
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

    /// Creates the maps of the bot, if the interface carries frames that the programs can count.
    fn create_kernel_counter(&self) -> Result<(u32, KernelCounter)> {
        check_link_type(self.interface)?;
        let index = interface::index(self.interface).context("there is no such interface")?;
        let index = index.parse().context("reading the index of the interface")?;
        Ok((index, KernelCounter::new(self.object, index, self.config)?))
    }

    /// Uses the programs that are attached for another bot on the interface, if there are any. Returns their mode.
    fn share_programs(&self, index: u32, modes: &[AttachMode]) -> Option<AttachMode> {
        let mut object = self.object.get().ok()?;
        let programs = object.programs.get(index)?;
        programs.bots += 1;
        if !modes.contains(&programs.mode) {
            log::warn!(
                "{}: attached by {} already, for another bot",
                self.interface,
                programs.mode
            );
        }
        Some(programs.mode)
    }

    /// Attaches the ingress program, which counts.
    fn attach_mode(&self, index: u32, mode: AttachMode) -> Result<()> {
        let mut object = self.object.get()?;
        let (object, mut liveness) = (&mut *object, Vec::new());
        let link = match mode {
            AttachMode::Xdp => attach_xdp(object, self.interface, XdpMode::Driver)?,
            AttachMode::XdpGeneric => attach_xdp(object, self.interface, XdpMode::Skb)?,
            AttachMode::Tcx => {
                let options = TcAttachOptions::TcxOrder(LinkOrder::first());
                attach_classifier(
                    object,
                    names::TC,
                    self.interface,
                    TcAttachType::Ingress,
                    options,
                )?
            }
            AttachMode::Clsact => {
                liveness.push(clsact::prepare(self.interface)?);
                let options = TcAttachOptions::Netlink(NlOptions::default());
                attach_classifier(
                    object,
                    names::TC,
                    self.interface,
                    TcAttachType::Ingress,
                    options,
                )?
            }
            AttachMode::Pcap => bail!("libpcap uses no program"),
        };
        let links = vec![link];
        let programs = InterfacePrograms { mode, links, liveness, sees_replies: false, bots: 1 };
        object.programs.insert(index, programs);
        Ok(())
    }

    /// Captures with libpcap.
    fn attach_pcap(&mut self) -> Option<Attached> {
        let mode = AttachMode::Pcap;
        match PcapCounter::open(self.interface, self.config) {
            Ok(capture) => Some(Attached { mode, counter: Counter::Pcap(Box::new(capture)) }),
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

/// Attaches the egress program to the interface with this index, which sees the packets to the bot, if `config` needs it
/// and it is not attached. Without it artifacts lack that direction and UDP contacts cannot be judged, which is logged
/// as a warning.
pub(super) fn attach_egress(
    interface: &str,
    index: u32,
    config: &CounterConfig,
    object: &SharedObject,
) {
    if !config.needs_replies() {
        return;
    }
    if let Err(error) = try_attach_egress(interface, index, object) {
        let consequence = match (config.packets_per_host > 0, config.sweeps) {
            (true, true) => "artifacts lack packets to the bot, and UDP sweeps can't be judged",
            (true, false) => "artifacts lack packets to the bot",
            (false, _) => "UDP sweeps can't be judged",
        };
        log::warn!("{consequence}: attaching to the egress of {interface}: {error:#}");
    }
}

fn try_attach_egress(interface: &str, index: u32, object: &SharedObject) -> Result<()> {
    let mut object = object.get()?;
    if object.programs.get(index).is_none_or(|programs| programs.sees_replies) {
        return Ok(());
    }
    let mut egress = |options| {
        let direction = TcAttachType::Egress;
        attach_classifier(&mut object, names::TC_EGRESS, interface, direction, options)
    };
    let mut liveness = None;
    let link = if let Ok(link) = egress(TcAttachOptions::TcxOrder(LinkOrder::first())) {
        link
    } else {
        liveness = Some(clsact::prepare(interface)?);
        egress(TcAttachOptions::Netlink(NlOptions::default()))?
    };
    if let Some(programs) = object.programs.get(index) {
        programs.links.push(link);
        programs.liveness.extend(liveness);
        programs.sees_replies = true;
    }
    Ok(())
}

fn attach_xdp(object: &mut KernelObject, interface: &str, mode: XdpMode) -> Result<ProgramLink> {
    let mut last_error = None;
    // Kernels without multi-buffer support reject the first program.
    for name in [names::XDP_FRAGS, names::XDP] {
        let program: &mut Xdp = object.program(name)?.try_into()?;
        if let Err(error) = check_load(load_with_retry(|| program.load())) {
            log::debug!("{name}: {error:#}");
            last_error = Some(error);
            continue;
        }
        let id = program.attach(interface, mode)?;
        // A program attached without a link would remain when this process is killed.
        let link = program.take_link(id)?;
        let link = FdLink::try_from(link).context("attaching XDP by a link requires Linux 5.9")?;
        return Ok(ProgramLink::Xdp(link));
    }
    Err(last_error.unwrap_or_else(|| anyhow!("the object has no XDP program")))
}

fn attach_classifier(
    object: &mut KernelObject,
    name: &str,
    interface: &str,
    direction: TcAttachType,
    options: TcAttachOptions,
) -> Result<ProgramLink> {
    let program: &mut SchedClassifier = object.program(name)?.try_into()?;
    check_load(load_with_retry(|| program.load()))?;
    let id = program.attach_with_options(interface, direction, options)?;
    Ok(ProgramLink::Classifier(program.take_link(id)?))
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
