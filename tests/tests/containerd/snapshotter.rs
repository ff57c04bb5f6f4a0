//! sealpack-snapshotter as containerd's snapshotter.

use crate::can_run;
use anyhow::Result;
use sealpack_tests::containerd::{Enclosure, suite};
use sealpack_tests::program;

#[test]
fn containerds_own_tests_of_snapshotters_pass() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    suite::test(&Enclosure::new()?, &program::snapshotter_under_test()?)
}
