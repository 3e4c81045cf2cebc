//! A running `gomon fleet`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::support::net::{make_namespace, within};
use crate::support::program::{Outcome, Scratch, command, run};
use crate::support::running::Running;
use crate::support::tools::checked;

/// A network namespace, removed when this is dropped.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gomon-f{}-{number}", std::process::id());
        make_namespace(&name);
        Self(name)
    }

    /// Runs ip(8) in the namespace.
    #[track_caller]
    pub(crate) fn ip(&self, args: &str) -> String {
        checked(within(&self.0, "ip").args(args.split_whitespace()))
    }

    /// Creates an interface that is up, and its peer.
    #[track_caller]
    pub(crate) fn create(&self, name: &str) {
        self.ip(&format!("link add {name} type veth peer name p-{name}"));
        self.ip(&format!("link set {name} up"));
        self.ip(&format!("link set p-{name} up"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A fleet that runs with its own configuration and control socket.
pub(crate) struct FleetProgram {
    pub(crate) running: Running,
    pub(crate) scratch: Scratch,
}

impl FleetProgram {
    /// Starts a fleet, in a namespace if one is given. `{dir}` in the configuration is a temporary directory.
    pub(crate) fn start(namespace: Option<&Namespace>, configuration: &str) -> Self {
        let scratch = Scratch::new();
        let program = env!("CARGO_BIN_EXE_gomon");
        let mut command = match namespace {
            Some(namespace) => within(&namespace.0, program),
            None => Command::new(program),
        };
        let path = write(&scratch, configuration);
        command.args(["fleet", "--config"]).arg(path);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut running = Running::start(&mut command);
        running.wait_for_part("INFO  bots: ");
        Self { running, scratch }
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, configuration: &str) {
        write(&self.scratch, configuration);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Runs `gomon ctl`.
    pub(crate) fn ctl(&self, args: &str) -> Outcome {
        ctl(&self.path("control.sock"), args)
    }

    /// Runs a command of `gomon ctl`, and returns its answer, which is not an error.
    #[track_caller]
    pub(crate) fn answer(&self, args: &str) -> Value {
        let outcome = self.ctl(&format!("{args} --json"));
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        serde_json::from_str(&outcome.stdout).expect("a JSON object")
    }

    /// Returns the bots of a command's answer by `interface src`.
    pub(crate) fn bot(&self, command: &str, interface: &str, src: &str) -> Value {
        let answer = self.answer(command);
        let bots = answer["bots"].as_array().expect("bots");
        let bot = bots.iter().find(|bot| bot["interface"] == interface && bot["src"] == src);
        bot.cloned().unwrap_or(Value::Null)
    }

    /// Returns the interfaces of the bots that are counted.
    pub(crate) fn counting(&self) -> Vec<String> {
        let answer = self.answer("list");
        let bots = answer["bots"].as_array().expect("bots").iter();
        let counted = bots.filter(|bot| bot["state"] == "counting");
        counted.map(|bot| bot["interface"].as_str().expect("a name").to_owned()).collect()
    }

    /// Ends the fleet, and returns its outcome.
    pub(crate) fn stop(self) -> Outcome {
        self.running.signal("TERM");
        self.running.finish()
    }
}

fn write(scratch: &Scratch, configuration: &str) -> PathBuf {
    let dir = scratch.path().display().to_string();
    scratch.file("gomon.toml", configuration.replace("{dir}", &dir).as_bytes())
}

/// Runs `gomon ctl` with a socket.
pub(crate) fn ctl(socket: &Path, args: &str) -> Outcome {
    let mut words = args.split_whitespace();
    let mut command = command();
    command.arg("ctl").args(words.next()).arg("--socket").arg(socket).args(words);
    run(&mut command)
}
