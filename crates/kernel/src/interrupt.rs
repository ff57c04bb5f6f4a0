//! The signals with which users and systems end a program, heard before they do, or not at all.

use std::io;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// SIGINT (Ctrl-C), SIGTERM and SIGHUP.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Calls `hear` when one of the signals comes that ask a program to end; then it ends the process as it would have without
/// this. Those that the process was started to ignore (`nohup`) are ignored as before. Programs that are started later
/// hear them only if they are [started to](hears_all).
///
/// Must be called before other threads are started, for those get the signals as they always did.
///
/// # Errors
/// When there is no thread to be had.
pub fn before_it_ends(hear: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut hear = Some(hear);
    wait_for_each(&SIGNALS, move |signal, heard| {
        if let Some(hear) = hear.take() {
            hear();
        }
        mask(libc::SIG_UNBLOCK, heard);
        // SAFETY: no memory is involved.
        unsafe { libc::kill(libc::getpid(), signal) };
        ControlFlow::Break(())
    })
}

/// Signals that a program passes on to one that it runs for somebody: those that users, terminals and systems send, of
/// which none is about this process's own doing.
const PASSED_ON: [libc::c_int; 11] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGWINCH,
    libc::SIGPWR,
    libc::SIGURG,
];

/// Calls `hear` with the number of each signal of those that can be passed on, when it comes, for as long as this process
/// goes on; none of them does anything to it any more. Those that it was started to ignore (`nohup`) are ignored as
/// before. Programs that are started later hear them only if they are [started to](hears_all).
///
/// Must be called before other threads are started, for those get the signals as they always did.
///
/// # Errors
/// When there is no thread to be had.
pub fn instead_of_ending(mut hear: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    wait_for_each(&PASSED_ON, move |signal, _| {
        hear(signal);
        ControlFlow::Continue(())
    })
}

/// Blocks those of the signals that are not ignored, and has a thread call `hear` with each that comes and with all that are
/// blocked, as long as it wants more.
fn wait_for_each(
    signals: &[libc::c_int],
    mut hear: impl FnMut(libc::c_int, &libc::sigset_t) -> ControlFlow<()> + Send + 'static,
) -> io::Result<()> {
    let heard = set_of(signals.iter().copied().filter(|signal| ends_the_process(*signal)));
    mask(libc::SIG_BLOCK, &heard);
    let waiting = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        loop {
            let mut signal = 0;
            // SAFETY: both are valid for the call; the signals in the set are blocked, in this thread too.
            if unsafe { libc::sigwait(&raw const heard, &raw mut signal) } != 0
                || hear(signal, &heard).is_break()
            {
                return;
            }
        }
    });
    waiting.map(drop).inspect_err(|_| mask(libc::SIG_UNBLOCK, &heard))
}

/// Has a program hear every signal, of which this process may keep some from itself: what it starts inherits that.
pub fn hears_all(command: &mut Command) {
    let unmask = || {
        mask(libc::SIG_SETMASK, &set_of(std::iter::empty()));
        Ok(())
    };
    // SAFETY: between fork and exec it makes a set on the stack and sets the mask, of which both may be done there
    // (signal-safety(7)); it takes no memory and no lock.
    unsafe { command.pre_exec(unmask) };
}

/// Ignores all signals that can be, but those that tell of a child's end: for a process that is to go on whatever others
/// send it. What it starts ignores them too.
pub fn ignore_all() {
    let kept = [libc::SIGCHLD, libc::SIGKILL, libc::SIGSTOP];
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| !kept.contains(signal)) {
        // SAFETY: no handler is set. Of those that the C library keeps for itself it refuses to change the effect, and
        // nothing happens.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

fn set_of(signals: impl Iterator<Item = libc::c_int>) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initializes the set; the signals' numbers are libc's own.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        signals.for_each(|signal| {
            libc::sigaddset(&raw mut set, signal);
        });
        set
    }
}

/// Changes the mask of the calling thread. With a valid set and a `how` of libc's it cannot fail.
fn mask(how: libc::c_int, set: &libc::sigset_t) {
    // SAFETY: the set is valid for the call, and the mask before is not asked for.
    unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
}

/// Whether the signal has its usual effect, and is not ignored.
fn ends_the_process(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is changed; the action before is written if the call succeeds.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_DFL
    }
}

#[cfg(test)]
mod tests {
    use crate::alone;

    #[test]
    fn a_process_that_ignores_all_goes_on_whatever_it_is_sent() {
        alone::run("interrupt::tests::a_process_that_ignores_all_goes_on_whatever_it_is_sent", || {
            super::ignore_all();
            for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGSEGV, libc::SIGUSR1, libc::SIGRTMAX()] {
                // SAFETY: no memory is involved.
                assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
            }
        });
    }
}
