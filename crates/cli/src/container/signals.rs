//! Signals of the command, passed on to the container.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpack_kernel::{Kernel, interrupt};

use crate::error::CommandError;

/// signal(7)
const INTERRUPT: i32 = 2;
const KILL: i32 = 9;
const TERMINATE: i32 = 15;
const WINDOW_CHANGED: i32 = 28;

/// So many interrupts end a container that does not heed them: what is the first process of a container ignores signals
/// that it does not handle.
const INTERRUPTS: u32 = 3;

/// How a container is asked to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopping {
    /// The signal that its image wants for it.
    pub(crate) signal: i32,
    /// How long it has for that.
    pub(crate) patience: Duration,
}

/// Hears the signals that come, and passes them on.
#[derive(Clone)]
pub(crate) struct Passing(Arc<Mutex<State>>);

struct State {
    stopping: Stopping,
    process: Option<Arc<OwnedFd>>,
    /// What came before there was a process.
    early: Vec<i32>,
    interrupts: u32,
    /// The container's terminal, which is as large as this one.
    terminal: Option<OwnedFd>,
}

impl Passing {
    /// Begins to hear. Before other threads are started.
    pub(crate) fn new(stopping: Stopping) -> Result<Self, CommandError> {
        let state = State { stopping, process: None, early: Vec::new(), interrupts: 0, terminal: None };
        let passing = Self(Arc::new(Mutex::new(state)));
        let heard = passing.clone();
        interrupt::instead_of_ending(move |signal| heard.hear(signal))?;
        Ok(passing)
    }

    /// Passes on what came so far, and what comes, to this process.
    pub(crate) fn to(&self, process: OwnedFd) {
        let early = self.with(|state| {
            state.process = Some(Arc::new(process));
            std::mem::take(&mut state.early)
        });
        early.into_iter().for_each(|signal| self.hear(signal));
    }

    /// Keeps this terminal as large as that of the command.
    pub(crate) fn keep_size_of(&self, terminal: OwnedFd) {
        self.with(|state| state.terminal = Some(terminal));
        self.hear(WINDOW_CHANGED);
    }

    fn hear(&self, signal: i32) {
        self.with(|state| state.hear(signal));
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // Whoever panicked has left nothing half done.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn hear(&mut self, signal: i32) {
        if signal == WINDOW_CHANGED
            && let Some(terminal) = &self.terminal
        {
            resize(terminal);
            return;
        }
        let Some(process) = &self.process else {
            if signal != WINDOW_CHANGED {
                self.early.push(signal);
            }
            return;
        };
        let signal = match signal {
            TERMINATE => {
                later_kill(process, self.stopping.patience);
                self.stopping.signal
            }
            INTERRUPT => {
                self.interrupts += 1;
                if self.interrupts >= INTERRUPTS { KILL } else { INTERRUPT }
            }
            other => other,
        };
        send(process, signal);
    }
}

/// Kills the process if it is still there then.
fn later_kill(process: &Arc<OwnedFd>, patience: Duration) {
    let process = Arc::clone(process);
    let wait = move || {
        std::thread::sleep(patience);
        send(&process, KILL);
    };
    // Without a thread to be had it is not killed, and can be asked again.
    _ = std::thread::Builder::new().name("patience".to_owned()).spawn(wait);
}

/// One that has ended needs no signal.
fn send(process: &OwnedFd, signal: i32) {
    _ = Kernel::default().signal_process(process, signal);
}

/// Makes a terminal as large as the first one that this process has.
fn resize(terminal: &OwnedFd) {
    let kernel = Kernel::default();
    _ = kernel
        .copy_size(std::io::stdin(), terminal)
        .or_else(|_| kernel.copy_size(std::io::stdout(), terminal))
        .or_else(|_| kernel.copy_size(std::io::stderr(), terminal));
}
