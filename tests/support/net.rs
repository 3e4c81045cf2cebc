//! Networks of a test's own: two namespaces joined by a pair of interfaces.

use std::ffi::OsStr;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gomon_xdpgen::{Attached, Sent, Traffic};

use super::capture::{PLAIN, at, pcap};
use super::program::Scratch;
use super::tools::{Tool, done};

/// The interface that gomon counts on, in its own namespace. tcpreplay takes every `tap*` for a tun device
/// of its own.
pub const TAP: &str = "vnet0";
/// The other end, in the bot's namespace.
pub const BOT_END: &str = "bot0";

/// A bot's namespace, and the one gomon runs in. Nothing but what a test sends is on the wire between
/// them: there are no addresses, and no IPv6 that makes itself some.
pub struct Net {
    gomon: String,
    bot: String,
}

impl Net {
    /// Makes the namespaces and the interfaces, both up.
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("gomon-t{}-{number}-{end}", id());
        let net = Self { gomon: name("tap"), bot: name("bot") };
        for namespace in [&net.gomon, &net.bot] {
            make_namespace(namespace);
        }
        net.ip(["link", "add", TAP, "type", "veth", "peer", BOT_END, "netns", &net.bot]);
        net.ip(["link", "set", TAP, "up"]);
        done(within(&net.bot, "ip").args(["link", "set", BOT_END, "up"]));
        net.until_up();
        net
    }

    /// Waits until both ends of the wire are up.
    pub fn until_up(&self) {
        until("the interfaces are up", || self.read("operstate") == "up");
    }

    /// A command in gomon's namespace, its output piped.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = within(&self.gomon, program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A command in the bot's namespace, its output piped.
    pub fn bot_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = within(&self.bot, program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// gomon, in its namespace, counting on [`TAP`].
    pub fn gomon(&self, source: &str, args: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_gomon"));
        command.args([TAP, source]).args(args.split_whitespace());
        command
    }

    /// Runs ip(8) in gomon's namespace, and returns what it prints.
    #[track_caller]
    pub fn ip<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        done(within(&self.gomon, "ip").args(args))
    }

    /// Takes an interface of this process's namespace into gomon's.
    pub fn adopt(&self, interface: &str) {
        done(Command::new("ip").args(["link", "set", interface, "netns", &self.gomon]));
    }

    /// Sends frames from the bot's end, one after the other.
    #[track_caller]
    pub fn send(&self, frames: &[Vec<u8>]) {
        let scratch = Scratch::new();
        self.sender(&scratch, frames, 1).finish();
    }

    /// Sends frames towards the bot.
    #[track_caller]
    pub fn answer(&self, frames: &[Vec<u8>]) {
        let scratch = Scratch::new();
        replaying(&self.gomon, TAP, &scratch, frames, 1).finish();
    }

    /// Starts to send frames as fast as can be, all of them `times` times.
    pub fn sender(&self, scratch: &Scratch, frames: &[Vec<u8>], times: u32) -> Tool {
        replaying(&self.bot, BOT_END, scratch, frames, times)
    }

    /// Sends frames from the bot's end inside the kernel, as fast as it can. They arrive only where an
    /// XDP program is in the driver of [`TAP`].
    #[track_caller]
    pub fn generate(&self, traffic: &Traffic, frames: u64) -> Sent {
        traffic.send(&self.bot, BOT_END, frames).expect("the generator sends")
    }

    /// Runs ip(8) in the bot's namespace, and returns what it prints.
    #[track_caller]
    pub fn bot_ip<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        done(within(&self.bot, "ip").args(args))
    }

    /// A TCP connection from the bot to gomon's side, each with an address of its own in 10.0.0.0/24.
    #[track_caller]
    pub fn connection(&self, bot: &str, other: &str) -> (TcpStream, TcpStream) {
        self.bot_ip(["addr", "add", &format!("{bot}/24"), "dev", BOT_END]);
        self.ip(["addr", "add", &format!("{other}/24"), "dev", TAP]);
        // A socket stays in the namespace it was made in.
        let listen = || Ok(TcpListener::bind((other, 0))?);
        let listener = gomon_xdpgen::within(&self.gomon, listen).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let connect = || Ok(TcpStream::connect(address)?);
        let client = gomon_xdpgen::within(&self.bot, connect).expect("a connection");
        (client, listener.accept().expect("the connection").0)
    }

    /// Puts an XDP program that does nothing into the driver of [`TAP`].
    #[track_caller]
    pub fn passing(&self) -> Attached {
        Attached::passing(&self.gomon, TAP).expect("the kernel takes the program")
    }

    /// Gives every frame that the bot sends a VLAN tag beside it, as hardware does that takes it out.
    #[track_caller]
    pub fn tagging(&self, vlan: u16) -> Attached {
        Attached::tagging(&self.bot, BOT_END, vlan).expect("the kernel takes the program")
    }

    /// Frames that the kernel says arrived at [`TAP`].
    pub fn arrived(&self) -> u64 {
        self.statistic("rx_packets")
    }

    /// What the kernel counts under a name at [`TAP`].
    pub fn statistic(&self, name: &str) -> u64 {
        self.read(&format!("statistics/{name}")).parse().expect("a number")
    }

    /// Sockets that capture frames in gomon's namespace.
    pub fn captures(&self) -> usize {
        // A line each behind one of headings.
        done(within(&self.gomon, "cat").arg("/proc/net/packet")).lines().count() - 1
    }

    /// What the kernel says about [`TAP`], without the newline.
    pub fn read(&self, name: &str) -> String {
        done(within(&self.gomon, "cat").arg(format!("/sys/class/net/{TAP}/{name}"))).trim().into()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.gomon, &self.bot] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// A process that sends frames out of an interface.
fn replaying(
    namespace: &str,
    interface: &str,
    scratch: &Scratch,
    frames: &[Vec<u8>],
    times: u32,
) -> Tool {
    let frames: Vec<_> = frames.iter().map(|frame| at(0, frame.clone())).collect();
    let capture = scratch.file("sent.pcap", &pcap(PLAIN, &frames));
    let mut tcpreplay = within(namespace, "tcpreplay");
    tcpreplay
        .args(["--quiet", "--topspeed", "--preload-pcap", "--intf1", interface])
        .arg(format!("--loop={times}"))
        .arg(capture)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Tool::start(&mut tcpreplay)
}

/// Makes a namespace, without IPv6.
pub fn make_namespace(name: &str) {
    done(Command::new("ip").args(["netns", "add", name]));
    let off = "cd /proc/sys/net/ipv6/conf && for f in */disable_ipv6; do echo 1 > $f; done";
    let off = format!("[ ! -d /proc/sys/net/ipv6 ] || {{ {off}; }}");
    done(within(name, "sh").args(["-c", &off]));
}

/// A command in a namespace: the process that is started becomes `program`.
pub fn within(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Waits for a state.
#[track_caller]
pub fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The kernel's numbers of what a process holds in it: `kind` is `prog_id`, `link_id` or `map_id`.
pub fn held(process: u32, kind: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/fdinfo")) else { return Vec::new() };
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let mut numbers: Vec<_> = texts
        .flat_map(|text| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(':'));
            lines.map(|number| number.trim().parse().expect("a number")).collect::<Vec<_>>()
        })
        .collect();
    numbers.sort_unstable();
    numbers
}
