//! `sealpack report`: what is on the page, and how it looks and behaves in a browser.

mod browser;
mod support;

use anyhow::{Context, Result, ensure};
use sealpack_tests::refusal::Exit;
use std::fs;
use support::Desk;

#[test]
fn the_page_has_what_the_images_share_who_signed_them_and_what_a_policy_denies() -> Result<()> {
    let desk = Desk::new()?;
    desk.seal("one")?;
    let page = desk.report(&["one", "two"])?;
    // A layer that both have has a letter; what each has alone has none.
    ensure!(page.matches("shared as A").count() == 2 && !page.contains("shared as B"), "{page}");
    for told in [
        "every signature is by somebody trusted",
        "until 20",
        "accepts its seal",
        "allows it without a seal that counts",
        "nobody has signed what its devices are",
        "allows all ",
        "denies ",
        "op=EXECUTE dmverity_signature=TRUE action=ALLOW",
        "it is on a dm-verity device without an accepted signature",
        "set-user-ID rights",
        "Interpreters that run what they are given: 1",
    ] {
        ensure!(page.contains(told), "{told:?} is not on the page: {page}");
    }
    Ok(())
}

#[test]
fn what_is_denied_is_what_policy_check_denies() -> Result<()> {
    let desk = Desk::new()?;
    desk.sealpack.run(["policy", "new", "final", "-o", &desk.text("final.policy")?])?;
    let arguments = ["--json", "policy", "check", &desk.text("final.policy")?, "one"];
    let checked: serde_json::Value = serde_json::from_slice(&desk.sealpack.attempt(arguments)?.stdout)?;
    let denied = checked["denied"].as_u64().context("a number")?;
    ensure!(denied > 0, "{checked:#}");
    let page = desk.report(&["one"])?;
    ensure!(page.contains(&format!("denies {denied} of ")), "{page}");
    let decisions = checked["decisions"].as_array().context("a list")?;
    for file in decisions.iter().filter(|file| file["decision"] == "deny") {
        let path = file["path"].as_str().context("a path")?;
        ensure!(page.contains(path), "{path}: {page}");
    }
    // Taken as sealed, all of it is allowed.
    ensure!(desk.report(&["one", "--assume", "sealed", "--force"])?.contains("allows all "));
    Ok(())
}

#[test]
fn a_signature_of_somebody_unknown_is_told_and_counts_for_nothing() -> Result<()> {
    let desk = Desk::new()?;
    desk.seal("one")?;
    desk.sealpack.run(["--trust", &desk.text("trust.d")?, "trust", "remove", "release"])?;
    let page = desk.report(&["one"])?;
    ensure!(page.contains("has signatures that do not count"), "{page}");
    ensure!(!page.contains("every signature is by somebody trusted"), "{page}");
    Ok(())
}

#[test]
fn what_changed_since_the_image_before_is_told_by_directory_and_by_file() -> Result<()> {
    let desk = Desk::new()?;
    ensure!(desk.report(&["one"])?.contains("No other image had these names before: "));
    desk.pull("two", "one")?;
    let page = desk.report(&["one", "--force"])?;
    for told in [
        "The image before is ",
        "usr/bin/only-two",
        "added",
        "usr/bin/only-one",
        "removed",
        "1 package with another version, new or gone",
        "<code>1.0-one</code>",
        "<code>1.0-two</code>",
    ] {
        ensure!(page.contains(told), "{told:?} is not on the page: {page}");
    }
    Ok(())
}

#[test]
fn the_same_store_makes_the_same_page_and_a_time_is_on_it_only_if_it_is_given() -> Result<()> {
    let desk = Desk::new()?;
    let page = desk.report(&["--all"])?;
    ensure!(page == desk.report(&["--all", "--force"])?, "two pages of the same are not the same");
    ensure!(!page.contains("Made 20"), "{page}");
    let file = desk.text("dated.html")?;
    let mut command = desk.command(&["report", "--all", "-o", &file]);
    sealpack_tests::command::run(command.env("SOURCE_DATE_EPOCH", "1795804495"))?;
    ensure!(fs::read_to_string(file)?.contains("Made 2026-11-27 18:34:55 UTC"));
    Ok(())
}

#[test]
fn a_file_is_not_replaced_unasked_and_nothing_is_left_where_it_cannot_be_written() -> Result<()> {
    let desk = Desk::new()?;
    fs::write(desk.path("report.html"), "mine")?;
    let file = desk.text("report.html")?;
    let refused = desk.command(&["report", "one", "-o", &file]).output()?;
    ensure!(refused.status.code() == Some(Exit::Failed as i32), "{refused:?}");
    ensure!(fs::read_to_string(&file)? == "mine");
    let lost = desk.text("missing/report.html")?;
    let refused = desk.command(&["report", "one", "-o", &lost]).output()?;
    ensure!(refused.status.code() == Some(Exit::Failed as i32), "{refused:?}");
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("missing/report.html"), "{refused:?}");
    let names = fs::read_dir(desk.path("."))?.map(|entry| Ok(entry?.file_name()));
    let names: Vec<_> = names.collect::<Result<_>>()?;
    ensure!(names.iter().all(|name| !name.to_string_lossy().contains("report.html.")), "{names:?}");
    Ok(())
}

#[test]
fn a_machine_can_be_looked_at_without_a_store() -> Result<()> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("host.html");
    let sealpack = sealpack_tests::program::Sealpack::new()?;
    sealpack.run(["report", "--host", "-o", file.to_str().context("UTF-8")?])?;
    let page = fs::read_to_string(file)?;
    for told in ["This machine", "Levels that mounts can reach", "Whom the kernel trusts", "Denied since"] {
        ensure!(page.contains(told), "{told:?} is not on the page: {page}");
    }
    ensure!(!page.contains("At a glance"), "there are no images: {page}");
    Ok(())
}

#[test]
fn what_was_denied_since_the_machine_started_is_on_the_page_and_what_was_before_is_not() -> Result<()> {
    let desk = Desk::new()?;
    let record = |seconds: u64, name: &str| {
        format!(
            "audit: type=1420 audit({seconds}.067:61): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=1 pid=7 \
             comm=\"sh\" path=\"/tmp/{name}\" dev=\"sda2\" ino=5 rule=\"DEFAULT action=DENY\"\n"
        )
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let log =
        record(1_653_364_370, "old") + &record(now, "new<b>") + &record(now, "new<b>").replace(":61", ":62");
    fs::write(desk.path("log"), log)?;
    let page = desk.report(&["--host", "--log", &desk.text("log")?])?;
    ensure!(page.contains("/tmp/new&lt;b&gt;") && !page.contains("/tmp/old"), "{page}");
    ensure!(page.contains(">2</td>"), "equal ones are counted: {page}");
    let missing = desk.command(&["report", "--host", "--log", "missing", "-o", "x.html"]).output()?;
    ensure!(missing.status.code() == Some(Exit::Failed as i32), "{missing:?}");
    ensure!(String::from_utf8_lossy(&missing.stderr).contains("cannot read missing"), "{missing:?}");
    Ok(())
}
