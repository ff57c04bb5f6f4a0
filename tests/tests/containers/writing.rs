//! What can be written to, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{Desk, RUNTIMES, can_run, entries, settings};

#[test]
fn what_a_container_writes_is_gone_with_it_and_the_image_is_as_it_was() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let script =
        "echo new > /etc/note && chmod 700 /bin/busybox && touch /made && rm /etc/group && cat /etc/note";
    for place in ["--writable", "--writable=memory"] {
        for runtime in RUNTIMES {
            let said = desk.says(&["--runtime", runtime, place, "box", "--", "sh", "-c", script])?;
            ensure!(said == "new", "{runtime} {place}: {said}");
        }
    }
    let said = desk.says(&["box", "--", "sh", "-c", "cat /etc/note; ls /; stat -c %a /bin/busybox"])?;
    ensure!(said.starts_with("not a program") && !said.contains("made") && said.ends_with("755"), "{said}");
    desk.sealpack.run(["verify", "box"])?;
    desk.sealpack.run(["fsck"])?;
    Ok(())
}

#[test]
fn a_read_only_container_can_write_where_programs_have_to() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let settings = json!({ "Env": ["PATH=/bin"], "User": "web", "Volumes": {"/var/lib": {}} });
    let desk = Desk::empty()?;
    let mut entries = entries(&["proc", "sys", "dev", "tmp", "run", "var", "var/tmp"])?;
    use sealpack_tests::layer_tar::{Entry, Member};
    entries.push(Entry::new("./var/lib/", Member::Directory).owner(101, 102).mode(0o750));
    entries.push(Entry::new("./var/lib/there", Member::File(b"from the image".to_vec())).owner(101, 102));
    desk.add("box", &settings, &entries)?;
    let script = "touch /tmp/a /var/tmp/a /var/lib/a && cat /var/lib/there && stat -c ' %a %u %g' /var/lib; \
                  touch /etc/a || echo refused";
    for runtime in RUNTIMES {
        let said = desk.says(&["--runtime", runtime, "--read-only", "box", "--", "sh", "-c", script])?;
        ensure!(said == "from the image 750 101 102\nrefused", "{runtime}: {said}");
    }
    Ok(())
}

/// runc and crun fail where they cannot make the directories that they mount on.
#[test]
fn an_image_of_one_program_runs_read_only_too() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::empty()?;
    desk.add("bare", &settings(), &entries(&[])?)?;
    for runtime in RUNTIMES {
        let script = "touch /a; ls -d /proc/self /etc /tmp /work; pwd";
        let words = ["--runtime", runtime, "--read-only", "-w", "/work", "bare", "--", "sh", "-c", script];
        let said = desk.says(&words)?;
        ensure!(said == "/etc\n/proc/self\n/tmp\n/work\n/work", "{runtime}: {said}");
    }
    Ok(())
}

#[test]
fn directories_and_files_of_the_machines_are_mounted_and_filesystems_in_memory() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let shared = desk.dir.path().join("shared");
    fs::create_dir(&shared)?;
    fs::write(shared.join("file"), "from outside")?;
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755))?;
    let (directory, file) =
        (format!("{}:/data", shared.display()), format!("{}/file:/etc/note:ro", shared.display()));
    let script = "cat /data/file /etc/note; echo inside > /data/made; echo x > /etc/note || echo refused; \
                  grep -h ' /scratch ' /proc/mounts";
    let words = [
        "-v",
        &directory,
        "-v",
        &file,
        "--tmpfs",
        "/scratch:size=4m,noexec",
        "box",
        "--",
        "sh",
        "-c",
        script,
    ];
    for read_only in [&[][..], &["--read-only"]] {
        let said = desk.says(&[read_only, &words].concat())?;
        ensure!(said.starts_with("from outsidefrom outsiderefused\n"), "{said}");
        ensure!(
            said.contains("tmpfs /scratch tmpfs") && said.contains("noexec") && said.contains("size=4096k"),
            "{said}"
        );
        ensure!(fs::read_to_string(shared.join("made"))? == "inside\n");
        fs::remove_file(shared.join("made"))?;
    }
    let mut relative = desk.command(&["-v", "./shared:/data", "box", "--", "cat", "/data/file"]);
    let output = relative.current_dir(desk.dir.path()).output()?;
    ensure!(output.stdout == b"from outside", "{output:?}");
    Ok(())
}

#[test]
fn a_sealed_image_is_read_only_unless_that_is_not_wanted() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let (key, cert) = (desk.dir.path().join("k.key"), desk.dir.path().join("k.crt"));
    let (key, cert) = (key.display().to_string(), cert.display().to_string());
    desk.sealpack.run(["key", "new", "--type", "p256", "--key", &key, "--cert", &cert])?;
    desk.sealpack.run(["seal", "box", "--key", &key, "--cert", &cert])?;
    let write = ["box", "--", "sh", "-c", "touch /made 2>/dev/null && echo written || echo refused"];
    ensure!(desk.says(&write)? == "refused");
    ensure!(desk.says(&[&["--writable"], &write[..]].concat())? == "written");
    Ok(())
}
