//! What commands answer where something is missing: a cause, the right exit status, and what to do.

use crate::support::*;
use anyhow::{Result, ensure};
use sealpack_test_registry::Registry;
use sealpack_tests::command::is_root;
use sealpack_tests::refusal::Exit;
use sealpack_tests::skip;
use std::path::Path;

#[test]
fn a_kernel_without_ipe_has_not_denied_nothing() -> Result<()> {
    if Path::new("/sys/kernel/security/ipe").exists() {
        skip("this kernel has IPE");
        return Ok(());
    }
    if !is_root() {
        skip("the kernel's log is root's");
        return Ok(());
    }
    let desk = Desk::new()?;
    desk.fails(Exit::Failed, &["policy", "explain"], &["IPE", "sealpack doctor"])?;
    // A log that was given may be another machine's.
    std::fs::write(desk.dir.path().join("log"), "nothing\n")?;
    let said = desk.succeeds(&["policy", "explain", "log"])?;
    ensure!(said.contains("no records of IPE"), "{said}");
    Ok(())
}

#[test]
fn credentials_that_were_asked_for_and_are_not_there_are_an_error_with_its_cause() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    let words = ["nosuch", "No such file"];
    desk.fails(Exit::Failed, &["pull", "--authfile", "nosuch", &source], &words)?;
    desk.fails(Exit::Failed, &["copy", "--authfile", "nosuch", &source, "oci:copy"], &words)?;
    ensure!(desk.registry.count("/v2/") == 0, "the registry was asked first");
    Ok(())
}

#[test]
fn a_store_that_nobody_has_made_yet_has_no_images() -> Result<()> {
    let desk = Desk::new()?;
    let said = desk.succeeds(&["images"])?;
    ensure!(said.contains("NAME") && said.contains("there is no store at"), "{said}");
    let images = desk.sealpack.json(["images"])?;
    ensure!(images["images"] == serde_json::json!([]), "{images}");
    ensure!(!desk.sealpack.store().exists(), "looking has made one");
    // What is something else is no store without images.
    std::fs::create_dir_all(desk.sealpack.store())?;
    std::fs::write(desk.sealpack.store().join("other"), "")?;
    desk.fails(Exit::Failed, &["images"], &["error: "]).map(drop)
}

#[test]
fn doctor_ends_as_the_level_that_is_required_says() -> Result<()> {
    let desk = Desk::new()?;
    let found = desk.sealpack.json(["doctor"])?;
    for level in ["plain", "verified", "signed", "enforced"] {
        let output = desk.attempt(&["doctor", "--require", level])?;
        let reachable = found["levels"][level]["reachable"] == true;
        ensure!(output.status.code() == Some(if reachable { 0 } else { 3 }), "{level}: {}", said(&output));
        // It tells all that it has found either way.
        ensure!(said(&output).contains("levels that mounts can reach"), "{}", said(&output));
        ensure!(reachable || said(&output).contains(&format!("error: {level} is required")), "{level}");
    }
    desk.fails(Exit::Usage, &["doctor", "--require", "safe"], &["plain", "enforced"]).map(drop)
}

#[test]
fn doctor_calls_no_machine_good_without_root_where_nothing_can_be_mounted() -> Result<()> {
    let said = Desk::new()?.succeeds(&["doctor"])?;
    ensure!(!said.contains("use without root"), "{said}");
    ensure!(said.contains("containers of users (mounting takes root)"), "{said}");
    Ok(())
}

#[test]
fn a_policy_can_be_made_where_a_variable_names_a_trust_store_that_is_not_there() -> Result<()> {
    let desk = Desk::new()?;
    let missing = desk.dir.path().join("missing");
    let mut command = desk.sealpack.command(["policy", "new", "final"]);
    let output = command.env("SEALPACK_TRUST", &missing).output()?;
    let words = ["policy_name=sealed", "warning: there is no trust store", "is not denied"];
    let all = said(&output);
    ensure!(output.status.success() && words.iter().all(|word| all.contains(word)), "{all}");
    // Whoever names it here means it.
    let missing = missing.to_string_lossy();
    desk.fails(Exit::Failed, &["--trust", &missing, "policy", "new", "final"], &["no trust store"])?;
    // Rules that would be asked are missing for whatever reason.
    let source = desk.serve("one", &image(1));
    let mut command = desk.sealpack.command(["pull", &source]);
    let output = command.env("SEALPACK_TRUST", &*missing).output()?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    Ok(())
}

#[test]
fn usage_does_not_require_what_variables_say() -> Result<()> {
    let desk = Desk::new()?;
    for verb in ["pull", "inspect", "mount"] {
        let mut command = desk.sealpack.command([verb]);
        let output =
            command.env("SEALPACK_STORE", "/somewhere").env("SEALPACK_TRUST", "/somewhere").output()?;
        let all = said(&output);
        ensure!(output.status.code() == Some(2), "{all}");
        ensure!(all.contains(&format!("Usage: sealpack {verb} [OPTIONS] <")), "{all}");
        ensure!(!all.contains("--store <DIR>") && !all.contains("--trust <DIR>"), "{all}");
    }
    Ok(())
}

#[test]
fn names_that_are_mistyped_are_answered_with_those_that_are_meant() -> Result<()> {
    let desk = Desk::new()?;
    desk.registry.put_image("prod/app", "1", &image(1));
    let name = format!("{}/prod/app:1", desk.registry.host());
    desk.succeeds(&["pull", &name])?;
    let meant = format!("is {name} meant?");
    let typo = name.replace("prod", "prdo");
    for asked in ["app:1", "app", "prod/app:1", "app:2", &typo] {
        for verb in ["inspect", "ls", "rm", "history"] {
            if (verb, asked) != ("history", "app") {
                desk.fails(Exit::Failed, &[verb, asked], &[&meant])?;
            }
        }
    }
    let said = desk.fails(Exit::Failed, &["inspect", "debian:12"], &["sealpack images"])?;
    ensure!(!said.contains("meant"), "{said}");
    for (asked, meant) in [("Prod/app:1", "prod/app:1"), ("quay.io/Prod/App:V1", "quay.io/prod/app:V1")] {
        let words = [&format!("is \"{meant}\" meant?")[..]];
        desk.fails(Exit::Usage, &["pull", asked], &words)?;
        desk.fails(Exit::Usage, &["inspect", asked], &words)?;
    }
    Ok(())
}

#[test]
fn plain_http_to_a_registry_that_speaks_tls_is_seen_as_that() -> Result<()> {
    let desk = Desk::with_registry(Registry::start_tls())?;
    let source = desk.serve("one", &image(1));
    desk.fails(Exit::Failed, &["pull", "--plain-http", &source], &["leave out `--plain-http`"]).map(drop)
}

/// Whatever the image could reach on another machine, it is what keeps it from the level that is told.
#[test]
fn a_mount_that_nothing_enforces_does_not_say_what_it_would_reach() -> Result<()> {
    if !is_root() || Path::new("/sys/kernel/security/ipe").exists() {
        skip("mounting needs the superuser, and IPE may be active here");
        return Ok(());
    }
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(9));
    desk.succeeds(&["pull", "--objects", "packs", &source])?;
    desk.succeeds(&["key", "new", "--key", "key", "--cert", "cert"])?;
    desk.succeeds(&["seal", &source, "--key", "key", "--cert", "cert"])?;
    std::fs::create_dir(desk.dir.path().join("mnt"))?;
    let said = desk.fails(
        Exit::Refused,
        &["mount", &source, "mnt", "--require", "enforced"],
        &["enforced is required, but IPE is not active"],
    )?;
    ensure!(!said.contains("at most"), "{said}");
    Ok(())
}
