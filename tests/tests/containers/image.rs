//! What the image says of how it is to be run, and what is said instead.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{Desk, RUNTIMES, can_run, settings};

#[test]
fn a_container_is_what_its_image_says_with_every_runtime() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let script =
        "echo $FROM_IMAGE $HOME $0 $1; id; pwd; grep -h Cap /proc/self/status; hostname; echo $HOSTNAME";
    let desk = Desk::with(&json!({
        "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "User": "web", "WorkingDir": "var", "Labels": {"run.oci.handler": "none"},
        "Entrypoint": ["sh", "-c", script], "Cmd": ["one", "two"], "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}},
    }))?;
    for runtime in RUNTIMES {
        let said = desk.says(&["--runtime", runtime, "box"])?;
        let lines: Vec<&str> = said.lines().collect();
        ensure!(lines[0] == "yes /var/lib one two", "{runtime}: {said}");
        ensure!(
            lines[1] == "uid=101(web) gid=102(web) groups=103(logs),104(more)"
                || lines[1].ends_with("groups=102(web),103(logs),104(more)"),
            "{runtime}: {said}"
        );
        ensure!(lines[2] == "/var", "{runtime}: {said}");
        let none = format!("{:016x}", 0);
        let effective = lines.iter().find_map(|line| line.strip_prefix("CapEff:\t"));
        ensure!(effective == Some(none.as_str()), "{runtime}: {said}");
        // The usual eleven: CHOWN to SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP.
        let bounding = lines.iter().find_map(|line| line.strip_prefix("CapBnd:\t"));
        ensure!(bounding == Some("00000000800405fb"), "{runtime}: {said}");
        ensure!(lines[lines.len() - 2] == lines[lines.len() - 1], "{runtime}: {said}");
    }
    Ok(())
}

#[test]
fn what_is_said_counts_instead_of_what_the_image_says() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk =
        Desk::with(&json!({ "Env": ["PATH=/bin", "A=image"], "Entrypoint": ["cat"], "Cmd": ["/etc/note"] }))?;
    ensure!(desk.says(&["box"])? == "not a program");
    ensure!(desk.says(&["box", "--", "/etc/group"])?.starts_with("root:x:0:"));
    let words = [
        "--entrypoint",
        "sh",
        "-e",
        "A=b=c",
        "-u",
        "0:logs",
        "-w",
        "/tmp",
        "box",
        "--",
        "-c",
        "echo $A; id -g; pwd",
    ];
    ensure!(desk.says(&words)? == "b=c\n103\n/tmp");
    ensure!(desk.says(&["--entrypoint", "id", "-u", "4242", "box"])?.starts_with("uid=4242 gid=0(root)"));
    let mut command = desk.command(&["-e", "HANDED", "-e", "NOT_HERE", "--entrypoint", "env", "box"]);
    let output = command.env("HANDED", "on").env_remove("NOT_HERE").output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(said.contains("HANDED=on\n") && !said.contains("NOT_HERE"), "{said}");
    Ok(())
}

#[test]
fn system_calls_are_filtered_and_capabilities_are_what_was_asked_for() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::with(&settings())?;
    let status = ["sh", "-c", "grep -hE '^(Seccomp|CapEff)' /proc/self/status"];
    let said = |options: &[&str]| desk.says(&[options, &["box", "--"], &status].concat());
    let usual = said(&[])?;
    ensure!(usual.contains("CapEff:\t00000000800405fb") && usual.contains("Seccomp:\t2"), "{usual}");
    let fewer = said(&["--cap-drop", "all", "--cap-add", "net_bind_service"])?;
    ensure!(fewer.contains("CapEff:\t0000000000000400"), "{fewer}");
    let unconfined = said(&["--seccomp", "unconfined"])?;
    ensure!(unconfined.contains("Seccomp:\t0"), "{unconfined}");
    // CAP_SYS_ADMIN makes the profile let through what it is needed for.
    let unshare = ["unshare", "-u", "sh", "-c", "echo apart"];
    let refused = desk.attempt(&[&["box", "--"], &unshare[..]].concat())?;
    ensure!(!refused.status.success(), "{refused:?}");
    ensure!(desk.says(&[&["--cap-add", "SYS_ADMIN", "box", "--"], &unshare[..]].concat())? == "apart");
    Ok(())
}

#[test]
fn a_container_has_no_network_but_its_own_unless_it_has_the_machines() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let links =
        ["box", "--", "sh", "-c", "ls /sys/class/net; readlink /proc/self/ns/net; cat /etc/resolv.conf"];
    let own = desk.attempt(&links)?;
    ensure!(String::from_utf8_lossy(&own.stdout).starts_with("lo\n"), "{own:?}");
    let host = std::fs::read_link("/proc/self/ns/net")?;
    let said = desk.attempt(&[&["--network", "host"], &links[..]].concat())?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(text.contains(host.to_str().unwrap_or_default()), "{text}");
    if let Ok(resolver) = std::fs::read_to_string("/etc/resolv.conf") {
        ensure!(text.ends_with(&resolver), "{text}");
    }
    Ok(())
}
