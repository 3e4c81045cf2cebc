//! Detaches programs, which takes 5 to 15 ms each, in a thread, so that no window of another bot waits for it.

use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use super::attached_programs::InterfacePrograms;

/// Detaches programs. Waits for its thread when it is dropped: a filter of clsact would remain if the process exited.
pub(super) struct Detacher {
    /// Whether to use a thread.
    in_background: bool,
    thread: Option<(Sender<InterfacePrograms>, JoinHandle<()>)>,
}

impl Detacher {
    pub(super) fn new(in_background: bool) -> Self {
        Self { in_background, thread: None }
    }

    /// Detaches the programs of an interface.
    pub(super) fn detach(&mut self, programs: InterfacePrograms) {
        if self.thread.is_none() && self.in_background {
            let (sender, receiver) = mpsc::channel::<InterfacePrograms>();
            let work = move || receiver.into_iter().for_each(drop);
            let thread = thread::Builder::new().name("detach".into()).spawn(work);
            self.thread = thread.ok().map(|thread| (sender, thread));
        }
        // Without a thread, they are detached here, when they are dropped.
        if let Some((sender, _)) = &self.thread {
            let _ = sender.send(programs);
        }
    }
}

impl Drop for Detacher {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}
