//! Whether an image is one of a sealed host.

use crate::{Workshop, said};
use anyhow::{Result, ensure};
use sealpack_tests::host_image::HostImage;
use sealpack_tests::schema;

#[test]
fn each_fault_is_named_with_the_file_and_the_mend() -> Result<()> {
    let mut image = HostImage::new();
    image.set("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    image.set("etc/ssh/ssh_host_rsa_key", "secret");
    let workshop = Workshop::with_pulled(&image)?;
    let output = workshop.attempt(&["host", "check", "site/host:3"])?;
    let text = said(&output);
    ensure!(output.status.code() == Some(3), "{text}");
    for words in [
        "/etc/machine-id has an identity in it",
        "-> write the one word `uninitialized` into it",
        "/etc/ssh/ssh_host_rsa_key is a private key",
        "/usr/lib/systemd/boot/efi/systemd-bootx64.efi is not there",
        "/efi is no directory",
        "site/host:3 is no image of a sealed host: ",
    ] {
        ensure!(text.contains(words), "{words:?} is not said: {text}");
    }
    let output = workshop.attempt(&["--json", "host", "check", "site/host:3"])?;
    let judged = schema::document(&output.stdout)?;
    let breaks = |requirement: &str| {
        let of = |finding: &&serde_json::Value| finding["requirement"] == requirement;
        judged["findings"].as_array().into_iter().flatten().filter(of).any(|it| it["breaks"] == true)
    };
    ensure!(breaks("machine_id") && breaks("host_keys") && !breaks("modules"), "{judged:#}");
    Ok(())
}
