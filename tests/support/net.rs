//! A private network of a test: two network namespaces connected by a veth pair.

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
use super::tools::{Tool, checked};

/// The interface on which gomon counts, in gomon's namespace. It is not named `tap*`, because tcpreplay treats such
/// an interface as a tun device to be created.
pub const TAP: &str = "vnet0";
/// The other end of the veth pair, in the bot's namespace.
pub const BOT_END: &str = "bot0";

/// A namespace for the bot, and one for gomon. The link between them has no other traffic than what a test sends:
/// there are no addresses, and IPv6 autoconfiguration is off.
pub struct Net {
    gomon: String,
    bot: String,
}

impl Net {
    /// Creates the namespaces, and the interfaces, which are up.
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
        checked(within(&net.bot, "ip").args(["link", "set", BOT_END, "up"]));
        net.until_up();
        net
    }

    /// Waits until both ends are up.
    pub fn until_up(&self) {
        until("the interfaces are up", || self.read("operstate") == "up");
    }

    /// Returns a command in gomon's namespace, with piped output.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = within(&self.gomon, program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Returns a command in the bot's namespace, with piped output.
    pub fn bot_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = within(&self.bot, program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Returns a command that runs gomon on [`TAP`].
    pub fn gomon(&self, source: &str, args: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_gomon"));
        command.args([TAP, source]).args(args.split_whitespace());
        command
    }

    /// Runs ip(8) in gomon's namespace, and returns its output.
    #[track_caller]
    pub fn ip<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        checked(within(&self.gomon, "ip").args(args))
    }

    /// Moves an interface of this process's namespace into gomon's.
    pub fn adopt(&self, interface: &str) {
        checked(Command::new("ip").args(["link", "set", interface, "netns", &self.gomon]));
    }

    /// Sends frames from the bot's end.
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

    /// Starts sending frames as fast as possible, all of them `times` times.
    pub fn sender(&self, scratch: &Scratch, frames: &[Vec<u8>], times: u32) -> Tool {
        replaying(&self.bot, BOT_END, scratch, frames, times)
    }

    /// Sends frames from the bot's end inside the kernel, as fast as possible. They arrive only if [`TAP`] has an XDP
    /// program in its driver.
    #[track_caller]
    pub fn generate(&self, traffic: &Traffic, frames: u64) -> Sent {
        traffic.send(&self.bot, BOT_END, frames).expect("the generator sends")
    }

    /// Runs ip(8) in the bot's namespace, and returns its output.
    #[track_caller]
    pub fn bot_ip<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        checked(within(&self.bot, "ip").args(args))
    }

    /// Opens a TCP connection from the bot to gomon's side, with an address in 10.0.0.0/24 each.
    #[track_caller]
    pub fn connection(&self, bot: &str, other: &str) -> (TcpStream, TcpStream) {
        self.bot_ip(["addr", "add", &format!("{bot}/24"), "dev", BOT_END]);
        self.ip(["addr", "add", &format!("{other}/24"), "dev", TAP]);
        // A socket stays in the namespace in which it was created.
        let listen = || Ok(TcpListener::bind((other, 0))?);
        let listener = gomon_xdpgen::within(&self.gomon, listen).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let connect = || Ok(TcpStream::connect(address)?);
        let client = gomon_xdpgen::within(&self.bot, connect).expect("a connection");
        (client, listener.accept().expect("the connection").0)
    }

    /// Attaches an XDP program that does nothing to the driver of [`TAP`].
    #[track_caller]
    pub fn passing(&self) -> Attached {
        Attached::passing(&self.gomon, TAP).expect("the kernel takes the program")
    }

    /// Adds a VLAN tag to the metadata of every frame that the bot sends, as hardware does that strips tags.
    #[track_caller]
    pub fn tagging(&self, vlan: u16) -> Attached {
        Attached::tagging(&self.bot, BOT_END, vlan).expect("the kernel takes the program")
    }

    /// Returns the number of frames that arrived at [`TAP`], by the kernel's counter.
    pub fn arrived(&self) -> u64 {
        self.statistic("rx_packets")
    }

    /// Returns a statistic of [`TAP`].
    pub fn statistic(&self, name: &str) -> u64 {
        self.read(&format!("statistics/{name}")).parse().expect("a number")
    }

    /// Returns the number of packet sockets in gomon's namespace.
    pub fn captures(&self) -> usize {
        // A header line, then one line per socket.
        checked(within(&self.gomon, "cat").arg("/proc/net/packet")).lines().count() - 1
    }

    /// Reads an attribute of [`TAP`] in sysfs.
    pub fn read(&self, name: &str) -> String {
        checked(within(&self.gomon, "cat").arg(format!("/sys/class/net/{TAP}/{name}")))
            .trim()
            .into()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.gomon, &self.bot] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// Starts a process that sends frames out of an interface.
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

/// Creates a namespace without IPv6.
pub fn make_namespace(name: &str) {
    checked(Command::new("ip").args(["netns", "add", name]));
    let off = "cd /proc/sys/net/ipv6/conf && for f in */disable_ipv6; do echo 1 > $f; done";
    let off = format!("[ ! -d /proc/sys/net/ipv6 ] || {{ {off}; }}");
    checked(within(name, "sh").args(["-c", &off]));
}

/// Returns a command in a namespace. The started process executes `program`, so its ID is that of `program`.
pub fn within(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Waits until `reached` returns true.
#[track_caller]
pub fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the IDs of the BPF objects that a process holds. `kind` is `prog_id`, `link_id` or `map_id`.
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
