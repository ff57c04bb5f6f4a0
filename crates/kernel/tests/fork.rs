//! Copies of a process, in one that has a single thread.

use libtest_mimic::{Arguments, Failed, Trial};
use sealpack_kernel::{Errno, Forked, Kernel};

fn main() {
    let mut arguments = Arguments::from_args();
    // In this very thread.
    arguments.test_threads = Some(1);
    let test = Trial::test("a_copy_goes_on_from_the_same_place_and_is_waited_for", copy);
    libtest_mimic::run(&arguments, vec![test]).exit();
}

fn copy() -> Result<(), Failed> {
    let kernel = Kernel::new();
    let before = String::from("21");
    let child = match kernel.fork()? {
        Forked::Child => std::process::exit(before.parse()?),
        Forked::Parent { child } => child,
    };
    let status = kernel.wait_for(child, false)?.ok_or("it was to be waited for")?;
    assert_eq!(status.exit_status(), Some(21));
    let again = kernel.wait_for(child, true).expect_err("it is gone");
    assert_eq!(again.errno(), Errno::CHILD);
    Ok(())
}
