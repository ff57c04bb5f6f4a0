//! Tests that change their process, or copy it, and so must not happen in one that runs others.

use std::process::Command;

/// Says to a test that it runs alone.
const WORD: &str = "SEALPACK_TEST_ALONE";

/// Runs `work` in a process of its own with one thread: this program again, with the one test whose path is `test`, in
/// its main thread. There is no more to the test than this call, and it fails as `work` does.
pub(crate) fn run(test: &str, work: impl FnOnce()) {
    if std::env::var_os(WORD).is_some() {
        return work();
    }
    let program = std::env::current_exe().expect("a running program has a file");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(WORD, "1");
    let output = command.output().expect("this program can be started again");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{}: {text}{errors}", output.status);
}
